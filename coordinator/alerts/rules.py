"""The rules of alerts, as people write them: a YAML file in the coordinator's folder.

Each rule has a kind, the kind's own threshold, a severity, and the webhooks that are told.
"""

import ipaddress
from pathlib import Path
from typing import Annotated, Literal, TypeAlias
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from compliance.storage.atomic_file import write_whole
from coordinator.alerts.default_rules import DEFAULT_RULES
from protocol.errors import WorkspaceRefused
from protocol.study.documents.yaml_document import NOT_SHOWN, DocumentForm, read_document
from protocol.study.frozen_model import FrozenModel
from protocol.study.study import Name, nearest

#: The file's name in the coordinator's folder.
RULES_FILE = "alert-rules.yaml"
#: Of so many of a run's last finished rounds a rule may ask.
MAX_ROUNDS = 1000

Severity: TypeAlias = Literal["info", "warning", "critical"]


def is_loopback(url: str) -> bool:
    """Whether an address is this machine's own: 127.0.0.0/8, ::1 or localhost.

    >>> is_loopback("http://127.0.0.1:8080/x"), is_loopback("http://127.0.0.1.example.org/")
    (True, False)
    """
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_receiver(url: str) -> str:
    """Refuses what is no address of a receiver; the refusal never repeats it."""
    try:
        parts = urlsplit(url)
        known = bool(parts.hostname) and parts.port != 0 and _is_plain(parts) and _is_one_word(url)
    except ValueError:
        known = False
    if not known:
        raise PydanticCustomError(
            NOT_SHOWN, "an address looks like https://alerts.example.org/collegium"
        )
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(url)):
        return url
    raise PydanticCustomError(
        NOT_SHOWN, "an address begins with https://; http:// is for this machine itself only"
    )


def _is_plain(parts: SplitResult) -> bool:
    return not parts.username and not parts.password and not parts.fragment


def _is_one_word(url: str) -> bool:
    return len(url) < 2000 and url.isprintable() and " " not in url


class Webhook(FrozenModel):
    """One receiver of alerts.

    ``secret_file`` holds the secret that messages are signed with (Standard Webhooks,
    ``whsec_`` and base64), for its owner alone; ``ca_file`` the certificates that the receiver's
    own must come from, where that is no public authority. Both are taken from the rules' folder.
    """

    url: Annotated[str, AfterValidator(_is_receiver)]
    secret_file: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    ca_file: Annotated[str, StringConstraints(min_length=1, max_length=500)] | None = None


class AlertRule(FrozenModel):
    """Base of all rules: a name of its own, a severity, and the webhooks that it tells."""

    name: Name
    severity: Severity = "warning"
    tell: tuple[Name, ...] = ()


class BudgetRule(AlertRule):
    """A hospital has booked at least this ``share`` of its patients' budget for life."""

    kind: Literal["budget"]
    share: float = Field(gt=0, le=1)


class DriftRule(AlertRule):
    """The newest release about something that is watched says that it has moved."""

    kind: Literal["drift"]


class CalibrationRule(AlertRule):
    """The mean risk is off by more than this ``part`` of the ill, with its whole interval."""

    kind: Literal["calibration"]
    part: float = Field(gt=0, le=10)


class FairnessGapRule(AlertRule):
    """The interval of a figure's largest gap, of hospitals or groups, lies ``above`` this."""

    kind: Literal["fairness_gap"]
    above: float = Field(ge=0, lt=1)


class FairnessGrowthRule(AlertRule):
    """That interval lies above the one of the run before ``by`` more than this."""

    kind: Literal["fairness_gap_grown"]
    by: float = Field(default=0.0, ge=0, lt=1)


class AggregateRule(AlertRule):
    """In so many ``rounds`` of the newest run a sum was none that honest hospitals can give."""

    kind: Literal["aggregate"]
    rounds: int = Field(default=1, ge=1, le=1000)


class SilenceRule(AlertRule):
    """A member was not heard from for so many ``minutes``, by a service that ran as long."""

    kind: Literal["silent"]
    minutes: float = Field(gt=0, le=525_600)


class AbsenceRule(AlertRule):
    """A hospital of the study is in none of the newest run's last ``rounds``."""

    kind: Literal["absent"]
    rounds: int = Field(ge=1, le=MAX_ROUNDS)


