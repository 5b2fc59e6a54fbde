"""Entries of the log in words: what was done, for people; the digests stand apart, after them."""

from collections.abc import Iterator, Sequence

from compliance.facts.dossier import EntryFacts
from compliance.facts.formatting import Format, show

_WORDS = {
    "study-registered": "The study was registered, before any work of it",
    "roster": "The members and keys of this run were fixed",
    "run-started": "The run began",
    "manifest": "The inputs of the run were kept, by digest",
    "approvals": "The hospitals' signed summaries were kept: they joined",
    "round-opened": "A round was opened, with the head of the log that it begins from",
    "survivors": "The round ended: who answered and who dropped out",
    "round-failed": "The attempt failed",
    "masked-blobs": "The masked vectors, by digest",
    "ledger-heads": "The heads of the hospitals' ledgers",
    "transcript": "The round's transcript, by digest",
    "sum": "The sum of the masked vectors, by digest",
    "result": "The model that the round gave, by digest",
    "release": "Figures were released, with noise",
    "course": "The course of the run was fixed after an evaluation",
    "settlements": "The hospitals' last signed summaries were kept",
    "snapshot": "The model was kept",
    "snapshot-signed": "Hospitals signed the snapshot of a run's model",
    "model-founded": "A model of the register was founded, with its thresholds",
    "model-registered": "A version of a model became a candidate",
    "model-canary-begun": "A version of a model became a canary of some hospitals",
    "model-canary-ended": "The canary of a model was ended",
    "model-promoted": "A version of a model went into production",
    "model-rolled-back": "A model went back to the version before",
    "model-retired": "A version of a model was retired",
    "model-named": "A version of a model was given a name",
    "model-served-stated": "A hospital's signed statement of what it served was taken",
    "exact-figures": "A simulation's exact figures were kept",
    "run-finished": "The run finished",
    "run-failed": "The run failed",
    "run-stopped": "The run was stopped",
    "conduct": "How hospitals behaved in the round was kept",
    "accusation": "A hospital was accused, with the signed messages that show it",
    "release-key": "The key that signs exported models was made",
    "reference": "A pooled reference of a simulation was kept",
    "redteam": "A red team's findings were kept",
    "alert-raised": "An alert was raised",
    "alert-closed": "An alert was closed",
    "alert-acknowledged": "An alert was acknowledged by a person",
    "alert-queued": "An alert was to be sent",
    "alert-tried": "Sending an alert was tried",
    "alert-sent": "An alert was sent",
    "alert-unsent": "An alert could not be sent",
    "certified": "A certificate was issued",
    "certificate-revoked": "A certificate was revoked",
    "invited": "A hospital was invited",
    "enrolled": "A hospital enrolled with its key",
    "invitation-used": "An invitation was used up",
    "invitation-withdrawn": "An invitation was withdrawn",
    "roster-proposed": "A roster of members and keys was proposed",
    "roster-vote": "A member signed the proposed roster",
    "roster-signed": "Enough members had signed the roster",
    "roster-withdrawn": "The proposed roster was withdrawn",
    "key-replaced": "A hospital's former key was replaced",
    "key-adopted": "A hospital's new key was adopted",
    "act-failed": "A person's act failed",
    "change-failed": "A confirmed change failed",
    "masked": "A hospital's signed message was kept, to be shown to it again",
    "act-allowed": "A person's act was allowed",
    "act-proposed": "A person's act was kept as a proposal",
    "act-refused": "A person's act was refused",
    "act-done": "A person's act was carried out",
    "person-added": "A person was registered with a key and roles",
    "person-ended": "A person's key and roles ended",
    "person-suspended": "A person was suspended",
    "policy-changed": "An access policy was put in force",
    "change-proposed": "A change that takes two people was proposed",
    "change-confirmed": "A second person confirmed a change",
    "change-withdrawn": "A change that waited was withdrawn",
    "cosigned": "Hospitals, and witnesses outside, cosigned a head of the log",
    "revoked": "A hospital was revoked",
    "incident-opened": "An incident was opened",
    "incident-contained": "An incident was contained",
    "incident-confirmed": "A second person confirmed an incident's containment",
    "incident-notified": "An incident's notification was recorded, or why none is due",
    "incident-closed": "An incident was closed",
    "drill-opened": "A drill was opened",
    "drill-contained": "A drill was contained: nothing was done",
    "drill-confirmed": "A second person confirmed a drill's containment",
    "drill-notified": "A notification was recorded in a drill, as practice",
    "drill-closed": "A drill was closed",
    "hold-placed": "A legal hold was placed",
    "hold-lifted": "A legal hold was lifted",
    "page": "The page of the newest run was written",
}


def entry_words(kind: str) -> str:
    """Returns the type of an entry in words.

    >>> entry_words("run-failed"), entry_words("something-new")
    ('The run failed', 'Something new')
    """
    return _WORDS.get(kind, kind.replace("-", " ").capitalize())


def log_lines(entries: Sequence[EntryFacts]) -> Iterator[str]:
    """Yields an entry's number, time (UTC), digest and type on a line for each."""
    width = len(str(entries[-1].index)) if entries else 1
    for entry in entries:
        moment = show(entry.time, Format.TIME).removesuffix(" UTC")
        yield f"{entry.index:>{width}} {moment} {entry.payload} {entry.type}"
