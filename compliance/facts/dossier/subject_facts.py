"""All facts that a report is about: one run, or the runs of a study, sweep, hospital or year."""

from dataclasses import dataclass

from compliance.facts.dossier.attack_facts import RedTeamFacts
from compliance.facts.dossier.record import Dossier, LogFacts, LogVerification


@dataclass(frozen=True, kw_only=True)
class ActFacts:
    """An act that a person signed: which entries hold it, who did what to what, what came of it.

    Of a refused act ``person`` is whom it claimed to be of.
    """

    entries: tuple[int, ...]
    at: str
    person: str
    role: str | None
    action: str
    subject: str
    run: str | None
    outcome: str


@dataclass(frozen=True, kw_only=True)
class SubjectFacts:
    """Runs, oldest first, and the log about them: their entries, and acts of the consortium.

    ``scope`` is ``run``, ``study``, ``sweep``, ``hospital`` or ``period``; ``log`` ends before
    what was logged later, so that a report can be made again. ``rosters`` are the days on which
    the runs' rosters end, by run; only a network's roster has one. ``acts`` are those of people
    that these entries hold; none where nobody was registered yet. ``clocks`` are cosigners whose
    clock was more than five minutes from the log's, with the seconds that it was ahead at most.
    """

    scope: str
    name: str
    dossiers: tuple[Dossier, ...]
    log: LogFacts
    red_team: tuple[RedTeamFacts, ...] = ()
    rosters: tuple[tuple[str, str], ...] = ()
    acts: tuple[ActFacts, ...] = ()
    clocks: tuple[tuple[str, float], ...] = ()
    verification: LogVerification | None = None
