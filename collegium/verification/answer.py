"""The answer of a verification: what was found, what was not checked, and how people are told.

Nothing is looked at here: ``collegium.verification.verify`` does that.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from collegium.output.verdict import verdict
from collegium.verification.inputs import AuditInputs
from compliance.storage.clock import timestamp
from compliance.storage.unnamed_files import named_text
from coordinator.audit.cosignature_check import cosigned_at
from coordinator.audit.faults import AuditFault, Faults
from coordinator.audit.folder_checks import FilesFound
from coordinator.audit.verification import Verified
from protocol.counted import counted
from protocol.log.cosignature import KeyType

#: What people call the type of a cosigner's key: a witness outside has two under one name.
_KEY_TYPES = {
    KeyType.ED25519: "Ed25519",
    KeyType.ED25519_COSIGNER: "Ed25519",
    KeyType.ML_DSA_44_COSIGNER: "ML-DSA-44",
}


@dataclass(frozen=True, kw_only=True)
class Examined:
    """The contents of a folder or bundle, as they were examined.

    ``quorum`` is how many entries of the log a quorum of the newest run's hospitals has cosigned;
    ``files`` is None where a bundle holds none; ``encrypted`` counts the encrypted models whose
    record is whole, None in a bundle; ``checkpoints`` are the sizes of the heads that
    were given; ``report`` is what the given report is about; ``is_founding`` says that no person
    is registered in a consortium.
    """

    records: Verified
    quorum: int
    files: FilesFound | None
    encrypted: int | None
    hospitals: tuple[str, ...]
    checkpoints: tuple[int, ...]
    report: str | None
    is_founding: bool


def answer_of(
    found: Examined,
    given: AuditInputs,
    public: bytes,
    faults: Faults,
    unsettled: Sequence[AuditFault],
) -> dict[str, Any]:
    """Returns what ``collegium audit verify --json`` shows.

    Args:
        found: what was examined.
        given: what the auditor brought along.
        public: the log's key.
        faults: what is wrong.
        unsettled: what only one of two looks at a run at work found.
    """
    records, files = found.records, found.files
    return {
        "verified": not faults.found and not unsettled,
        "faults": [fault.to_json() for fault in faults.found],
        "unsettled": [fault.to_json() for fault in unsettled],
        "not_checked": not_checked(found, given),
        "unnamed_files": list(files.unnamed) if files else [],
        "key": public.hex(),
        "key_given": given.key is not None,
        "root": records.root.hex(),
        "size": records.size,
        "newest_entry": records.newest,
        "verified_at": timestamp(),
        "studies": records.studies,
        "runs": len(records.runs),
        "references": records.references,
        "acts": records.acts,
        "snapshots": files.models if files else 0,
        "kept_rounds": files.kept_rounds if files else 0,
        "encrypted_models": found.encrypted or 0,
        "ledgers": len(found.hospitals),
        "checkpoints": list(found.checkpoints),
        "cosigners": [
            {
                "name": key.name,
                "key": key.key_id.hex(),
                "type": _KEY_TYPES[key.type],
                "size": size,
                "time": cosigned_at(time),
            }
            for key, (size, time) in records.cosigned.newest.items()
        ],
        "cosigned_by_quorum": found.quorum,
        "report": found.report,
    }


def not_checked(found: Examined, given: AuditInputs) -> list[str]:
    """Returns what an answer "verified" does not cover, in sentences."""
    return [
        *_whose_log(found, given),
        "what the coordinator's own software said when it logged it: times, environment, why a "
        "run failed, whether it was a simulation, of which sweep it was, exact figures, pooled "
        "references and what a red team found are logged, and nobody else has signed them",
        *_whose_acts(found),
        *_kept_rounds(found.files),
        *_encrypted(found),
        *_hospitals(found),
        *_other_files(found.files),
    ]


def _whose_log(found: Examined, given: AuditInputs) -> Iterator[str]:
    records = found.records
    if given.key is None:
        yield (
            "whose log it is: the key is the one that lies beside it. Give --key, from the roster "
            "or the root's certificate"
        )
    after = records.size - found.quorum
    if after:
        yield (
            f"whether the newest {counted(after, 'entry')} of the log were shown to anybody: a "
            "quorum of the newest run's hospitals has cosigned the "
            f"{counted(found.quorum, 'entry')} before"
        )
    if records.cosigned.unknown:
        yield (
            f"the cosignatures of {', '.join(sorted(records.cosigned.unknown))}: no roster has "
            "their keys. Give --policy"
        )
    if not found.checkpoints and not found.hospitals:
        yield (
            "whether the whole log was written anew by whoever holds its key. Give --checkpoint, "
            "a note that a hospital keeps (collegium silo log --to FILE), or --hospital, the "
            "folder of one"
        )


def _whose_acts(found: Examined) -> Iterator[str]:
    if found.is_founding:
        yield (
            "who did what: no person is registered here, so acts are attributed to NOBODY "
            "(collegium people found)"
        )


def _kept_rounds(files: FilesFound | None) -> Iterator[str]:
    if files is None:
        yield (
            "models, kept rounds and the page: they were left out of this bundle (collegium audit "
            "export --records-only)"
        )
        return
    if files.kept_rounds:
        yield (
            f"whether the sums of the {counted(files.kept_rounds, 'kept round')}, their models "
            "and released figures follow from what the hospitals sent: collegium audit recompute "
            "does that"
        )
    if files.kept_rounds < files.finished_rounds:
        yield (
            f"the sums of {files.finished_rounds - files.kept_rounds} of {files.finished_rounds} "
            "rounds, and the models and figures released from them: what they can be recomputed "
            "from is kept for a study's last rounds only (aggregation.keep_rounds)"
        )


def _encrypted(found: Examined) -> Iterator[str]:
    if found.encrypted is None:
        yield "encrypted models (weights/): they are in no bundle"
    elif found.encrypted:
        yield (
            "who opened an encrypted model with other software, or a copy of it: neither is "
            "written down here"
        )
        if not found.records.acts:
            yield (
                "whether an encrypted model was removed whole: no person is registered here whose "
                "acts would name it"
            )


def _hospitals(found: Examined) -> Iterator[str]:
    if found.hospitals:
        yield "which vectors the hospitals computed from which patients: only they can see that"
        yield (
            "in the hospitals' databases what is not of the ledger: approvals, decisions about "
            "runs, former keys, rosters, when they were made and whether for a simulation. "
            "collegium audit verify --home does that in a hospital"
        )
    else:
        yield "the hospitals' ledgers: each hospital checks its own at every start"
        yield (
            "whether the coordinator signed other figures of the same model to a hospital at a "
            "run's end: the log holds one release of each kind, and what was sent to whom is not "
            "in it. Give --hospital"
        )


def _other_files(files: FilesFound | None) -> Iterator[str]:
    if files is not None and files.unnamed:
        yield f"files that no record names: {named_text(files.unnamed)}"


def show_answer(answer: dict[str, Any], found: Examined, console: Console) -> None:
    """Prints an answer for people; its last line is the verdict."""

    def line(text: str, style: str | None = None) -> None:
        console.print(text, style=style, markup=False, soft_wrap=True)

    for text in _held(answer, found):
        line(text)
    line(f"not checked at {answer['verified_at']}:")
    for sentence in answer["not_checked"]:
        line(f"  - {sentence}")
    for fault in answer["faults"]:
        place = [f"{name} {fault[name]}" for name in ("hospital", "run", "round") if fault[name]]
        line(f"FAULT      {', '.join(place)}{': ' if place else ''}{fault['what']}", "red")
    faults, unsettled = len(answer["faults"]), len(answer["unsettled"])
    said = verdict(faults, answer["verified_at"], answer["key"], "what was logged", unsettled)
    line(said, "red" if faults else "yellow" if unsettled else "green")


def _held(answer: dict[str, Any], found: Examined) -> Iterator[str]:
    """Yields what was examined, a line for each kind."""
    records, files = found.records, found.files
    source = "given" if answer["key_given"] else "from what is verified"
    if "bundle" in answer:
        yield f"bundle     {answer['bundle']}"
    yield f"key        {answer['key']}, {source}"
    yield f"root       {answer['root']}, {records.size} entries, the newest of {records.newest}"
    runs = f"{counted(len(records.runs), 'run')} of {counted(records.studies, 'study')}"
    if records.references:
        runs += f" and {counted(records.references, 'pooled reference')}"
    yield f"records    {runs}"
    if records.acts:
        yield f"people     {counted(records.acts, 'act')}, signed by who had the right to each"
    kept = "none in this bundle"
    if files is not None:
        kept = f"{counted(files.models, 'model')}, {counted(files.kept_rounds, 'kept round')}"
    yield f"files      {kept}"
    if found.encrypted:
        yield f"encrypted  {counted(found.encrypted, 'model')} with a whole record"
    yield f"hospitals  {', '.join(found.hospitals) or 'none: each keeps its database at home'}"
    for one in answer["cosigners"]:
        who = f"{one['name']} ({one['type']})"
        yield f"cosigned   {one['size']} entries by {who}, {one['time']}"
    if found.checkpoints:
        yield f"checkpoint {', '.join(f'{size} entries' for size in found.checkpoints)}"
    if found.report:
        yield f"report     of {found.report}"
