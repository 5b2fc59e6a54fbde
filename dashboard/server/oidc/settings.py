"""The settings of the login by OpenID Connect: a TOML file, and the client's secret beside it."""

import os
import stat
import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from compliance.governance.access.linked_identity import require_issuer
from protocol.errors import PolicyRefused, WorkspaceRefused

#: The signatures that count: each with a public key, none with a shared secret.
ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512",
)  # fmt: skip
_LONGEST_SECRET = 1000


class OidcSettings(BaseModel):
    """The settings of one provider.

    Attributes:
        issuer: its address, as it writes it itself.
        client_id: the name by which it knows this dashboard.
        client_secret_file: holds the secret; for the owner alone, beside the settings.
        name: what people call it, on the button.
        max_age: the seconds since a person proved there who they are; None for any time.
        algorithms: the signatures that count.
        ca_file: certificates by which its own is trusted; None for the machine's.
        client_secret: what the file holds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    issuer: str
    client_id: str = Field(min_length=1, max_length=300)
    client_secret_file: str
    name: str = Field(default="your organisation", min_length=1, max_length=60)
    max_age: int | None = Field(default=None, ge=60, le=30 * 86400)
    algorithms: tuple[str, ...] = Field(default=ALGORITHMS, min_length=1, strict=False)
    ca_file: str | None = None
    client_secret: str = Field(default="", repr=False, exclude=True)

    @field_validator("issuer")
    @classmethod
    def _is_issuer(cls, value: str) -> str:
        try:
            require_issuer(value)
        except PolicyRefused as error:
            raise ValueError(str(error)) from error
        return value

    @field_validator("algorithms")
    @classmethod
    def _are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted({*value} - {*ALGORITHMS})
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: the signatures are {', '.join(ALGORITHMS)}")
        return value


def read_oidc_settings(file: Path) -> OidcSettings:
    """Returns the settings in a file, with the secret that it names.

    Raises:
        WorkspaceRefused: one of the two cannot be read, is open to others, or has another form.
    """
    try:
        said = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WorkspaceRefused(f"--oidc {file} cannot be read: {error}") from error
    if "client_secret" in said:
        raise WorkspaceRefused(f"{file} holds no secret: client_secret_file names another file")
    try:
        settings = OidcSettings.model_validate(said)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise WorkspaceRefused(f"--oidc {file}: {place}: {first['msg']}") from error
    ca_file = None if settings.ca_file is None else str(file.parent / settings.ca_file)
    secret = _secret(file.parent / settings.client_secret_file)
    return settings.model_copy(update={"client_secret": secret, "ca_file": ca_file})


def _secret(path: Path) -> str:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(file.fileno())
            data = file.read(_LONGEST_SECRET + 1) if stat.S_ISREG(found.st_mode) else b""
    except OSError as error:
        raise WorkspaceRefused(f"the secret {path} cannot be read: {error.strerror}") from error
    if found.st_mode & 0o077:
        raise WorkspaceRefused(f"the secret {path} is open to other users: chmod 600 {path}")
    secret = data.strip().decode("ascii", "replace")
    if not secret or len(data) > _LONGEST_SECRET or not secret.isprintable():
        raise WorkspaceRefused(f"{path} holds no client secret: one line of letters")
    return secret
