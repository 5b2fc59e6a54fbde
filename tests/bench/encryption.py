"""Homomorphic encryption beside our masks: the figures of ``docs/why-not-encryption.md``.

    python -m tests.bench.encryption [--dim 100000] [--sites 8] [--turns 5] [--json]

A table goes to stderr, JSON to stdout. It needs packages that Collegium does
not: tenseal (CKKS, BFV) and phe with gmpy2 (Paillier). They are loaded when it
runs, never when it is imported; without them it says so and ends with code 2.

Rules:

1. Every scheme carries the same updates of the same sites to the same sum, and
   the sum is compared with the truth before anything is reported.
2. The silo's work is measured in turns, all schemes in one run, in CPU time of
   one thread. Keys fall from the sky, for ours as for the others; what our
   agreement, shares, signatures and drop-out recovery add is a row of its own.
3. What is too slow to measure whole is measured on a part and marked.
"""

import argparse
import importlib
import json
import os
import platform
import re
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from protocol.secagg.masking import apply_masks
from protocol.secagg.server import Step
from protocol.vectors.fixed_point import RingVector, decode, encode
from protocol.vectors.keystream import fresh_key
from tests.bench import baseline
from tests.bench.measurement import CPU, milliseconds, take_turns
from tests.support.simulated.sum_federation import Federation

Vector = NDArray[np.float64]

HINT = """install it in an environment of its own:
  python3 -m venv VENV
  VENV/bin/pip install tenseal phe gmpy2 numpy cryptography blake3 rfc8785 threadpoolctl
  VENV/bin/python -m tests.bench.encryption"""
#: What this script needs and the project does not promise.
PACKAGES = ("tenseal", "phe", "gmpy2", "threadpoolctl")
OURS = "ours: masks"
FRAC_BITS, BOUND = 20, 16.0
#: A prime above 2**32, 1 modulo 2 * 4096: sums that fit our 32-bit ring fit BFV's plaintext.
PLAIN_MODULUS = 4294991873
PAILLIER_CIPHERTEXTS = 10
_ENCLAVE = re.compile(r"sgx\w*|sev\w*|tdx\w*|sme|tme")


class Scheme(Protocol):
    """A way to add vectors that nobody may see one by one."""

    name: str
    #: Coordinates that are really computed; fewer than the update's when it is too slow.
    limit: int | None

    def protect(self, update: Vector, site: int) -> Any:
        """Returns the update, masked or encrypted."""

    def serialise(self, protected: Any) -> list[bytes]:
        """Returns what a silo uploads."""

    def load(self, blobs: Sequence[bytes]) -> Any:
        """Returns an upload as something that can be added."""

    def add(self, total: Any, other: Any) -> Any:
        """Returns the protected sum; may change ``total``."""

    def open(self, total: Any) -> Vector:
        """Returns the sum in clear."""


class Masks:
    """Ours: ``encode``, then ``apply_masks`` with the self key and one key for every peer."""

    name = OURS
    limit: int | None = None

    def __init__(self, sites: int) -> None:
        self._self = [fresh_key() for _ in range(sites)]
        self._pair = {(u, v): fresh_key() for v in range(sites) for u in range(v)}

    def keys(self, site: int) -> tuple[list[bytes], list[bytes]]:
        """Returns the keys that a site adds and those that it subtracts."""
        add = [key for (u, _), key in self._pair.items() if u == site]
        return [self._self[site], *add], [k for (_, v), k in self._pair.items() if v == site]

    def protect(self, update: Vector, site: int) -> RingVector:
        words = encode(update, weight=1.0, bound=BOUND, frac_bits=FRAC_BITS)
        add, subtract = self.keys(site)
        apply_masks(words, add=add, subtract=subtract)
        return words

    def serialise(self, protected: RingVector) -> list[bytes]:
        return [protected.tobytes()]

    def load(self, blobs: Sequence[bytes]) -> RingVector:
        return np.frombuffer(blobs[0], dtype=np.uint32).copy()

    def add(self, total: RingVector, other: RingVector) -> RingVector:
        total += other
        return total

    def open(self, total: RingVector) -> Vector:
        clear = total.copy()
        apply_masks(clear, add=[], subtract=self._self)
        return decode(clear, frac_bits=FRAC_BITS)


