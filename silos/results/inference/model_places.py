"""Places of released models: an exported folder, or a run that a hospital keeps.

Rules:

1. Of a folder ``study.json``, ``model.safetensors``, ``snapshot.json`` and ``roster.json`` are
   read, and the pretrained parameters that the study names; ``collegium models verify`` checks all
   of it.
2. Study and parameters have the digests that the snapshot names, before a network is built.
3. With a key that is trusted as the coordinator's, the snapshot's signatures and quorum are
   checked too; without one that is said beside every score.
"""

from collections.abc import Collection
from pathlib import Path

from compliance.governance.study_store import StudyStore
from compliance.storage.atomic_file import read_named
from protocol.encoding import digest
from protocol.errors import MessageRefused, PolicyRefused, QuorumLost, WorkspaceRefused
from protocol.identity.roster import parse_roster
from protocol.study.study_file import pretrained_beside, read_study
from protocol.transport.snapshot import SignedSnapshot, parse_snapshot
from protocol.vectors.tensors import MAX_BYTES, decode_tensors, layout_of, model_digest
from silos.config.coordinator_identity import coordinator_keys
from silos.config.directory import reading
from silos.config.site_file import SiteFile
from silos.config.study_authorization import admit_recipes
from silos.results.inference.scoring_model import ScoringModel, scoring_model
from silos.results.kept_models import read_model
from silos.results.run_results import results_of

_SNAPSHOT, _ROSTER, _STUDY, _MODEL = (
    "snapshot.json", "roster.json", "study.json", "model.safetensors",
)  # fmt: skip
_MOST = 1 << 22


def trusted_keys(home: Path) -> set[bytes]:
    """Returns the coordinator's keys that a hospital trusts; none where it has not enrolled.

    Raises:
        SiteFileRefused, WorkspaceRefused: no hospital can be read there.
    """
    with reading(home) as (_, hospital):
        return coordinator_keys(home, hospital)


def model_of_folder(
    folder: Path, trusted: Collection[bytes], site: SiteFile | None = None, home: Path | None = None
) -> ScoringModel:
    """Returns the model of an exported folder.

    Args:
        folder: that ``collegium models export`` wrote.
        trusted: keys (32 bytes), one of which must have signed the snapshot; none: nothing is said
            about who did.
        site: the hospital's site file, which says what recipes may be used; None without one.
        home: the hospital's folder, where its recipes lie.

    Raises:
        WorkspaceRefused: a file is missing.
        MessageRefused, QuorumLost: study or parameters are not those of the snapshot, or it is not
            signed by a trusted key and enough hospitals.
        StudyRefused: the study cannot be read.
        PolicyRefused: the hospital does not allow a recipe that the study names.
    """
    signed = parse_snapshot(_read(folder, _SNAPSHOT))
    snapshot = signed.snapshot
    vouched = _vouched(folder, signed, trusted)
    document = _read(folder, _STUDY)
    if digest(document) != snapshot.study:
        raise MessageRefused(f"{_STUDY} is not the study that the snapshot names: export again")
    study = read_study(_text(document), _STUDY)
    if study.digest != snapshot.study:
        raise MessageRefused(f"{_STUDY} is not written as the study's digest is taken")
    snapshot.require_quorum(study.threshold, study.site_names)
    tensors = decode_tensors(_read(folder, _MODEL, MAX_BYTES))
    if (model_digest(tensors), layout_of(tensors).digest) != (snapshot.model, snapshot.layout):
        raise MessageRefused(
            f"{_MODEL} holds other parameters than the signed snapshot names: it was changed, or "
            "is another model's. Do not use it"
        )
    named = study.task.pretrained
    if named is not None:
        data = pretrained_beside(study, folder)
        named.attach(data or b"")
    if study.recipes:
        if site is None or home is None:
            raise PolicyRefused(
                "the study takes code from a recipe: only a hospital whose policy names it may run "
                "it: give --home"
            )
        admit_recipes(site, home, study)
    return scoring_model(
        study, tensors, run=snapshot.run, snapshot=snapshot.digest, vouched=vouched
    )


def model_of_run(home: Path, site: SiteFile, run: str, *, own: bool = False) -> ScoringModel:
    """Returns the final model of a run that a hospital keeps, or its own one.

    Args:
        home: the hospital's folder.
        site: its site file.
        run: the run; a unique beginning is enough.
        own: whether the hospital's own (personalised) model is meant.

    Raises:
        WorkspaceRefused: there is no such run, or none of its models is here.
        PolicyRefused: the model is not the one that the coordinator signed at the run's end, or the
            hospital does not allow a recipe of the study.
        StoreBroken, StudyRefused: model or study are damaged, or no longer here.
    """
    found = results_of(home, run)
    path = found.personalised_file if own else found.model_file
    if path is None:
        which = "model of this hospital's own" if own else "final model"
        raise WorkspaceRefused(f"no {which} of run {found.run_id} is here: {found.about_model}")
    if found.is_other_end or (not own and found.is_announced_model is not True):
        raise PolicyRefused(f"run {found.run_id}: its model scores nobody: {found.about_model}")
    study, _ = StudyStore(home / "studies").read(found.study_digest)
    if study.recipes:
        admit_recipes(site, home, study)
    said = "the hospital's own model, which nobody signed" if own else found.about_model
    return scoring_model(study, read_model(path), run=found.run_id, snapshot=None, vouched=said)


def _vouched(folder: Path, signed: SignedSnapshot, trusted: Collection[bytes]) -> str:
    """Returns who vouches for a snapshot, for people."""
    if not trusted:
        return "nobody that is known here: signatures were not checked (give --key, or --home)"
    key = bytes.fromhex(signed.snapshot.coordinator)
    if key not in trusted:
        raise MessageRefused(f"{_SNAPSHOT} is of a coordinator that is not trusted here")
    roster = parse_roster(_read(folder, _ROSTER))
    try:
        signed.require_signed(key, roster)
    except (MessageRefused, QuorumLost) as error:
        raise type(error)(f"{_SNAPSHOT}: {error}") from error
    count = len(signed.signatures)
    return f"the trusted coordinator and {count} of {len(signed.snapshot.sites)} hospitals signed"


def _read(folder: Path, name: str, most: int = _MOST) -> bytes:
    path = folder / name
    if not path.is_file() or path.is_symlink():
        raise WorkspaceRefused(
            f"{path} is missing: name a folder that collegium models export wrote, or a run that "
            "this hospital keeps (--home FOLDER --run RUN)"
        )
    return read_named(path, name, most)


def _text(document: bytes) -> str:
    try:
        return document.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MessageRefused(f"{_STUDY} is no text") from error
