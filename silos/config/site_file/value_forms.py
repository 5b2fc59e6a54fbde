"""Forms of single values of a site file that more than one of its sections holds."""

from typing import Annotated, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, StringConstraints


def _is_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("is no time zone such as Europe/Berlin, or this machine has none") from (
            error
        )
    return name


#: The path of a file or folder, from the site file's folder on.
PathText: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
#: The name of an environment variable.
VariableName: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")
]
#: The name of a time zone of the IANA database that this machine knows.
TimeZoneName: TypeAlias = Annotated[str, AfterValidator(_is_zone)]
#: The system of the FHIR identifier that is a hospital's own number of a patient.
IdentifierSystem: TypeAlias = Annotated[str, StringConstraints(pattern=r"^\S{1,300}$")]