class Baseline(Masks):
    """The same arithmetic in the 40 lines of ``tests/bench/baseline.py``."""

    name = "40-line baseline"

    def protect(self, update: Vector, site: int) -> RingVector:
        words = np.empty(len(update), dtype=np.uint32)
        baseline.encode(update, FRAC_BITS, words)
        baseline.mask(words, *self.keys(site))
        return words

    def open(self, total: RingVector) -> Vector:
        clear = total.copy()
        baseline.mask(clear, (), self._self)
        return clear.view(np.int32).astype(np.float64) * 2.0**-FRAC_BITS


@dataclass(frozen=True, kw_only=True)
class Lattice:
    """Parameters of CKKS or BFV; ``scale_bits`` is None for BFV, which is exact."""

    degree: int
    moduli: tuple[int, ...]
    scale_bits: int | None
    one_key: bool

    @property
    def slots(self) -> int:
        """Values in one ciphertext."""
        return self.degree if self.scale_bits is None else self.degree // 2


class Seal:
    """CKKS or BFV of Microsoft SEAL, through TenSEAL, on one thread."""

    limit: int | None = None

    def __init__(self, name: str, lattice: Lattice, tenseal: Any) -> None:
        self.name, self._lattice = name, lattice
        exact = lattice.scale_bits is None
        kinds = tenseal.ENCRYPTION_TYPE
        self._context = tenseal.context(
            tenseal.SCHEME_TYPE.BFV if exact else tenseal.SCHEME_TYPE.CKKS,
            poly_modulus_degree=lattice.degree,
            coeff_mod_bit_sizes=list(lattice.moduli),
            plain_modulus=PLAIN_MODULUS if exact else None,
            encryption_type=kinds.SYMMETRIC if lattice.one_key else kinds.ASYMMETRIC,
            n_threads=1,
        )
        if lattice.scale_bits is not None:
            self._context.global_scale = 2.0**lattice.scale_bits
        self._vector = tenseal.bfv_vector if exact else tenseal.ckks_vector
        self._vector_from = tenseal.bfv_vector_from if exact else tenseal.ckks_vector_from

    def protect(self, update: Vector, site: int) -> list[Any]:
        values: NDArray[Any] = update
        if self._lattice.scale_bits is None:
            values = np.rint(update * 2.0**FRAC_BITS).astype(np.int64)
        step = self._lattice.slots
        return [
            self._vector(self._context, values[start : start + step].tolist())
            for start in range(0, len(values), step)
        ]

    def serialise(self, protected: list[Any]) -> list[bytes]:
        return [ciphertext.serialize() for ciphertext in protected]

    def load(self, blobs: Sequence[bytes]) -> list[Any]:
        return [self._vector_from(self._context, blob) for blob in blobs]

    def add(self, total: list[Any], other: list[Any]) -> list[Any]:
        for mine, theirs in zip(total, other, strict=True):
            mine.add_(theirs)
        return total

    def open(self, total: list[Any]) -> Vector:
        clear = np.concatenate([np.array(ciphertext.decrypt()) for ciphertext in total])
        return clear if self._lattice.scale_bits is not None else clear * 2.0**-FRAC_BITS


