"""Holds a hospital's own database to the coordinator's log, and the log to it.

A coordinator that rewrites its log, with its key, cannot rewrite what the
hospitals hold: their ledgers, what they have signed once, and the heads of the
log that they took part under. So

* every run, and every round in which something was sent, is one that the log knows;
* every head of the log that the hospital keeps is a head of this log;
* every head of its ledger that the hospital signed lies on its ledger;
* what it signed once in a round is what the log says of that round;
* what the coordinator signed to it of a run's end, model and released figures, is
  what the records say.
"""

from collections.abc import Iterable, Mapping
from contextlib import closing, suppress

from compliance.ledger.entries import UNOPENED, Entry
from compliance.ledger.privacy_plan import calendar_name
from coordinator.audit.faults import Faults
from coordinator.audit.run_checks import LoggedAttempt
from coordinator.audit.verification import Verified
from coordinator.database.workspace import Workspace
from protocol.encoding import digest_json
from protocol.errors import FederationError, StoreBroken
from protocol.log.signed_note import log_origin
from protocol.secagg.log_proof import SignedHead, open_head
from protocol.transport.run_announcement import open_end
from silos.database.database import SiteDatabase, read_hospital
from silos.database.joined_runs import JoinedRun, JoinedRuns
from silos.rounds.openings.log_heads import all_heads

_DATABASE = "hospital.db"
#: The beginning of the slots that name the models which a hospital evaluated.
_EVALUATED = "model/evaluation/"
#: What a hospital whose vector is in a sum has signed in that round.
_SIGNED = ("advert", "masked", "masked-message", "senders")

#: What a hospital has bound itself to: the digests by context (or run) and slot.
SignedDigests = Mapping[str, Mapping[str, str]]


def check_simulated(
    workspace: Workspace, found: Verified, public: bytes, faults: Faults
) -> tuple[str, ...]:
    """Checks the hospitals of a folder's simulations; returns their names."""
    folder = workspace.silos
    there = {path.parent.name for path in folder.glob(f"*/{_DATABASE}")}
    for site in sorted(found.simulated - there):
        faults.add("its ledger is missing", hospital=site)
    signed: dict[str, SignedDigests] = {}
    for site in sorted(there):
        with (
            faults.checking("its database", hospital=site),
            closing(read_hospital(folder / site / _DATABASE, site=site)) as hospital,
        ):
            signed[site] = check_hospital(hospital, site, found, public, faults)
    for attempt in found.attempts:
        with faults.checking("what was sent in it", run=attempt.context.run_id, round=attempt.name):
            _check_blobs(attempt, signed)
    return tuple(sorted(there))


def simulated_files(workspace: Workspace) -> set[str]:
    """Returns the files of a folder's simulated hospitals that these name, from the folder on."""
    folder, found = workspace.silos, set[str]()
    for path in folder.glob(f"*/{_DATABASE}"):
        site = path.parent.name
        with suppress(FederationError), closing(read_hospital(path, site=site)) as hospital:
            found |= {f"{folder.name}/{site}/{name}" for name in hospital.named_files()}
    return found


def check_hospital(
    hospital: SiteDatabase, site: str, found: Verified, public: bytes, faults: Faults
) -> SignedDigests:
    """Checks one hospital's open database; returns what it has signed once."""
    heads = {summary.ledger_head for summary in found.summaries if summary.site == site} - {
        UNOPENED
    }
    with faults.checking("the schema of its database", hospital=site):
        for fault in hospital.schema_faults():
            faults.add(fault, hospital=site)
    with faults.checking("its ledger", hospital=site):
        hospital.ledger.verify(remembered=sorted(heads))
    if hospital.keys.has_split_key:
        with faults.checking("its list of heads", hospital=site):
            hospital.ledger.require_newest()
    chain = hospital.signing_record().all()
    with faults.checking("the heads of the log that it keeps", hospital=site):
        _check_heads(site, all_heads(hospital), found, public, faults)
    entries: list[Entry] = []
    with faults.checking("its ledger", hospital=site), hospital.transaction() as ledger:
        entries = list(ledger.entries())
    _check_known(site, entries, chain, found, faults)
    for run in JoinedRuns(hospital).all():
        with faults.checking("how it was told to end", hospital=site, run=run.run_id):
            _check_end(run, found, public, chain.get(run.run_id, {}))
    for attempt in found.attempts:
        where = {"hospital": site, "run": attempt.context.run_id, "round": attempt.name}
        with faults.checking("what it signed once", **where):
            _check_signing_record(site, attempt, chain)
    return chain


