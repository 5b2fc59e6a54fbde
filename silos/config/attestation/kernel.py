"""Evidence from this machine's own processor, by the kernel's one interface for all of them.

``/sys/kernel/config/tsm/report`` (configfs-tsm, Linux 6.7): a folder made there
takes 64 bytes in ``inblob`` and gives the processor's report in ``outblob``,
its certificates, where the host hands them on, in ``auxblob``.

Only root may make such a folder. A service without root's rights uses one that
root made and gave to it (``OWN``): see ``docs/attestation.md``.
"""

import errno
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from protocol.errors import MessageRefused, WorkspaceRefused
from protocol.identity.machine_evidence import MAX_CERTIFICATE, MAX_REPORT, MachineEvidence
from silos.config.attestation import sev_snp, tdx
from silos.config.attestation.certificates import CHAIN_LENGTH, read_certificate, reading

INTERFACE = Path("/sys/kernel/config/tsm/report")
#: Folder of a hospital's home with the certificates of the chip's key, for hosts that hand on none.
CERTIFICATES = "attestation"
#: The folder in it that root prepares for a service without root's rights.
OWN = "collegium"

_KINDS = {"sev_guest": sev_snp.KIND, "tdx_guest": tdx.KIND}
_MAX_TABLE = 32 << 10
_ENTRY_BYTES = 24
#: Names of a certificate table's entries (SEV-ES GHCB specification 2.03, section 4.1.8.1).
_VCEK, _ASK, _ARK = (
    UUID(name).bytes
    for name in (
        "63da758d-e664-4564-adc5-f4b93be8accd",
        "4ab7b379-bbac-4fe4-a02f-05aef327c782",
        "c0b406a4-a803-4952-9743-3fb6014cd0ae",
    )
)


def machine_evidence(
    data: bytes, certificates: Sequence[bytes] = (), interface: Path = INTERFACE
) -> MachineEvidence:
    """Returns this machine's evidence over 64 bytes (``machine_evidence.report_data``).

    Args:
        data: what the processor signs.
        certificates: of the chip's key (DER, leaf first), for where the host hands on none.
        interface: the kernel's folder.

    Raises:
        WorkspaceRefused: this machine has no TEE, this process may not ask it, or what came is
            not about ``data``.
    """
    if not interface.is_dir():
        raise WorkspaceRefused(
            f"this machine shows no TEE: {interface} is missing. It takes a confidential virtual "
            "machine (AMD SEV-SNP or Intel TDX), Linux 6.7 or newer, and configfs mounted"
        )
    try:
        with _entry(interface) as entry:
            provider = (entry / "provider").read_text(encoding="ascii").strip()
            kind = _KINDS.get(provider)
            if kind is None:
                raise WorkspaceRefused(
                    f"the kernel's provider of reports is {provider!r}: {', '.join(_KINDS)} are "
                    "known"
                )
            (entry / "inblob").write_bytes(data)
            report = _read(entry / "outblob", MAX_REPORT)
            table = _read(entry / "auxblob", _MAX_TABLE) if kind == sev_snp.KIND else b""
    except OSError as error:
        raise WorkspaceRefused(_said(error, interface)) from error
    if kind == tdx.KIND:
        _require_about(tdx.read_quote(report).data, data)
        return MachineEvidence(kind=kind, report=report)
    _require_about(sev_snp.read_report(report).data, data)
    return MachineEvidence(
        kind=kind, report=report, certificates=read_table(table) or tuple(certificates)
    )


@contextmanager
def _entry(interface: Path) -> Iterator[Path]:
    """Yields the prepared folder, or one of our own that is removed again."""
    if (interface / OWN).is_dir():
        yield interface / OWN
        return
    entry = interface / f"{OWN}-{secrets.token_hex(8)}"
    entry.mkdir()
    try:
        yield entry
    finally:
        entry.rmdir()


def _read(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise WorkspaceRefused(f"{path.name}: more than {most} bytes")
    return content


def _said(error: OSError, interface: Path) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"{interface} cannot be used by this user: let root prepare {interface / OWN} "
            "(docs/attestation.md), or run this command as root"
        )
    if error.errno in (errno.ENXIO, errno.ENODEV):
        return "this machine shows no TEE: the kernel has no provider of reports"
    return f"the processor gave no report: {error.strerror}"


def _require_about(found: bytes, data: bytes) -> None:
    """Requires that no other process used the folder between our writing and reading."""
    if found != data:
        raise WorkspaceRefused("the report is about other bytes than were asked: ask again")


def read_table(table: bytes) -> tuple[bytes, ...]:
    """Returns the certificates of chip, ASK and ARK in a host's table; none where one is missing.

    Raises:
        MessageRefused: the table is malformed.

    Source: SEV-ES GHCB specification 2.03, section 4.1.8.1: entries of GUID, offset and length,
    ended by zeros.
    """
    found: dict[bytes, bytes] = {}
    for place in range(0, len(table) - _ENTRY_BYTES + 1, _ENTRY_BYTES):
        entry = table[place : place + _ENTRY_BYTES]
        if not any(entry):
            break
        begin, size = (int.from_bytes(entry[at : at + 4], "little") for at in (16, 20))
        if size > MAX_CERTIFICATE or begin + size > len(table):
            raise MessageRefused("certificate table: an entry lies outside")
        found[entry[:16]] = table[begin : begin + size]
    chain = tuple(found[name] for name in (_VCEK, _ASK, _ARK) if name in found)
    return chain if len(chain) == CHAIN_LENGTH else ()


def own_evidence(home: Path, data: bytes, interface: Path = INTERFACE) -> MachineEvidence:
    """Returns this machine's evidence over 64 bytes, with certificates from the hospital's home.

    Raises:
        WorkspaceRefused: this machine has no TEE, or this process may not ask it.
        MessageRefused: a certificate in the home is none.
    """
    return machine_evidence(data, certificates_in(home / CERTIFICATES), interface)


def certificates_in(folder: Path) -> tuple[bytes, ...]:
    """Returns the chip's certificates that people put into a folder, as DER, leaf first.

    ``vcek``, ``ask`` and ``ark``, each ending in ``.der`` or ``.pem``; none where one is missing.

    Raises:
        MessageRefused: a file is no certificate.
        WorkspaceRefused: a file cannot be read.
    """
    found = []
    for name in ("vcek", "ask", "ark"):
        for path in (folder / f"{name}.der", folder / f"{name}.pem"):
            if path.is_file():
                found.append(_der(path))
                break
    return tuple(found) if len(found) == CHAIN_LENGTH else ()


def _der(path: Path) -> bytes:
    try:
        content = _read(path, 2 * MAX_CERTIFICATE)
    except OSError as error:
        raise WorkspaceRefused(f"{path}: cannot be read: {error.strerror}") from error
    if path.suffix == ".pem":
        with reading(str(path)):
            return x509.load_pem_x509_certificate(content).public_bytes(Encoding.DER)
    read_certificate(content)
    return content