class Paillier:
    """Paillier with 32 bits for each value: 63 or 95 of them in one plaintext."""

    def __init__(self, bits: int, sites: int, phe: Any) -> None:
        self.name = f"Paillier {bits}, packed"
        self._public, self._private = phe.paillier.generate_paillier_keypair(n_length=bits)
        self._bytes, self._packed = bits // 4, (bits - 1) // 32
        self.limit: int | None = PAILLIER_CIPHERTEXTS * self._packed
        self._sites, self._offset = sites, 2**31 // sites

    def protect(self, update: Vector, site: int) -> list[int]:
        # Shifted above zero: no value borrows from its neighbour, no sum of sites carries into it.
        shifted = (np.rint(update * 2.0**FRAC_BITS) + self._offset).astype("<u4")
        return [
            self._public.raw_encrypt(
                int.from_bytes(shifted[start : start + self._packed].tobytes(), "little")
            )
            for start in range(0, len(shifted), self._packed)
        ]

    def serialise(self, protected: list[int]) -> list[bytes]:
        return [int(ciphertext).to_bytes(self._bytes, "little") for ciphertext in protected]

    def load(self, blobs: Sequence[bytes]) -> list[int]:
        return [int.from_bytes(blob, "little") for blob in blobs]

    def add(self, total: list[int], other: list[int]) -> list[int]:
        square = self._public.nsquare
        return [mine * theirs % square for mine, theirs in zip(total, other, strict=True)]

    def open(self, total: list[int]) -> Vector:
        clear = b"".join(
            int(self._private.raw_decrypt(c)).to_bytes(4 * self._packed, "little") for c in total
        )
        sums = np.frombuffer(clear, dtype="<u4").astype(np.int64) - self._sites * self._offset
        return sums.astype(np.float64) * 2.0**-FRAC_BITS


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One line of the table; milliseconds are of CPU, for the whole vector.

    ``protect`` and ``serialise`` are one silo's work, ``times_ours`` compares
    their sum; ``add`` is the coordinator's for one upload, loading included;
    ``open`` the work of whoever opens the sum. ``computed`` says how many
    coordinates were really computed.
    """

    scheme: str
    dim: int
    protect: float
    serialise: float
    times_ours: float
    add: float
    open: float
    bytes_per_parameter: float
    worst_error: float
    exact: bool
    computed: int


def schemes(sites: int, tenseal: Any, phe: Any) -> list[Scheme]:
    """Returns ours first, then what it is compared with."""
    lattices = {
        "CKKS, NVFlare's default": Lattice(
            degree=8192, moduli=(60, 40, 40), scale_bits=40, one_key=True
        ),
        "CKKS, public key": Lattice(
            degree=8192, moduli=(60, 40, 40, 60), scale_bits=40, one_key=False
        ),
        "CKKS, sums only": Lattice(degree=4096, moduli=(54, 55), scale_bits=40, one_key=True),
        "BFV, sums only": Lattice(degree=4096, moduli=(54, 55), scale_bits=None, one_key=True),
    }
    return [
        Masks(sites),
        Baseline(sites),
        *(Seal(name, lattice, tenseal) for name, lattice in lattices.items()),
        *(Paillier(bits, sites, phe) for bits in (2048, 3072)),
    ]


def costs(found: Sequence[Scheme], dim: int, sites: int, turns: int) -> Iterator[Cost]:
    """Yields the cost of every scheme, ours first; silos' work measured in turns."""
    generator = np.random.default_rng(1)
    updates = [generator.normal(0, 1e-3, dim) for _ in range(sites)]
    protecting = take_turns(
        {scheme.name: _protecting(scheme, updates[0]) for scheme in found}, turns
    )
    sending = take_turns({scheme.name: _sending(scheme, updates[0]) for scheme in found}, turns)
    ours = [sum(pair) for pair in zip(protecting[OURS], sending[OURS], strict=True)]
    for scheme in found:
        part = [update[: scheme.limit] for update in updates]
        scale = dim / len(part[0])
        protect, serialise = protecting[scheme.name], sending[scheme.name]
        carried = _carried(scheme, part)
        yield Cost(
            scheme=scheme.name,
            dim=dim,
            protect=statistics.median(protect) * scale,
            serialise=statistics.median(serialise) * scale,
            times_ours=statistics.median(
                (p + s) * scale / o for p, s, o in zip(protect, serialise, ours, strict=True)
            ),
            add=carried.add * scale,
            open=carried.open * scale,
            bytes_per_parameter=carried.bytes / len(part[0]),
            worst_error=carried.worst_error,
            exact=carried.exact,
            computed=len(part[0]),
        )


def _protecting(scheme: Scheme, update: Vector) -> Callable[[], object]:
    return lambda: scheme.protect(update[: scheme.limit], 0)


