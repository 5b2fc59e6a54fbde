"""The page about alerts: its rules are read, its table is whole, its receiver knows a message."""

import re
from typing import Any

from coordinator.alerts.rules import Rule, read_rules
from coordinator.alerts.webhook import MESSAGE_FIELDS, SECONDS, signed_headers
from tests import ROOT
from tests.support.networked.webhook_receiver import SECRET, WRITTEN

PAGE = (ROOT / "docs" / "alerts.md").read_text()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_rules_of_the_page_are_read() -> None:
    (text,) = blocks("yaml")
    rules = read_rules(text)
    assert set(rules.webhooks) == {"on-call", "chat"} and len(rules.rules) == 3


def test_the_table_names_every_kind_with_its_own_keys() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \| .* \| .* \|$", PAGE, re.MULTILINE))
    union: Any = Rule.__origin__  # type: ignore[attr-defined]
    kinds = {
        model.model_fields["kind"].annotation.__args__[0]: {
            name for name in model.model_fields if name not in ("kind", "name", "severity", "tell")
        }
        for model in union.__args__
    }
    assert {kind: set(re.findall(r"`(\w+)`", keys)) for kind, keys in rows.items()} == kinds


def test_the_receiver_of_the_page_takes_what_is_genuine_and_nothing_else() -> None:
    names: dict[str, Any] = {}
    exec(blocks("python")[0], names)  # noqa: S102
    headers = signed_headers(SECRET, "msg_1", 1_700_000_000, b"{}")
    assert names["is_genuine"](headers, b"{}", WRITTEN)
    assert not names["is_genuine"](headers, b"{ }", WRITTEN)
    assert not names["is_genuine"](headers | {"webhook-id": "msg_2"}, b"{}", WRITTEN)


def test_the_page_lists_what_is_sent_and_how_long_an_attempt_takes() -> None:
    body = PAGE[PAGE.index("The body is JSON") : PAGE.index("Who acknowledged an alert")]
    named = re.findall(r"`([a-z_]+)`", body[body.index("`data`") + 6 :])
    assert set(named) - {"value", "low", "high"} == set(MESSAGE_FIELDS)
    assert f"an attempt takes {SECONDS:.0f} seconds at most" in PAGE.replace("\n  ", " ")
