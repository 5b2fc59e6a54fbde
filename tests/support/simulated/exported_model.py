"""An exported model for tests: the files that scoring reads, signed by made-up hospitals."""

from pathlib import Path

from pipelines.networks.networks import build, parameters_of
from protocol.identity.roster import Member, SigningKey
from protocol.study.study import Study
from protocol.transport.snapshot import PromisedPrivacy, Snapshot, cosign_snapshot, sign_snapshot
from protocol.vectors.tensors import Tensors, encode_tensors, layout_of, model_digest
from tests.support.hospital.rosters import COORDINATOR_KEY, roster_with


def export(
    folder: Path,
    study: Study,
    tensors: Tensors | None = None,
    signers: int = 3,
    quorum: int | None = None,
) -> Path:
    """Returns a folder with a study's model: drawn parameters where none are given.

    Args:
        folder: made here.
        study: its sites have keys of their own.
        tensors: the parameters.
        signers: so many of the hospitals sign.
        quorum: so many must, as the snapshot says; as the study says when None.
    """
    model = tensors or parameters_of(build(study.task, study.cohort, 5))
    keys = {
        site: SigningKey.from_bytes(bytes(30) + bytes([1, place]))
        for place, site in enumerate(sorted(study.site_names))
    }
    roster = roster_with([Member(site=s, public_key=k.public.hex()) for s, k in keys.items()])
    snapshot = Snapshot(
        coordinator=COORDINATOR_KEY.public.hex(),
        run="20260101T120000-9f0c",
        study=study.digest,
        roster=roster.digest,
        round=2,
        model=model_digest(model),
        layout=layout_of(model).digest,
        parents=("a" * 64,),
        aggregates=(),
        manifest=None,
        quorum=study.threshold if quorum is None else quorum,
        privacy=tuple(_promised(site) for site in keys),
        figures=(),
        licence="",
        permitted_use="",
        created="2026-01-01T12:00:00.000Z",
    )
    signed = sign_snapshot(snapshot, COORDINATOR_KEY)
    for site in list(keys)[:signers]:
        signed = signed.with_signature(site, cosign_snapshot(snapshot, keys[site]), roster)
    folder.mkdir()
    (folder / "snapshot.json").write_bytes(signed.to_bytes())
    (folder / "roster.json").write_bytes(roster.canonical_bytes)
    (folder / "study.json").write_bytes(study.canonical_bytes)
    (folder / "model.safetensors").write_bytes(encode_tensors(model))
    return folder


def _promised(site: str) -> PromisedPrivacy:
    return PromisedPrivacy(
        site=site, unit="patient", mode="per_site", noise="exact",
        epsilon=4_000_000, evaluation_epsilon=None, delta="0.001",
    )  # fmt: skip
