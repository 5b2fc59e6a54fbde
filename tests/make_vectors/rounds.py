"""Two whole rounds from a seed, and hands that sign anything in their contexts."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from protocol.codec import to_json
from protocol.encoding import digest, digest_json
from protocol.identity.roster import COORDINATOR, Member, SigningKey
from protocol.secagg.context import COUNTS, RoundContext
from protocol.secagg.encrypted_shares import SiloSecrets
from protocol.secagg.masking import pair_key, self_key
from protocol.secagg.messages import (
    ENTRY_BYTES,
    M,
    Masked,
    Message,
    Origin,
    ShareHeader,
    open_message,
    sign_message,
)
from protocol.secagg.server import Step
from protocol.vectors.evaluation import binary_counts, in_units
from protocol.vectors.fixed_point import decode, decode_counts, encode, encode_counts
from protocol.vectors.keystream import RingVector
from protocol.vectors.ring_bounds import least_ring_bits, max_sum_of_counts, max_sum_of_updates
from protocol.vectors.tensors import layout_of, model_digest
from tests.make_vectors.recorded_round import (
    Exchange,
    Recorded,
    Secrets,
    Tamper,
    wire_json,
)
from tests.support.hospital.rosters import roster_with
from tests.support.simulated.sum_federation import LEDGER_HEAD

SEED = "collegium vectors, suite 1"
MODEL = {
    "bias": {"shape": [2], "values": [0.5, -0.25]},
    "weight": {"shape": [2, 3], "values": [1.0, -1.0, 0.0, 0.125, 2.0, -3.5]},
}
PATIENTS = {"lyon": 1000, "oslo": 500, "porto": 2000, "turin": 1500}
UPDATES = {
    "lyon": [0.5, -0.25, 1.0, 0.0, 3e-7, -5e-7, 0.1, -1.5],
    "oslo": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8],
    "porto": [-0.5, 0.25, -2.0, 0.0, 1e-6, 1e-9, 0.1, 4.0],
    "turin": [16.0, 12.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],  # norm 20: shortened to the bound
}
COUNTED = {
    "lyon": ([[9, 3], [1, 7]], [[8, 4], [2, 6]]),
    "oslo": ([[5, 0], [0, 5]], [[5, 0], [0, 5]]),
    "porto": ([[2, 2], [2, 2]], [[1, 3], [3, 1]]),
}
BOUND, FRAC_BITS, BINS = 16.0, 20, 2
GRID = (-15_000, 12_500)  # centre -1.5, spread 1.25


def training_round() -> Recorded:
    """Four sites, t = 3; oslo is lost after it has dealt its shares."""
    weights = {site: float(count) for site, count in PATIENTS.items()}
    model = {
        name: np.array(tensor["values"], "<f4").reshape(tensor["shape"])
        for name, tensor in MODEL.items()
    }
    vectors = {
        site: encode(
            np.array(update),
            weight=weights[site] / max(weights.values()),
            bound=BOUND,
            frac_bits=FRAC_BITS,
        )
        for site, update in UPDATES.items()
    }
    most = max_sum_of_updates(sites=4, bound=BOUND, frac_bits=FRAC_BITS)
    fields = {
        "round_kind": "training",
        "round": 0,
        "model_hash": model_digest(model),
        "layout_hash": layout_of(model).digest,
        "dim": layout_of(model).size,
        "ring_bits": least_ring_bits(most),
        "frac_bits": FRAC_BITS,
        "bound": repr(BOUND),
        "weights_hash": digest_json(weights),
    }
    return _recorded(vectors, threshold=3, lost={"oslo": Step.MASKED}, **fields)


def counting_round() -> Recorded:
    """Three sites, t = 3, counts in the 64-bit ring; nobody is lost."""
    sites = tuple(COUNTED)
    layout = binary_counts(BINS)
    vectors = {
        site: encode_counts(in_units(np.array(scores))) for site, (scores, _) in COUNTED.items()
    }
    tables = {
        site: (*map(int, in_units(np.array(table))), *GRID) for site, (_, table) in COUNTED.items()
    }
    fields = {
        "round_kind": "evaluation",
        "round": 1,
        "model_hash": digest(b"a model"),
        "layout_hash": layout.digest,
        "dim": layout.size,
        "ring_bits": least_ring_bits(max_sum_of_counts(sites=len(sites))),
        "frac_bits": 0,
        "bound": COUNTS,
        "weights_hash": digest_json(dict.fromkeys(sites, 1.0)),
    }
    return _recorded(vectors, tables=tables, threshold=3, lost={}, **fields)


def _recorded(
    vectors: Mapping[str, RingVector],
    *,
    tables: Mapping[str, tuple[int, ...]] | None = None,
    threshold: int,
    lost: Mapping[str, Step],
    **fields: Any,
) -> Recorded:
    sites = tuple(vectors)
    secrets = {
        site: Secrets.drawn(f"{SEED}, {fields['round_kind']}", site, sites, threshold)
        for site in sites
    }
    keys = {site: SigningKey.from_bytes(secrets[site].identity) for site in sites}
    roster = roster_with(
        tuple(Member(site=site, public_key=keys[site].public.hex()) for site in sites)
    )
    context = RoundContext(
        study_digest=digest(b"a study"),
        run_id="run-1",
        attempt=0,
        draw=0,
        log_size=0,
        log_root=digest(b""),
        roster_digest=roster.digest,
        participants=sites,
        threshold=threshold,
        colluders=1,
        dp_event_hash=digest(b"a privacy plan"),
        **fields,
    )
    return Recorded(
        coordinator=SigningKey.from_bytes(bytes.fromhex(digest(SEED.encode()))),
        roster=roster,
        context=context,
        secrets=secrets,
        vectors=vectors,
        tables=tables or dict.fromkeys(sites, ()),
        lost=lost,
    )


def round_json(about: str, recorded: Recorded) -> dict[str, Any]:
    """Returns a whole round as its vector file holds it."""
    exchanges, machine = recorded.played()
    machine.close(Step.UNMASK)
    total, context = machine.total(), recorded.context
    decoded: list[Any] = (
        [str(count) for count in decode_counts(total)]
        if context.bound == COUNTS
        else [float(value) for value in decode(total, frac_bits=context.frac_bits)]
    )
    return {
        "about": about,
        "seed": SEED,
        "coordinator": {
            "private": recorded.coordinator.to_bytes().hex(),
            "public": recorded.coordinator.public.hex(),
        },
        "roster": recorded.roster.canonical_bytes.decode(),
        "context": to_json(context),
        "context_digest": context.digest,
        "ledger_head": LEDGER_HEAD,
        "sites": {
            site: {
                "secrets": recorded.secrets[site].to_json(),
                **_input_json(site, context),
                "vector": recorded.vectors[site].tobytes().hex(),
                "table": list(recorded.tables[site]),
            }
            for site in context.participants
        },
        "lost": {site: step.value for site, step in recorded.lost.items()},
        "keys": _keys_json(recorded),
        "steps": {step.value: exchange.to_json() for step, exchange in exchanges.items()},
        "survivors": list(machine.survivors),
        "total": total.tobytes().hex(),
        "sum": decoded,
    }


def _input_json(site: str, context: RoundContext) -> dict[str, Any]:
    if context.bound == COUNTS:
        scores, table = COUNTED[site]
        return {"scores": scores, "table": table}
    return {"update": UPDATES[site], "weight": PATIENTS[site] / max(PATIENTS.values())}


def _keys_json(recorded: Recorded) -> dict[str, Any]:
    """What follows from the secrets: for whoever looks for the first byte that differs."""
    context, sites = recorded.context, recorded.context.participants
    own = {site: own_secrets(recorded, site) for site in sites}
    adverts = {site: own[site].advert() for site in sites}
    pairs = [(a, b) for a in sites for b in sites if a < b]
    return {
        "self": {site: self_key(own[site].self_secret, context).hex() for site in sites},
        "pair": {
            f"{a} {b}": pair_key(own[a].mask_private, adverts[b].mask_public, context, a, b).hex()
            for a, b in pairs
        },
    }


def own_secrets(recorded: Recorded, site: str) -> SiloSecrets:
    with recorded.secrets[site].played():
        return SiloSecrets.fresh(recorded.context, site)


def entries_by(exchanges: Mapping[Step, Exchange], owner: str) -> list[bytes]:
    data = exchanges[Step.SHARE].answers[owner][1] or b""
    return [data[start : start + ENTRY_BYTES] for start in range(0, len(data), ENTRY_BYTES)]


class Bench:
    """The honest round, and hands that sign anything in its context."""

    def __init__(self, recorded: Recorded) -> None:
        self.recorded = recorded
        self.exchanges, _ = recorded.played()

    def answer(self, step: Step, site: str) -> bytes:
        """Returns a site's honest message."""
        return self.exchanges[step].answers[site][0]

    def answers(self, step: Step) -> dict[str, bytes]:
        """Returns the honest messages of a step, by site."""
        return {site: pair[0] for site, pair in self.exchanges[step].answers.items()}

    def by(self, site: str, message: Message, **envelope: str) -> bytes:
        """Returns a message that a site signs."""
        context = envelope.get("context", self.recorded.context.digest)
        sender = envelope.get("sender", site)
        key = self.recorded.key(envelope.get("key", site))
        return sign_message(message, context=context, sender=sender, key=key)

    def asks(self, message: Message, **envelope: str) -> bytes:
        """Returns a message that the coordinator signs."""
        context = envelope.get("context", self.recorded.context.digest)
        key = self.recorded.coordinator
        return sign_message(message, context=context, sender=COORDINATOR, key=key)

    def altered(self, tamper: Tamper) -> dict[str, Any]:
        """Returns the answers that differ when a site's state is spoilt."""
        exchanges, _ = self.recorded.played(tamper)
        changed: dict[str, Any] = {}
        for step, exchange in exchanges.items():
            for site, answer in exchange.answers.items():
                if answer != self.exchanges[step].answers[site]:
                    changed.setdefault(step.value, {})[site] = pair_json(*answer)
        return changed


def pair_json(message: bytes, beside: bytes | None = None) -> dict[str, Any]:
    """Returns an answer or a request as vectors hold it."""
    return {"message": wire_json(message), "beside": beside.hex() if beside else None}


def header_by(bench: Bench, site: str) -> ShareHeader:
    from_site = bench.exchanges[Step.SHARE].answers[site][0]
    return opened_answer(bench, site, from_site, ShareHeader)


def blobs_of(bench: Bench) -> dict[str, str]:
    answers = bench.answers(Step.MASKED)
    return {site: opened_answer(bench, site, wire, Masked).blob for site, wire in answers.items()}


def opened_answer(bench: Bench, site: str, wire: bytes, kind: type[M]) -> M:
    public = bench.recorded.roster.key_of(site)
    origin = Origin(sender=site, public=public, context=bench.recorded.context.digest)
    return open_message(wire, kind, origin)