class CertificateRule(AlertRule):
    """A certificate ends in fewer than these ``days``: a hospital's, or the coordinator's own.

    ``of`` says whose; hospitals renew theirs by themselves some days before its end.
    """

    kind: Literal["certificate"]
    of: Literal["hospitals", "coordinator"]
    days: float = Field(gt=0, le=3660)


class RosterRule(AlertRule):
    """The signed roster ends in fewer than these ``days``."""

    kind: Literal["roster"]
    days: float = Field(gt=0, le=3660)


class VerificationRule(AlertRule):
    """The records are not what the log says; the service looks once in so many ``hours``."""

    kind: Literal["verification"]
    hours: float = Field(default=24.0, ge=0.1, le=8784)


class IncidentRule(AlertRule):
    """An open incident's notification is due in fewer than these ``hours``, or is late.

    It also tells of a containment that no second person confirmed in time.
    """

    kind: Literal["incident"]
    hours: float = Field(default=24.0, gt=0, le=72)


class CanaryRule(AlertRule):
    """The coordinator has ended a canary, because it is worse than the version in production."""

    kind: Literal["canary"]


class ServedOtherRule(AlertRule):
    """A hospital stated that it served another version than it was to, for more than ``hours``."""

    kind: Literal["served_other"]
    hours: float = Field(default=24.0, ge=0, le=8784)


Rule: TypeAlias = Annotated[
    BudgetRule
    | DriftRule
    | CalibrationRule
    | FairnessGapRule
    | FairnessGrowthRule
    | AggregateRule
    | SilenceRule
    | AbsenceRule
    | CertificateRule
    | RosterRule
    | VerificationRule
    | IncidentRule
    | CanaryRule
    | ServedOtherRule,
    Field(discriminator="kind"),
]


class AlertRules(FrozenModel):
    """The file of rules, and the receivers that they may tell."""

    collegium_alerts: Literal[1]
    webhooks: dict[Name, Webhook] = Field(default_factory=dict)
    rules: tuple[Rule, ...] = Field(min_length=1, max_length=200)

    @model_validator(mode="after")
    def _consistent(self) -> "AlertRules":
        seen: set[str] = set()
        for place, rule in enumerate(self.rules):
            if rule.name in seen:
                raise _fault(
                    f"rules.{place}.name", f"another rule is called {rule.name}: give it its own"
                )
            seen.add(rule.name)
            for webhook in rule.tell:
                if webhook not in self.webhooks:
                    known = ", ".join(self.webhooks) or "none is there"
                    raise _fault(
                        f"rules.{place}.tell",
                        f"no webhook is called {webhook}{nearest(webhook, list(self.webhooks))} "
                        f"(webhooks: {known})",
                    )
        return self

    @property
    def told(self) -> dict[str, tuple[str, ...]]:
        """The webhooks that each rule tells, by the rule's name."""
        return {rule.name: tuple(dict.fromkeys(rule.tell)) for rule in self.rules}


def _fault(path: str, problem: str) -> PydanticCustomError:
    return PydanticCustomError("study", "{problem}", {"problem": problem, "path": path})


#: Two hundred rules and as many receivers have a part of it.
_MAX_BYTES = 1 << 17
_FORM = DocumentForm(
    record=AlertRules,
    noun="file of alert rules",
    refusal=WorkspaceRefused,
    see="docs/alerts.md",
    max_bytes=_MAX_BYTES,
)


def read_rules(text: str, source: str = RULES_FILE) -> AlertRules:
    """Returns the rules written in ``text``.

    Raises:
        WorkspaceRefused: one line for each fault, with its line in the file.
    """
    return read_document(text, _FORM, source)


def rules_of(folder: Path) -> AlertRules:
    """Returns the rules of a folder: those in its ``alert-rules.yaml``, else those by default.

    Raises:
        WorkspaceRefused: the file cannot be read, or see ``read_rules``.
    """
    return read_rules(rules_text(folder), str(folder / RULES_FILE))


def rules_text(folder: Path) -> str:
    """Returns the text of the rules of a folder: of its file, else by default.

    Raises:
        WorkspaceRefused: the file is there and cannot be read.
    """
    path = folder / RULES_FILE
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return DEFAULT_RULES
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise WorkspaceRefused(f"{path} cannot be read: {reason}") from error


def write_default_rules(folder: Path) -> None:
    """Writes the rules by default into a new coordinator's folder."""
    write_whole(folder / RULES_FILE, DEFAULT_RULES.encode())
