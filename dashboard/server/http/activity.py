"""Messages of Streamlit's websocket, as far as the server reads them: activity, files, a way out.

Source: Streamlit 1.67, ``BackMsg.proto``, ``ClientState.proto``, ``ForwardMsg.proto``.
"""

import re

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

#: What a page has a use for. Streamlit takes more: to empty caches, to tell of the git repository.
_NEEDED = frozenset({"rerun_script", "stop_script", "app_heartbeat", "backend_operation_request"})
_PLACE = b"/media/"
_MEDIA = re.compile(rb"/media/([0-9A-Za-z_-]{16,100}(?:\.[0-9A-Za-z]{1,16})?)")


def is_activity(message: bytes) -> bool:
    """Whether a person did something: a live refresh, a heartbeat or what cannot be read is none.

    >>> is_activity(b"no message")
    False
    """
    try:
        said = BackMsg.FromString(message)
    except DecodeError:
        return False
    return said.WhichOneof("type") == "rerun_script" and not said.rerun_script.is_auto_rerun


def is_needed(message: bytes) -> bool:
    """Whether a message is of a kind that pages send; Streamlit refuses what cannot be read.

    >>> is_needed(bytes(BackMsg(load_git_info=True).SerializeToString()))
    False
    """
    try:
        kind = BackMsg.FromString(message).WhichOneof("type")
    except DecodeError:
        return True
    return kind is None or kind in _NEEDED


def media_in(message: bytes) -> set[str]:
    r"""Returns the names of the files that a message to the browser refers to.

    An address is a text of its own in a message, with its length in the byte before.

    >>> media_in(b"\x1d/media/0123456789abcdef01.csvP").pop()
    '0123456789abcdef01.csv'
    """
    found, at = set(), message.find(_PLACE)
    while at >= 0:
        whole = _MEDIA.fullmatch(message[at : at + message[at - 1]]) if at else None
        name = whole or _MEDIA.match(message, at)
        if name is not None:
            found.add(name[1].decode())
        at = message.find(_PLACE, at + 1)
    return found


def leave_for(url: str) -> bytes:
    """Returns the message by which the browser leaves the page, so that nothing stays on screen."""
    message = ForwardMsg()
    message.auth_redirect.url = url
    return bytes(message.SerializeToString())
