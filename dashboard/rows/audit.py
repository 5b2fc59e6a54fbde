"""The audit of a consortium in words and rows, without Streamlit: cosigners, acts, incidents.

Who did what is told as the log has it; nothing is called verified here that was not.
"""

from collections.abc import Sequence
from datetime import datetime

from compliance.facts.dossier import LogVerification
from compliance.facts.formatting import Format, show
from compliance.governance.incidents.course import clock_text
from compliance.governance.people import act_words
from compliance.reports.document import Statement, Tone
from compliance.reports.evidence import entry_words
from coordinator.database.log.entry_proofs import MadeProof
from coordinator.governance.incident_register import NumberedIncident
from coordinator.views.governance import GovernanceView, RecordedAct
from coordinator.views.log.cosigners import CosignedLog, CosignerProgress
from coordinator.views.log.search import FoundEntry, LogPage
from dashboard.texts import say
from protocol.counted import counted
from protocol.log.cosignature import cosigning_site
from protocol.log.entry import parse_log_entry
from protocol.log.merkle import leaf_hash

#: An act that is attributed to nobody: the consortium had no people yet.
NOBODY = "NOBODY"


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
            say("audit.cosigner"): one.name,
            say("audit.cosigner_kind"): one.kind,
            say("audit.signed_head"): _signed(one, log),
            say("audit.signed_at"): "" if one.time is None else show(one.time, Format.TIME),
            say("audit.signature"): _checked(one),
        }
        for one in log.cosigners
    ]


def _signed(one: CosignerProgress, log: CosignedLog) -> str:
    if one.size is None:
        return say("audit.none_signed")
    return say("audit.signed_of", signed=f"{one.size:,}", size=f"{log.size:,}")


def _checked(one: CosignerProgress) -> str:
    if one.size is None:
        return ""
    return say("audit.is_verified") if one.verified else say("audit.is_unverified")


def act_rows(acts: Sequence[RecordedAct]) -> list[dict[str, str]]:
    """Returns what people did, the newest first, as texts under their column titles."""
    return [
        {
            say("audit.number"): str(act.number),
            say("audit.when"): show(act.at, Format.TIME),
            say("audit.who"): act.person or NOBODY,
            say("audit.role"): act.role or "",
            say("audit.act"): act_words(act.action),
            say("audit.about"): f"{act.subject_kind} {act.subject}",
            say("audit.outcome"): act.outcome
            if act.reason is None
            else f"{act.outcome}: {act.reason}",
        }
        for act in sorted(acts, key=lambda one: -one.number)
    ]


def incident_rows(incidents: Sequence[NumberedIncident], now: datetime) -> list[dict[str, str]]:
    """Returns incidents that are not closed, what is due first, as texts under column titles."""
    return [
        {
            say("approvals.number"): str(one.number),
            say("approvals.severity"): f"{one.incident.severity} (drill)" if one.incident.drill
            else one.incident.severity,
            say("approvals.what"): one.incident.title,
            say("approvals.state"): one.incident.state.value,
            say("approvals.clock"): clock_text(one.incident.hours_left(now), one.incident.due_at),
            say("approvals.waits_for_second"): ", ".join(
                say("approvals.containment_by", person=step.person)
                for step in one.incident.unconfirmed
            ),
            say("approvals.remedy"): f"collegium incident playbook {one.incident.kind}",
        }
        for one in sorted(incidents, key=lambda one: (one.incident.is_told, one.incident.due_at))
    ]  # fmt: skip


def is_late(incidents: Sequence[NumberedIncident], now: datetime) -> bool:
    """Whether the notification of an incident in earnest is late."""
    left = [one.incident.hours_left(now) for one in incidents if not one.incident.drill]
    return any(hours is not None and hours < 0 for hours in left)


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


def digests_sentence(made: MadeProof) -> str:
    """Returns the round of an entry, where it is of one, and its digests."""
    content = parse_log_entry(made.entry)
    said = [(say("audit.details_digest"), content.payload),
            (say("audit.leaf"), leaf_hash(made.entry).hex())]  # fmt: skip
    if content.round is not None:
        said.insert(0, (say("audit.round"), str(content.round + 1)))
    return "; ".join(f"{name}: {value}" for name, value in said)


def verified_statement(found: LogVerification, size: int) -> Statement:
    """Returns whether all records were what the signed log says, of a log of so many entries."""
    if found.faults:
        return Statement(
            text=f"NOT VERIFIED: {counted(len(found.faults), 'fault')} in {size:,} entries and "
            "the records.",
            detail="collegium audit verify says the same on the command line.",
            tone=Tone.BAD,
        )
    return Statement(
        text=f"Verified: all {size:,} entries, and every record against them.",
        detail="Every hash, signed head, cosignature, act of a person and row is what was logged.",
        tone=Tone.GOOD,
    )


def entry_rows(found: Sequence[FoundEntry]) -> list[dict[str, str | int]]:
    """Returns entries of the log, as a search found them, as rows under their column titles."""
    return [
        {
            say("audit.index"): one.entry.index,
            say("audit.time"): show(one.entry.time, Format.TIME),
            say("audit.what_was_done"): entry_words(one.entry.type),
            say("audit.by_whom"): one.act,
            say("audit.run"): one.entry.run or "",
            say("audit.round"): "" if one.entry.round is None else str(one.entry.round + 1),
            say("audit.type"): one.entry.type,
            say("audit.details_digest"): one.entry.payload,
            say("audit.leaf"): one.entry.leaf_hash,
        }
        for one in found
    ]


def page_sentence(page: LogPage, limit: int) -> str:
    """Returns what a page of a search holds, and whether the search has come to its end."""
    shown = counted(len(page.entries), "entry")
    if page.next is None:
        return f"{shown} here, to the beginning of what was asked; the log has {page.size:,}."
    if len(page.entries) < limit:
        return (
            f"{shown} here so far: searched back to entry {page.next:,} of {page.size:,}; the "
            "search goes on from there."
        )
    return f"{shown} here, back to entry {page.next:,} of {page.size:,}; there may be older ones."