def _check_heads(
    site: str,
    kept: Iterable[tuple[str, SignedHead]],
    found: Verified,
    public: bytes,
    faults: Faults,
) -> None:
    """Checks that a hospital took part under one log, and that each head it keeps is of it."""
    own = log_origin(public)
    for origin, head in kept:
        size, root = head.size, head.root
        if origin != own:
            faults.add(
                f"it keeps a head of {size} entries of another log ({origin}): the log that is "
                "verified is not the one that it took part under",
                hospital=site,
            )
        elif (signed := open_head(head.note, public)).size != size or signed.root != root:
            faults.add(f"the head of {size} entries that it keeps was changed", hospital=site)
        elif found.root_at(size) != root.hex():
            faults.add(
                f"it keeps a signed head of {size} entries and root {root.hex()[:16]}: this log "
                "does not extend it. It was rewritten or cut since",
                hospital=site,
            )


def _check_known(
    site: str, entries: Iterable[Entry], chain: SignedDigests, found: Verified, faults: Faults
) -> None:
    """Checks that every run and round in the hospital's database is in the log."""
    runs = set(found.runs)
    calendars = {calendar_name(one.study_digest) for one in found.summaries if one.site == site}
    contexts = {attempt.context.digest for attempt in found.attempts}
    for run in sorted({entry.run for entry in entries if entry.run} - runs - calendars):
        faults.add("its ledger knows a run that the log does not", hospital=site, run=run)
    sent = {(entry.run, entry.context) for entry in entries if entry.context}
    for run, context in sorted(sent):
        if run in runs and context not in contexts:
            faults.add(
                f"its ledger knows a round (context {context[:16]}) that the log does not",
                hospital=site,
                run=run,
            )
    for name in sorted(chain.keys() - runs - contexts):
        faults.add(f"it signed in a round {name[:16]} that the log does not know", hospital=site)


def _check_end(run: JoinedRun, found: Verified, public: bytes, signed: Mapping[str, str]) -> None:
    told = open_end(run.end, run.run_id, public).result if run.end is not None else None
    if told is not None and told != found.results.get(run.run_id):
        raise StoreBroken(
            "the coordinator signed another model or other figures to it than its records hold"
        )
    evaluated = [model for slot, model in signed.items() if slot.startswith(_EVALUATED)]
    if told is None or not evaluated or told.model in evaluated:
        return
    missed = {  # the run may have gone back to a model that this hospital did not evaluate
        attempt.context.model_hash
        for attempt in found.attempts
        if (attempt.context.run_id, attempt.context.round_kind) == (run.run_id, "evaluation")
        and f"{_EVALUATED}{attempt.context.round}" not in signed
    }
    if told.model not in missed:
        raise StoreBroken("the coordinator signed another model to it than it evaluated")


def _check_signing_record(site: str, attempt: LoggedAttempt, chain: SignedDigests) -> None:
    context, signed = attempt.context, chain.get(attempt.context.digest, {})
    if site in attempt.survivors and not set(_SIGNED) <= signed.keys():
        raise StoreBroken("the log says that it took part, its own database does not")
    if not signed:
        return
    of_run = chain.get(context.run_id, {})
    if of_run.get(context.attempt_slot) != context.digest:
        raise StoreBroken("its own database names another context for this attempt")
    if "masked" in signed and of_run.get(context.round_slot) != context.model_hash:
        raise StoreBroken("its own database names another model for this round")


def _check_blobs(attempt: LoggedAttempt, signed: Mapping[str, SignedDigests]) -> None:
    """Checks that the masked vectors in a sum are the ones that the hospitals sent."""
    if not set(attempt.survivors) <= signed.keys() or not attempt.survivors:
        return  # a network's hospitals keep their databases at home; what is missing was told
    context = attempt.context.digest
    sent = {site: signed[site].get(context, {}).get("masked", "") for site in attempt.survivors}
    if digest_json(dict(sent)) != attempt.blobs:
        raise StoreBroken("the vectors in its sum are not the ones that the hospitals signed")
