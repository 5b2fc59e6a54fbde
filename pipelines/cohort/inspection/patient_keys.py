"""Patient keys that may be one patient's in two spellings."""

import re
import unicodedata
from collections.abc import Iterable

from pipelines.records import patient_token

_MARKS = re.compile(r"[\W_]+")
_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9])")
#: German spellings of umlauts without them; other marks above letters are dropped.
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ø": "oe", "å": "aa"})


def loose_key(key: str) -> str:
    """Returns a key without what people write differently: capitals, marks, zeros, umlauts.

    >>> loose_key("A-07") == loose_key(" a7"), loose_key("Mu\u0308ller") == loose_key("MUELLER")
    (True, True)
    """
    if key.isascii():
        text = key.lower()
    else:
        text = unicodedata.normalize("NFKC", key).casefold().translate(_UMLAUTS)
        letters = unicodedata.normalize("NFD", text)
        text = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return _ZEROS.sub("", text if text.isalnum() else _MARKS.sub("", text))


def pairs_of_spellings(keys: Iterable[str]) -> int:
    """Returns how many keys may be another spelling of one that came before.

    Keys that ``patient_token`` makes one are one already.

    >>> pairs_of_spellings(["A-07", "A07", "a-07", "B1", "012", "12"])
    2
    """
    tokens = {patient_token(key) for key in keys}
    return len(tokens) - len({loose_key(token) for token in tokens})