def _sending(scheme: Scheme, update: Vector) -> Callable[[], object]:
    protected = scheme.protect(update[: scheme.limit], 0)
    return lambda: scheme.serialise(protected)


@dataclass(frozen=True, kw_only=True)
class Carried:
    """What the way from the uploads to the sum in clear took, and what came out."""

    add: float
    open: float
    bytes: int
    worst_error: float
    exact: bool


def _carried(scheme: Scheme, updates: Sequence[Vector]) -> Carried:
    """Carries the updates to their sum, and checks it against the truth."""
    total: Any = None
    adding, size = [], 0
    for site, update in enumerate(updates):
        blobs = scheme.serialise(scheme.protect(update, site))
        size = sum(map(len, blobs))
        started = CPU()
        loaded = scheme.load(blobs)
        total = loaded if total is None else scheme.add(total, loaded)
        adding.append((CPU() - started) * 1000)
    opening = [milliseconds(lambda: scheme.open(total)) for _ in range(3)]
    found = scheme.open(total)[: len(updates[0])]
    worst = float(np.abs(found - np.sum(updates, axis=0)).max())
    if not worst < 1e-4:
        raise ValueError(f"{scheme.name} gave a wrong sum: it is off by {worst:.1e}")
    whole = np.sum([np.rint(update * 2.0**FRAC_BITS) for update in updates], axis=0)
    return Carried(
        add=statistics.median(adding[1:]),
        open=statistics.median(opening),
        bytes=size,
        worst_error=worst,
        exact=bool(np.array_equal(found * 2.0**FRAC_BITS, whole)),
    )


def additions_that_stay_exact(tenseal: Any, sites: int = 100) -> bool:
    """Whether BFV's small setting still opens exactly after as many additions of large values."""
    lattice = Lattice(degree=4096, moduli=(54, 55), scale_bits=None, one_key=False)
    scheme = Seal("BFV", lattice, tenseal)
    most = (2**31 - 1) // sites
    values = np.random.default_rng(2).integers(-most, most, lattice.slots)
    update = values.astype(np.float64) * 2.0**-FRAC_BITS
    total = scheme.protect(update, 0)
    for site in range(1, sites):
        total = scheme.add(total, scheme.protect(update, site))
    return bool(np.array_equal(scheme.open(total), update * sites))


def whole_round(dim: int, sites: int) -> dict[str, float]:
    """Returns what all of our protocol costs: keys, shares, signatures, digests, masks, sum.

    One honest round through the real state machines; books in memory, no network.
    """
    federation = Federation(sites, {"dim": dim})
    update = np.random.default_rng(1).normal(0, 1e-3, dim)
    started = CPU()
    vector = encode(update, weight=1.0, bound=BOUND, frac_bits=FRAC_BITS)
    encoding = (CPU() - started) * 1000
    silos = dict.fromkeys(federation.sites, encoding)
    sent, begun = 0, CPU()
    for step in Step:
        for site in federation.coordinator.asked(step):
            request = federation.coordinator.request(step, site)
            started = CPU()
            answer = federation.answer(step, site, request, vector)
            silos[site] += (CPU() - started) * 1000
            sent += sum(len(part) for part in answer if part)
            federation.coordinator.receive(step, site, *answer)
        federation.coordinator.close(step)
    total = federation.coordinator.total()
    coordinator = (CPU() - begun) * 1000 - sum(silos.values()) + sites * encoding
    if not np.array_equal(total, vector * np.uint32(sites)):
        raise ValueError("the whole round gave a wrong sum")
    return {
        "silo, ms": statistics.median(silos.values()),
        "coordinator, ms": coordinator,
        "kB up beside the vector": (sent / sites - vector.nbytes) / 1000,
    }


def whole_rounds(dim: int, sites: int, turns: int) -> dict[str, float]:
    """Returns the medians of some whole rounds, after one that is not counted."""
    taken = [whole_round(dim, sites) for _ in range(turns + 1)][1:]
    return {
        f"whole round, d={dim:.0e}, {what}": statistics.median(one[what] for one in taken)
        for what in taken[0]
    }


