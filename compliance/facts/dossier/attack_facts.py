"""Facts about attacks on a run: what red teams found, and figures of what its model gives away.

The findings are a red team's record (``collegium.redteam.findings``), kept with the run. A figure
that a red team did not measure is missing, with the reason: it is never left out in silence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compliance.estimates.interval import Interval
from compliance.facts.formatting import Format, show

#: Names of figures that gates judge: of membership, and of extraction.
ADVANTAGE, EXTRACTION = "advantage", ("own-records", "inserted")
_NOBODY = "no red team has attacked this run"
_BEFORE = "the red team that attacked did not measure it: attack again"


@dataclass(frozen=True, kw_only=True)
class AttackFigureKind:
    """A sort of figure of attacks.

    Attributes:
        name: in JSON.
        title: for people.
        part: of the red team, which may say why it was left out.
        guess: what the figure is where nothing is given away.
        guess_text: the same in words.
    """

    name: str
    title: str
    part: str
    guess: float
    guess_text: str


#: Every figure of attacks, in the order in which people read them.
ATTACK_FIGURES = (
    AttackFigureKind(
        name=ADVANTAGE, title="Membership: advantage of the attacker", part="membership",
        guess=0.0, guess_text="guessing gives 0",
    ),
    AttackFigureKind(
        name="auroc", title="Membership: AUROC of the attack", part="membership",
        guess=0.5, guess_text="guessing gives 0.5",
    ),
    AttackFigureKind(
        name="found", title="Membership: training patients found at 1 % false alarms",
        part="membership", guess=0.01, guess_text="guessing finds 0.01",
    ),
    AttackFigureKind(
        name="epsilon", title="Lower bound of ε", part="noise", guess=0.0,
        guess_text="0 says nothing",
    ),
    AttackFigureKind(
        name="own-records", title="Extraction: training patients' records, bits beyond others'",
        part="own-records", guess=0.0, guess_text="nothing kept gives 0",
    ),
    AttackFigureKind(
        name="inserted", title="Extraction: inserted records, bits beyond guessing",
        part="inserted", guess=0.0, guess_text="guessing gives 0",
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class AttackFigure:
    """A figure of attacks on a run, with its 95 % interval; or why it is missing.

    Attributes:
        kind: what it is.
        found: the figure; None where it is missing.
        beside: what it is to be read with, such as the epsilon that was claimed.
        missing: why it is; empty where it is not.
    """

    kind: AttackFigureKind
    found: Interval | None = None
    beside: str = ""
    missing: str = ""

    @property
    def text(self) -> str:
        """The figure in words, with what it is compared with; or why it is missing."""
        if self.found is None:
            return f"missing: {self.missing}"
        beside = f"; {self.beside}" if self.beside else ""
        return f"{show(self.found, Format.RATIO)} ({self.kind.guess_text}{beside})"

    @property
    def shown_least(self) -> float | None:
        """The least that the figure is shown to be; None where it is missing."""
        if self.found is None:
            return None
        return self.found.value if self.found.low is None else self.found.low

    def to_json(self) -> dict[str, Any]:
        """Returns what machines read."""
        found = self.found
        return {
            "name": self.kind.name,
            "title": self.kind.title,
            "value": None if found is None else found.value,
            "low": None if found is None else found.low,
            "high": None if found is None else found.high,
            "guessing": self.kind.guess,
            "beside": self.beside,
            "missing": self.missing,
        }


@dataclass(frozen=True, kw_only=True)
class RedTeamFacts:
    """Findings of a red team about a run.

    Attributes:
        run_id: the run.
        contradicted: whether they contradict its claim.
        reasons: by what.
        found_at: when.
        stand_in: whether a training of the run's study on drawn records was attacked in its place,
            for the run was made by real hospitals.
        figures: of ``ATTACK_FIGURES``, each one.
    """

    run_id: str
    contradicted: bool
    reasons: tuple[str, ...]
    found_at: str
    stand_in: bool = False
    figures: tuple[AttackFigure, ...] = ()


def read_red_team(run_id: str, found_at: str, said: Mapping[str, Any]) -> RedTeamFacts:
    """Returns the facts in a red team's record."""
    missing = said.get("missing", {})
    return RedTeamFacts(
        run_id=run_id,
        contradicted=bool(said.get("contradicted")),
        reasons=tuple(map(str, said.get("reasons", ()))),
        found_at=found_at,
        stand_in=bool(said.get("stand_in")),
        figures=tuple(
            _figure(kind, said, str(missing.get(kind.part, _BEFORE))) for kind in ATTACK_FIGURES
        ),
    )


def strongest_figures(found: Sequence[RedTeamFacts]) -> tuple[AttackFigure, ...]:
    """Returns each figure by the attack that showed most, so that attacking again hides nothing."""
    if not found:
        return tuple(AttackFigure(kind=kind, missing=_NOBODY) for kind in ATTACK_FIGURES)
    chosen = []
    for place, kind in enumerate(ATTACK_FIGURES):
        of_kind = [one.figures[place] for one in found if one.figures]
        measured = [one for one in of_kind if one.found is not None]
        if measured:
            chosen.append(max(measured, key=lambda one: one.shown_least or 0.0))
        else:
            chosen.append(of_kind[-1] if of_kind else AttackFigure(kind=kind, missing=_BEFORE))
    return tuple(chosen)


def _figure(kind: AttackFigureKind, said: Mapping[str, Any], why: str) -> AttackFigure:
    if kind.name == "epsilon":
        return _bound(kind, said, why)
    candidate, extraction = said.get("candidate") or {}, said.get("extraction", {})
    if kind.name in EXTRACTION:
        of = extraction.get(kind.name, {}).get("excess")
        beside = ""
        if of is not None:
            asked = extraction[kind.name]
            beside = f"{asked['records']} records, each among {asked['others']} others"
    else:
        key = {"found": "true_alarms_at_1_percent"}.get(kind.name, kind.name)
        of = candidate.get(key)
        beside = "" if of is None else f"{candidate['attack']} on {candidate['patients']} patients"
    if of is None:
        return AttackFigure(kind=kind, missing=why)
    return AttackFigure(kind=kind, found=Interval(**of), beside=beside)


def _bound(kind: AttackFigureKind, said: Mapping[str, Any], why: str) -> AttackFigure:
    """Returns the largest lower bound of the first view, which is the one that the claim names."""
    audits = said.get("one_run", ())
    if not audits:
        return AttackFigure(kind=kind, missing=why)
    first = audits[0]
    claimed = f"claimed {show(first['claimed'], Format.EPSILON)} at delta {first['delta']:g}"
    if not first.get("lower_bounds"):
        most = first["most_it_could_show"]
        return AttackFigure(
            kind=kind,
            missing=f"not measured, for so few parameters could show {most:.2f} at most; {claimed}",
        )
    bounds = [float(one) for one in first["lower_bounds"]]
    if max(bounds) > first["claimed"]:
        each = ", ".join(show(one, Format.RATIO) for one in bounds)
        claimed += (
            f"; the tests showed {each}: one above the claim is made again, and counts against it "
            "where the second shows it too"
        )
    found = Interval(value=max(bounds), low=None, high=None)
    return AttackFigure(kind=kind, found=found, beside=claimed)
