"""The example of docs/protocol.md, from the recorded round."""

import json
import re
from typing import Any

from tests import ROOT

PAGE = ROOT / "docs" / "protocol.md"
_SIGNATURE_LINE = 64


def with_example(page: str, frozen: Any) -> str:
    """Returns the page with the seven texts of its example taken from a round's vectors."""
    end = page.index("## Conventions")
    example, rest = page[:end], page[end:]
    steps, lyon = frozen["steps"], frozen["sites"]["lyon"]
    texts = iter(
        [
            frozen["context_digest"],
            _message(steps["advertise"]["answers"]["lyon"]["message"]),
            lyon["vector"],
            steps["masked"]["answers"]["lyon"]["beside"],
            _message(steps["masked"]["answers"]["lyon"]["message"]),
            frozen["total"],
            json.dumps(frozen["sum"]),
        ]
    )
    shown = re.sub(
        r"^```\n.*?^```$",
        lambda _block: f"```\n{next(texts)}\n```",
        example,
        flags=re.MULTILINE | re.DOTALL,
    )
    if next(texts, None) is not None:
        raise ValueError(f"{PAGE.name}: its example has fewer texts than it shows")
    return shown + rest


def _message(message: Any) -> str:
    signature = message["signature"]
    return f"{signature[:_SIGNATURE_LINE]}\n{signature[_SIGNATURE_LINE:]}\n{message['text']}"
