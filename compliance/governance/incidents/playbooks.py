"""Playbooks: for each kind of incident the steps, and the command that does each.

``HOME`` stands for the coordinator's folder, ``N`` for the incident's number, words in capitals for
names. A step without a command is people's work.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PlaybookStep:
    """One step, and the command that does it, empty where people do it."""

    what: str
    command: str = ""


@dataclass(frozen=True, kw_only=True)
class Playbook:
    """The steps of one kind of incident, in order; ``title`` names the kind in words."""

    title: str
    steps: tuple[PlaybookStep, ...]


_CONTAIN = "collegium incident contain N --home HOME"
_KEEP = PlaybookStep(
    what="Keep what is there: nothing of the run is deleted any more",
    command="collegium coordinator hold place --run RUN --home HOME --reason 'incident N'",
)
_VERIFY = PlaybookStep(
    what="Look whether the records are whole", command="collegium audit verify --out HOME"
)
_NOTIFY = PlaybookStep(
    what="Decide whether the authority and the patients are told, and record it",
    command="collegium incident notify N --home HOME --to AUTHORITY --note TEXT",
)
_CLOSE = PlaybookStep(
    what="Write down what changes so that it does not happen again, and close",
    command="collegium incident close N --home HOME --note TEXT",
)

#: The playbook of every kind of incident.
PLAYBOOKS: Mapping[str, Playbook] = {
    "lost-key": Playbook(
        title="a key is lost or was stolen",
        steps=(
            PlaybookStep(
                what="A person's key: suspend the person, who then acts no longer",
                command=f"{_CONTAIN} --suspend PERSON --note TEXT",
            ),
            PlaybookStep(
                what="A hospital's key: revoke the hospital, and stop its runs",
                command=f"{_CONTAIN} --revoke SITE --stop RUN --note TEXT",
            ),
            PlaybookStep(
                what="A hospital's key: the others sign a roster without the hospital",
                command="collegium coordinator roster propose --home HOME",
            ),
            PlaybookStep(
                what="A person's key: look at what was done under it since it may be gone",
                command="collegium people acts --home HOME --person PERSON",
            ),
            PlaybookStep(
                what="Give the person a new key: two others",
                command="collegium people propose PERSON --key PUBLIC --role ROLE --home HOME",
            ),
            _NOTIFY,
            _CLOSE,
        ),
    ),
    "log-fork": Playbook(
        title="the log shows two histories",
        steps=(
            PlaybookStep(
                what="Pause all runs; hospitals stop by themselves where they see it",
                command=f"{_CONTAIN} --pause RUN --note TEXT",
            ),
            PlaybookStep(
                what="Collect the heads that hospitals hold, each from its own people",
                command="collegium silo log --home SILO --to FILE",
            ),
            PlaybookStep(
                what="Hold the folder to each of them",
                command="collegium audit verify --out HOME --checkpoint FILE",
            ),
            _KEEP,
            PlaybookStep(
                what="If a backup explains it: restore as docs/operations.md says. If not: the "
                "coordinator is not to be trusted; hospitals leave it"
            ),
            _NOTIFY,
            _CLOSE,
        ),
    ),
    "poisoned-model": Playbook(
        title="a model is poisoned, or serves patients worse",
        steps=(
            PlaybookStep(
                what="Stop the run, and name the round that was still good",
                command=f"{_CONTAIN} --stop RUN --roll-back RUN:ROUND --note TEXT",
            ),
            _KEEP,
            PlaybookStep(
                what="Compute the kept rounds again, and see whose sums are out of line",
                command="collegium audit recompute ROUND --run RUN --out HOME",
            ),
            PlaybookStep(
                what="If a hospital sent it: revoke it, and propose a roster without it",
                command=f"{_CONTAIN} --revoke SITE --note TEXT",
            ),
            PlaybookStep(what="Tell everybody who uses the model which round is good"),
            _NOTIFY,
            _CLOSE,
        ),
    ),
    "records-released": Playbook(
        title="patients' records or exact figures got out",
        steps=(
            PlaybookStep(what="Stop what sends them", command=f"{_CONTAIN} --stop RUN --note TEXT"),
            _KEEP,
            PlaybookStep(
                what="The hospital: withdraw its approval, and stop",
                command="collegium silo withdraw STUDY --home SILO --by NAME",
            ),
            PlaybookStep(what="Find out whose records, which, how many, and who has them"),
            _VERIFY,
            _NOTIFY,
            _CLOSE,
        ),
    ),
    "hospital-compromised": Playbook(
        title="a hospital's machine is in others' hands",
        steps=(
            PlaybookStep(
                what="Revoke the hospital, and stop its runs",
                command=f"{_CONTAIN} --revoke SITE --stop RUN --note TEXT",
            ),
            PlaybookStep(
                what="Propose a roster without it, which the others sign",
                command="collegium coordinator roster propose --home HOME",
            ),
            PlaybookStep(
                what="Look at what it took part in", command="collegium runs list --out HOME"
            ),
            PlaybookStep(
                what="When its machine is made anew: new keys, another invitation by two people",
                command="collegium coordinator invite SITE --home HOME",
            ),
            _NOTIFY,
            _CLOSE,
        ),
    ),
    "lost-backup": Playbook(
        title="a backup is lost, or was stolen",
        steps=(
            PlaybookStep(
                what="Was it encrypted, and is the identity that opens it safe? Then the note says "
                "so",
                command=f"{_CONTAIN} --note TEXT",
            ),
            PlaybookStep(
                what="The coordinator's keys were in it: no run goes on under them",
                command=f"{_CONTAIN} --stop RUN --note TEXT",
            ),
            PlaybookStep(
                what="A hospital's keys were in it: that hospital makes new ones",
                command="collegium silo key rotate --home SILO",
            ),
            PlaybookStep(
                what="Make a new backup, and try to restore it",
                command="sqlite3 HOME/collegium.db \".backup '/backup/collegium.db'\"",
            ),
            _NOTIFY,
            _CLOSE,
        ),
    ),
    "other": Playbook(
        title="something else",
        steps=(
            PlaybookStep(what="Contain it", command=f"{_CONTAIN} --note TEXT"),
            _VERIFY,
            _NOTIFY,
            _CLOSE,
        ),
    ),
}