def seal_version(tenseal: Any) -> str:
    """Returns the version of SEAL inside TenSEAL, as the head of what it serialises says."""
    context = tenseal.context(tenseal.SCHEME_TYPE.CKKS, 4096, coeff_mod_bit_sizes=[54, 55])
    _, head = context.serialize().split(b"\x5e\xa1\x10", 1)
    return f"{head[0]}.{head[1]}"


def machine(tenseal: Any) -> dict[str, Any]:
    """Returns the machine's class, and which enclave features its processor shows."""
    described = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"model name\s*: (.*)", described)
    flags = re.search(r"flags\s*: (.*)", described)
    shown = [flag for flag in flags[1].split() if _ENCLAVE.fullmatch(flag)] if flags else []
    return {
        "cores": os.cpu_count(),
        "processor": model[1] if model else platform.machine(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        **{name: version(name) for name in (*PACKAGES, "numpy", "cryptography")},
        "seal": seal_version(tenseal),
        "enclave_flags": shown,
        "enclave_devices": sorted(
            path.name for kind in ("sgx*", "sev*", "tdx*") for path in Path("/dev").glob(kind)
        ),
    }


def print_costs(found: Sequence[Cost], whole: Mapping[str, float]) -> None:
    """Prints the table to stderr."""
    columns = ("scheme", "d", "protect", "serialise", "x ours", "load+add", "open", "B/param")
    lines = [(*columns, "error", "exact")]
    for cost in found:
        marked = "" if cost.computed == cost.dim else " *"
        lines.append(
            (
                cost.scheme + marked,
                f"{cost.dim:.0e}",
                f"{cost.protect:.3g}",
                f"{cost.serialise:.3g}",
                f"{cost.times_ours:.3g}",
                f"{cost.add:.3g}",
                f"{cost.open:.3g}",
                f"{cost.bytes_per_parameter:.3g}",
                f"{cost.worst_error:.1e}",
                "yes" if cost.exact else "no",
            )
        )
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    for line in lines:
        cells = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip(), file=sys.stderr)
    print("ms of CPU; * extrapolated from 10 ciphertexts", file=sys.stderr)
    for name, value in whole.items():
        print(f"ours, {name}: {value:.3g}", file=sys.stderr)


def main() -> None:
    """Measures as the command line asks."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.encryption")
    parser.add_argument("--dim", type=int, action="append", help="parameters; may be repeated")
    parser.add_argument("--sites", type=int, default=8)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="the figures as JSON, to stdout")
    chosen = parser.parse_args()
    if chosen.sites < 3 or chosen.turns < 1 or min(chosen.dim or [1]) < 1:
        parser.error("at least 3 sites, 1 turn and 1 parameter")
    try:
        # phe works without gmpy2, several times slower.
        tenseal, phe, _, threads = (importlib.import_module(name) for name in PACKAGES)
    except ModuleNotFoundError as error:
        print(f"{error.name} is missing; {HINT}", file=sys.stderr)
        raise SystemExit(2) from None
    found: list[Cost] = []
    whole: dict[str, float] = {}
    compared = schemes(chosen.sites, tenseal, phe)
    with threads.threadpool_limits(1):  # on a busy machine the threads of numpy's BLAS spin
        for dim in chosen.dim or (10**5, 10**6):
            found += costs(compared, dim, chosen.sites, chosen.turns)
            whole |= whole_rounds(dim, chosen.sites, chosen.turns)
    stays_exact = additions_that_stay_exact(tenseal)
    print_costs(found, whole)
    print(f"BFV exact after 100 additions: {stays_exact}", file=sys.stderr)
    print(f"on {machine(tenseal)}", file=sys.stderr)
    if chosen.json:
        document = {
            "machine": machine(tenseal),
            "sites": chosen.sites,
            "turns": chosen.turns,
            "costs": [asdict(cost) for cost in found],
            "whole_round": whole,
            "bfv_exact_after_100_additions": stays_exact,
        }
        print(json.dumps(document, indent=2, allow_nan=False))


if __name__ == "__main__":
    main()
