"""Targets around evidence about machines: reports, quotes, certificates, and how they travel.

Half of what is spoilt is signed again by the tests' own processor, so that
what lies behind the signatures is reached.
"""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from protocol.codec import to_json
from protocol.encoding import parse_canonical
from protocol.errors import MessageRefused, PolicyRefused
from protocol.identity.machine_evidence import (
    MAX_CERTIFICATE,
    MAX_REPORT,
    MachineEvidence,
    RunEvidence,
    parse_run_evidence,
)
from protocol.transport.run_announcement import Joined, parse_joined
from silos.config.attestation import sev_snp, tdx
from silos.config.attestation.kernel import read_table
from tests.long.fuzz.engine import Attempt, Broken, Make, Target
from tests.long.fuzz.mutations import spoil_bytes, spoil_tree
from tests.support.hospital.tee import (
    CHALLENGE,
    IMAGE,
    MEMBER,
    NOW,
    TDX_TCB,
    Snp,
    TdxMachine,
    ark_certificate,
    curve_key,
    der,
    pinned,
    plain_signature,
    sgx_root,
    signature_of,
)

_SNP = sev_snp.SevSnp(
    measurements=frozenset({IMAGE.hex()}),
    least_tcb=sev_snp.Tcb(3, 0, 8, 100),
    roots=pinned(ark_certificate()),
)
_TDX = tdx.Tdx(
    measurements=frozenset({IMAGE.hex()}),
    least_tcb=TDX_TCB,
    registers={1: frozenset({"01" * 48})},
    roots=pinned(sgx_root()),
)
_BODY = slice(0, sev_snp.SIGNED_BYTES)
_REFUSALS = (MessageRefused, PolicyRefused)


def _require_same(honest: bytes, data: bytes, what: str) -> None:
    """Whatever is accepted must say what the honest bytes say."""
    if honest != data:
        raise Broken(f"{what} was accepted with another content")


def _prepare_snp() -> Make:
    honest = Snp().evidence()
    body = honest.report[_BODY]

    def make(random: Random) -> Attempt:
        report, chain = honest.report, list(honest.certificates)
        choice = random.random()
        if choice < 0.4:
            report = spoil_bytes(random, report, [report])[:MAX_REPORT]
        elif choice < 0.7:
            signed = spoil_bytes(random, body, [body])[:MAX_REPORT]
            report = (signed + signature_of(signed, curve_key(0)))[:MAX_REPORT]
        else:
            _spoil_one(random, chain)
        evidence = replace(honest, report=report, certificates=tuple(chain))

        def act() -> None:
            _SNP(MEMBER, evidence, CHALLENGE, NOW)
            if report[_BODY] != body:
                _require_allowed(sev_snp.read_report(report))

        return Attempt(data=report + b"".join(chain), act=act)

    return make


def _require_allowed(report: sev_snp.SnpReport) -> None:
    """A report that was signed again may differ, but not in what the policy asks for."""
    honest = sev_snp.read_report(Snp().evidence().report)
    for name in ("measurement", "data", "chip", "tcb"):
        if getattr(report, name) != getattr(honest, name):
            raise Broken(f"a report with another {name} was accepted")


def _spoil_one(random: Random, chain: list[bytes]) -> None:
    """Spoils one certificate, or the order or number of them."""
    place = random.randrange(len(chain))
    if random.random() < 0.8:
        chain[place] = spoil_bytes(random, chain[place], chain)[:MAX_CERTIFICATE]
    elif random.random() < 0.5:
        random.shuffle(chain)
    else:
        del chain[place]


def _prepare_tdx() -> Make:
    honest = TdxMachine().evidence().report
    body = honest[: tdx.SIGNED_BYTES]

    def make(random: Random) -> Attempt:
        if random.random() < 0.6:
            quote = spoil_bytes(random, honest, [honest])[:MAX_REPORT]
        else:
            signed = spoil_bytes(random, body, [body])
            signature = plain_signature(signed, curve_key(4, "P-256"))
            rest = honest[tdx.SIGNED_BYTES :]
            quote = (signed + rest[:4] + signature + rest[68:])[:MAX_REPORT]
        evidence = MachineEvidence(kind="tdx", report=quote)

        def act() -> None:
            _TDX(MEMBER, evidence, CHALLENGE, NOW)
            read, wanted = tdx.read_quote(quote), tdx.read_quote(honest)
            for name in ("measurement", "data", "module", "qe_report"):
                if getattr(read, name) != getattr(wanted, name):
                    raise Broken(f"a quote with another {name} was accepted")

        return Attempt(data=quote, act=act)

    return make


def _prepare_table() -> Make:
    chain = der(*Snp().chain())
    head = b"".join(
        name
        + (96 + sum(map(len, chain[:place]))).to_bytes(4, "little")
        + len(chain[place]).to_bytes(4, "little")
        for place, name in enumerate(_names())
    )
    table = head + bytes(24) + b"".join(chain)
    if read_table(table) != chain:
        raise Broken("the honest table is not read")

    def make(random: Random) -> Attempt:
        data = spoil_bytes(random, table, [table, head])
        return Attempt(data=data, act=lambda: read_table(data))

    return make


def _names() -> Sequence[bytes]:
    from silos.config.attestation import kernel

    return (kernel._VCEK, kernel._ASK, kernel._ARK)


def _prepare_list() -> Make:
    evidence = MachineEvidence(kind="tdx", report=b"quote", certificates=(b"one", b"two"))
    honest = RunEvidence(shown={"east": evidence, "west": evidence})
    tree = to_json(honest)

    def make(random: Random) -> Attempt:
        if random.random() < 0.3:
            data = spoil_bytes(random, honest.canonical_bytes, [honest.canonical_bytes])
        else:
            data = spoil_tree(random, tree, [tree])
        return Attempt(
            data=data,
            act=lambda: _require_same(parse_run_evidence(data).canonical_bytes, data, "a list"),
        )

    return make


def _prepare_joined() -> Make:
    evidence = MachineEvidence(kind="sev-snp", report=b"report")
    honest = Joined(summary=b"{}", signature=bytes(64), model="0" * 64, evidence=evidence)
    tree = parse_canonical(honest.canonical_bytes)

    def make(random: Random) -> Attempt:
        if random.random() < 0.3:
            data = spoil_bytes(random, honest.canonical_bytes, [honest.canonical_bytes])
        else:
            data = spoil_tree(random, tree, [tree])
        return Attempt(
            data=data, act=lambda: _require_same(parse_joined(data).canonical_bytes, data, "a join")
        )

    return make


ATTESTATION_TARGETS: tuple[Target, ...] = (
    Target(name="sev-snp-evidence", prepare=_prepare_snp, refusals=_REFUSALS),
    Target(name="tdx-evidence", prepare=_prepare_tdx, refusals=_REFUSALS),
    Target(name="certificate-table", prepare=_prepare_table),
    Target(name="run-evidence", prepare=_prepare_list),
    Target(name="join", prepare=_prepare_joined),
)
