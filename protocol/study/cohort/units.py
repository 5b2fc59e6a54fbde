"""Units of numbers: one spelling for each, and what makes a number of one unit one of another.

Rules:

1. A unit is a name. No number is converted but by a conversion that the contract names.
2. Spellings are those of UCUM (Unified Code for Units of Measure, ucum.org), case sensitive. A
   short list of everyday spellings stands for the same units; any other name is left as it is.
3. The well-known pairs say in which unit a column may be. Nothing is converted by them.
"""

import re
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field, StringConstraints

from protocol.study.frozen_model import FrozenModel, one_line

#: A unit as a person writes it: ``mmHg``, ``degF``, ``mg/dL``.
UnitName: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^\S{1,40}$"), AfterValidator(one_line)
]


class Conversion(FrozenModel):
    """A conversion: a number times ``scale`` plus ``offset`` is in the column's unit."""

    scale: float = Field(gt=0)
    offset: float = 0.0

    def of(self, number: float) -> float:
        """Returns the converted number, in float64: one product, then one sum.

        >>> Conversion(scale=5 / 9, offset=-160 / 9).of(212.0)
        100.0
        """
        return number * self.scale + self.offset


#: A conversion as a contract writes it: a factor alone, or with an offset.
Conversible: TypeAlias = Annotated[float, Field(gt=0)] | Conversion

#: What leaves a number as it is.
UNCHANGED = Conversion(scale=1.0)

#: Everyday spellings, by UCUM's.
_EVERYDAY = {
    "Cel": ("degC", "°C", "Celsius"),
    "[degF]": ("degF", "°F", "Fahrenheit"),
    "mm[Hg]": ("mmHg",),
    "[lb_av]": ("lb", "lbs"),
    "[in_i]": ("in", "inch", "inches"),
    "a": ("year", "years", "yr", "yrs"),
    "mo": ("month", "months"),
    "wk": ("week", "weeks"),
    "d": ("day", "days"),
    "h": ("hour", "hours", "hr"),
    "%": ("percent",),
    "1": ("fraction",),
}
_UCUM = {one.casefold(): unit for unit, all_ in _EVERYDAY.items() for one in all_}
_LITRE = re.compile(r"(?<=[/dcmuµn])l$")

#: How many of the group's first unit one of each is: UCUM's months and years are mean ones.
_GROUPS: tuple[dict[str, float], ...] = (
    {"kg": 1.0, "g": 0.001, "[lb_av]": 0.45359237},
    {"cm": 1.0, "m": 100.0, "mm": 0.1, "[in_i]": 2.54},
    {"d": 1.0, "wk": 7.0, "mo": 30.4375, "a": 365.25, "h": 1 / 24},
    {"1": 1.0, "%": 0.01},
    {"mm[Hg]": 1.0, "kPa": 7.50062},
)
_TEMPERATURES = {
    ("[degF]", "Cel"): Conversion(scale=5 / 9, offset=-160 / 9),
    ("Cel", "[degF]"): Conversion(scale=1.8, offset=32.0),
}


def canonical_unit(name: str) -> str:
    """Returns UCUM's spelling of a unit, or the name as it is where no other is known.

    >>> [canonical_unit(name) for name in ("°F", "mmHg", "mg/dl", "years", "U/L")]
    ['[degF]', 'mm[Hg]', 'mg/dL', 'a', 'U/L']
    """
    return _UCUM.get(name.casefold()) or _LITRE.sub("L", name).replace("µ", "u")


def everyday_unit(unit: str) -> str:
    """Returns a unit of UCUM as people write it.

    >>> everyday_unit("[degF]"), everyday_unit("kg")
    ('degF', 'kg')
    """
    return _EVERYDAY.get(unit, (unit,))[0]


def well_known(unit: str) -> dict[str, Conversion]:
    """Returns the units, as UCUM spells them, that everybody converts to this one alike.

    >>> sorted(well_known("kg")), well_known("years")["mo"].of(24.0)
    (['[lb_av]', 'g'], 2.0)
    """
    wanted = canonical_unit(unit)
    found = {other: how for (other, to), how in _TEMPERATURES.items() if to == wanted}
    for group in _GROUPS:
        if wanted in group:
            found |= {
                other: Conversion(scale=size / group[wanted])
                for other, size in group.items()
                if other != wanted
            }
    return found
