"""The audit of a consortium in words and rows, without Streamlit: cosigners, acts, incidents.

Who did what is told as the log has it; nothing is called verified here that was not.
"""

from collections.abc import Sequence
from datetime import datetime

from compliance.facts.dossier import EntryFacts, LogFacts
from compliance.facts.formatting import Format, show
from compliance.governance.incidents.course import clock_text
from compliance.reports.document import Statement, Tone
from compliance.reports.evidence import entry_words
from coordinator.database.log.entry_proofs import MadeProof
from coordinator.governance.incident_register import NumberedIncident
from coordinator.views.governance import GovernanceView, RecordedAct, WaitingChange
from coordinator.views.log.cosigners import CosignedLog, CosignerProgress
from protocol.counted import counted
from protocol.log.cosignature import cosigning_site
from protocol.log.entry import parse_log_entry

#: An act that is attributed to nobody: the consortium had no people yet.
NOBODY = "NOBODY"
#: What stands below the acts of people.
ACTS = (
    "An act is signed by the person's own key and logged with what came of it. Refused ones hold "
    "what somebody claimed."
)
#: What stands below a proof.
PROOF = (
    "The entry is in the file. Whoever has it needs neither this folder nor the coordinator: "
    "collegium audit verify-proof FILE --policy POLICY, with a policy from somewhere they trust."
)
#: Of several entries, the first of these that a run has is the one to be proven.
_TELLING = ("run-finished", "run-failed", "run-stopped")


def founding(seen: GovernanceView) -> Statement | None:
    """Returns the warning that acts are attributed to nobody; None where people are registered."""
    if seen.notice is None:
        return None
    text = seen.notice[:1].upper() + seen.notice[1:]
    return Statement(text=f"{text}.", tone=Tone.CAUTION)


def cosigned_statement(log: CosignedLog) -> Statement:
    """Returns whether a quorum of hospitals has cosigned the newest head, and what is after it."""
    if not log.hospitals:
        return Statement(text="Nobody has cosigned the log: there is no run yet.", tone=Tone.PLAIN)
    needed = f"{log.quorum} of {counted(log.hospitals, 'hospital')}"
    if not log.quorum_size:
        return Statement(
            text="No quorum has cosigned the log.",
            detail=f"It takes {needed}: so far the coordinator alone vouches that everybody is "
            "shown the same history.",
            tone=Tone.CAUTION,
        )
    after = log.size - log.quorum_size
    detail = f"At least {needed} signed: each was shown this one history."
    if not after:
        return Statement(
            text=f"A quorum has cosigned the newest head: all {log.size:,} entries.",
            detail=detail,
            tone=Tone.GOOD,
        )
    return Statement(
        text=f"A quorum has cosigned the first {log.quorum_size:,} of {log.size:,} entries.",
        detail=f"{detail} The newest head, {counted(after, 'entry')} further, waits for it; "
        "cosigning is itself logged, so some always do.",
        tone=Tone.PLAIN,
    )


def cosigner_rows(log: CosignedLog) -> list[dict[str, str]]:
    """Returns who has cosigned the log, and how far, as texts under their column titles."""
    return [
        {
            "Cosigner": one.name,
            "Kind": one.kind,
            "Newest head signed": _signed(one, log),
            "Signed at": "" if one.time is None else show(one.time, Format.TIME),
            "Signature": _checked(one),
        }
        for one in log.cosigners
    ]


def _signed(one: CosignerProgress, log: CosignedLog) -> str:
    return "none yet" if one.size is None else f"{one.size:,} of {log.size:,} entries"


def _checked(one: CosignerProgress) -> str:
    if one.size is None:
        return ""
    return "verified" if one.verified else "not verified here: no roster has this key"


def act_rows(acts: Sequence[RecordedAct]) -> list[dict[str, str]]:
    """Returns what people did, the newest first, as texts under their column titles."""
    return [
        {
            "Number": str(act.number),
            "When": show(act.at, Format.TIME),
            "Who": act.person or NOBODY,
            "Role": act.role or "",
            "Act": act.action,
            "About": f"{act.subject_kind} {act.subject}",
            "Outcome": act.outcome if act.reason is None else f"{act.outcome}: {act.reason}",
        }
        for act in sorted(acts, key=lambda one: -one.number)
    ]


def incident_rows(incidents: Sequence[NumberedIncident], now: datetime) -> list[dict[str, str]]:
    """Returns incidents that are not closed, what is due first, as texts under column titles."""
    return [
        {
            "Number": str(one.number),
            "Severity": f"{one.incident.severity} (drill)" if one.incident.drill
            else one.incident.severity,
            "What": one.incident.title,
            "State": one.incident.state.value,
            "Clock": clock_text(one.incident.hours_left(now), one.incident.due_at),
            "Waits for a second person": ", ".join(
                f"containment by {step.person}" for step in one.incident.unconfirmed
            ),
            "What to do": f"collegium incident playbook {one.incident.kind}",
        }
        for one in sorted(incidents, key=lambda one: (one.incident.is_told, one.incident.due_at))
    ]  # fmt: skip


def is_late(incidents: Sequence[NumberedIncident], now: datetime) -> bool:
    """Whether the notification of an incident in earnest is late."""
    left = [one.incident.hours_left(now) for one in incidents if not one.incident.drill]
    return any(hours is not None and hours < 0 for hours in left)


def change_rows(changes: Sequence[WaitingChange]) -> list[dict[str, str]]:
    """Returns changes that wait for a second person, as texts under their column titles."""
    return [
        {
            "Number": str(one.number),
            "Change": one.change.request.action,
            "About": f"{one.change.request.subject_kind} {one.change.request.subject}",
            "Proposed by": one.change.proposed_by,
            "Lapses": show(one.change.expires, Format.TIME),
            "What to do": f"another person: collegium people confirm {one.number}",
        }
        for one in changes
    ]


def told_entry(log: LogFacts) -> int:
    """Returns the entry that tells best how a run went: that of its end, else its newest."""
    by_type = {entry.type: entry.index for entry in log.entries}
    ends = [by_type[kind] for kind in _TELLING if kind in by_type]
    return ends[0] if ends else max((entry.index for entry in log.entries), default=0)


def proof_sentence(made: MadeProof) -> str:
    """Returns what is proven, under which head, and by whose cosignatures."""
    names = ", ".join(cosigning_site(one.key.name) or one.key.name for one in made.cosigners)
    quorum = "a quorum" if made.meets_quorum else "no quorum of the hospitals yet"
    content = parse_log_entry(made.entry)
    about = "" if content.run is None else f", of run {content.run}"
    return (
        f"{entry_words(content.type)} (entry {made.proof.index}, {content.type}{about}). Its head "
        f"is cosigned by {names or 'nobody yet'}: {quorum}."
    )


def found_entries(entries: Sequence[EntryFacts], words: str) -> tuple[EntryFacts, ...]:
    """Returns the entries that hold every word, in any field, whatever the case."""
    wanted = words.lower().split()

    def holds(entry: EntryFacts) -> bool:
        text = f"{entry.index} {entry.time} {entry.type} {entry.payload} {entry.leaf_hash}".lower()
        return all(word in text for word in wanted)

    return tuple(entry for entry in entries if holds(entry))
