"""Values of a column: their one spelling for comparison, and how numbers are written."""

import math
import re
from collections import Counter
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field, StrictBool

#: One entry of a vocabulary as a person writes it in YAML.
Token: TypeAlias = StrictBool | int | float | str


#: A number as a file may write it: no other digits, no underscores, no hexadecimals.
NUMERAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
#: A whole number of no more digits than a float's can be.
_WHOLE = re.compile(r"([+-]?[0-9]{1,300})(?:\.0*)?")


def canonical_token(value: object) -> str:
    """Returns the one spelling under which a vocabulary entry and a cell are compared.

    ``1``, ``1.0``, ``"1"`` and ``" 1.00 "`` are the same entry; so are ``true`` and ``"True"``.
    A whole number keeps all its digits, however many a float would hold.

    >>> canonical_token("1.0"), canonical_token(1), canonical_token(" F "), canonical_token(True)
    ('1', '1', 'F', 'true')
    >>> canonical_token("110105199001011235")
    '110105199001011235'
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value).strip()
    if text.lower() in ("true", "false"):
        return text.lower()
    if (whole := _WHOLE.fullmatch(text)) is not None:
        return str(int(whole[1]))
    if not NUMERAL.fullmatch(text):
        return text
    number = float(text)
    if not math.isfinite(number):
        return text
    return str(int(number)) if number.is_integer() else repr(number)


def kept_token(value: object) -> str:
    """Returns the one spelling of a cell that may be a person's number.

    As ``canonical_token``, but for a number with an exponent, which is as often a key: two persons
    are never made one.

    >>> kept_token("012.0"), kept_token("1E5"), kept_token("101_0023")
    ('12', '1E5', '101_0023')
    """
    text = str(value).strip()
    return text if "e" in text.lower() and NUMERAL.fullmatch(text) else canonical_token(value)


def _distinct(values: tuple[Token, ...]) -> tuple[Token, ...]:
    spelled = [canonical_token(value) for value in values]
    repeated = sorted(entry for entry, count in Counter(spelled).items() if count > 1)
    if repeated:
        raise ValueError(f"entries are repeated: {', '.join(repeated)}")
    return values


Vocabulary: TypeAlias = Annotated[tuple[Token, ...], Field(min_length=1), AfterValidator(_distinct)]
