"""A hospital's requirements for the other members' machines: ``policy.attestation``."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Literal, Protocol, TypeAlias

from pydantic import Field, StringConstraints, model_validator

from protocol.errors import PolicyRefused
from protocol.identity.machine_evidence import MachineEvidence
from protocol.identity.roster import Member
from protocol.study.frozen_model import FrozenModel
from silos.config.attestation import sev_snp, tdx

GROUP = "collegium.attestation"

Measurement: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{96}$")]
Fingerprint: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Version: TypeAlias = Annotated[int, Field(ge=0, le=255)]


class Verifier(Protocol):
    """Says whether evidence shows that a member's machine is as it should be.

    A maker of another kind of machine ships a verifier as a package with an
    entry point in the group ``collegium.attestation``, named as the evidence's
    kind. Nothing is loaded that the hospital did not install and name itself.
    """

    def __call__(
        self, member: Member, evidence: MachineEvidence, challenge: str, now: datetime, /
    ) -> None:
        """Returns when it does.

        Args:
            member: whose evidence it is said to be.
            evidence: what came; trust no byte of it.
            challenge: the digest of the run's notice.
            now: the time, with a zone.

        Raises:
            MessageRefused, PolicyRefused: it does not.
        """


class SnpTcb(FrozenModel):
    """The oldest firmware that is allowed, each number for itself."""

    boot_loader: Version
    tee: Version
    snp: Version
    microcode: Version


class SevSnpPolicy(FrozenModel):
    """The AMD SEV-SNP machines that are allowed.

    ``measurements`` are the launch digests of images that the consortium built
    itself; ``roots`` the SHA-256 of root certificates, AMD's for Milan unless
    others are named; ``max_vmpl`` the least privileged level that may ask for
    a report.
    """

    measurements: Annotated[tuple[Measurement, ...], Field(min_length=1)]
    least_tcb: SnpTcb
    roots: Annotated[tuple[Fingerprint, ...], Field(min_length=1)] = (sev_snp.ARK_MILAN,)
    max_vmpl: Annotated[int, Field(ge=0, le=3)] = 0

    def verifier(self) -> Verifier:
        """Returns the verifier of such evidence."""
        least = self.least_tcb
        return sev_snp.SevSnp(
            measurements=frozenset(self.measurements),
            least_tcb=sev_snp.Tcb(least.boot_loader, least.tee, least.snp, least.microcode),
            roots=frozenset(self.roots),
            max_vmpl=self.max_vmpl,
        )


class TdxPolicy(FrozenModel):
    """The Intel TDX machines that are allowed.

    ``measurements`` are MRTDs; ``registers`` what run-time registers may hold
    (a register that is not named may hold anything); ``least_tcb`` the 16
    security versions, in hexadecimal, each for itself; ``roots`` the SHA-256 of
    root certificates, Intel's unless others are named.
    """

    measurements: Annotated[tuple[Measurement, ...], Field(min_length=1)]
    least_tcb: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    registers: Mapping[
        Literal["0", "1", "2", "3"], Annotated[tuple[Measurement, ...], Field(min_length=1)]
    ] = Field(default_factory=dict)
    roots: Annotated[tuple[Fingerprint, ...], Field(min_length=1)] = (tdx.INTEL_SGX_ROOT,)

    def verifier(self) -> Verifier:
        """Returns the verifier of such evidence."""
        return tdx.Tdx(
            measurements=frozenset(self.measurements),
            least_tcb=bytes.fromhex(self.least_tcb),
            registers={int(name): frozenset(held) for name, held in self.registers.items()},
            roots=frozenset(self.roots),
        )


class AttestationPolicy(FrozenModel):
    """The kinds of machine on which the other members may keep their identity keys.

    ``installed`` names verifiers that this hospital installed itself, by the
    kind of evidence that they read.
    """

    sev_snp: SevSnpPolicy | None = None
    tdx: TdxPolicy | None = None
    installed: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")], ...] = ()

    @model_validator(mode="after")
    def _some(self) -> "AttestationPolicy":
        if self.sev_snp is None and self.tdx is None and not self.installed:
            raise ValueError("must name sev_snp, tdx or an installed verifier")
        if taken := {sev_snp.KIND, tdx.KIND} & set(self.installed):
            raise ValueError(f"{', '.join(sorted(taken))} is checked by Collegium itself")
        return self

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of evidence that are accepted."""
        own = ((sev_snp.KIND, self.sev_snp), (tdx.KIND, self.tdx))
        return (*(kind for kind, asked in own if asked is not None), *self.installed)

    def verifiers(self) -> Mapping[str, Verifier]:
        """Returns the verifier of every kind that is accepted.

        Raises:
            PolicyRefused: one that the policy names is not installed.
        """
        found = {name: find_verifier(name) for name in self.installed}
        if self.sev_snp is not None:
            found[sev_snp.KIND] = self.sev_snp.verifier()
        if self.tdx is not None:
            found[tdx.KIND] = self.tdx.verifier()
        return found


def find_verifier(name: str, installed: Iterable[EntryPoint] | None = None) -> Verifier:
    """Returns the installed verifier of this name.

    Args:
        name: as the policy says it.
        installed: the entry points to look in; this Python's own when None.

    Raises:
        PolicyRefused: none, or more than one, is installed.
    """
    found = entry_points(group=GROUP) if installed is None else installed
    named = [point for point in found if point.name == name]
    if len(named) != 1:
        raise PolicyRefused(
            f"the policy asks for evidence that {name!r} verifies, but {len(named)} verifiers of "
            "that name are installed: install the package that brings it, once"
        )
    verifier: Verifier = named[0].load()
    return verifier
