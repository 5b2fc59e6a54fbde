"""A head of the log is stamped by an RFC 3161 authority, and the stamp is verified offline.

The authority is OpenSSL's, on loopback: another implementation than the one that verifies.
"""

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from collegium.cli import main as cli
from collegium.verification.timestamps import stamp_newest, verify_timestamp
from protocol.errors import LinkLost, MessageRefused, WorkspaceRefused
from tests.support.simulated.output_folder import make_folder

OPENSSL = shutil.which("openssl")
pytestmark = pytest.mark.skipif(OPENSSL is None, reason="no OpenSSL on this machine")
_SETTINGS = """
[tsa]
serial = {place}/serial
crypto_device = builtin
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
ess_cert_id_alg = sha256
accuracy = secs:1
[stamping]
extendedKeyUsage = critical,timeStamping
[root]
basicConstraints = critical,CA:true
"""


def openssl(*words: object) -> bytes:
    done = subprocess.run([OPENSSL or "", *map(str, words)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@dataclass(frozen=True, kw_only=True)
class Authority:
    """A time stamping authority in a folder: its root's certificate, and its answers."""

    place: Path

    @property
    def root(self) -> Path:
        """The certificate to trust."""
        return self.place / "root.pem"

    def answer(self, request: bytes) -> bytes:
        """Returns the answer to one request."""
        (self.place / "request.tsq").write_bytes(request)
        openssl(
            "ts", "-reply", "-config", self.place / "tsa.cnf", "-section", "tsa",
            "-queryfile", self.place / "request.tsq", "-signer", self.place / "tsa.pem",
            "-inkey", self.place / "tsa.key",
            "-out", self.place / "answer.tsr",
        )  # fmt: skip
        return (self.place / "answer.tsr").read_bytes()


def made(place: Path) -> Authority:
    """Makes a root and an authority under it."""
    place.mkdir()
    (place / "tsa.cnf").write_text(_SETTINGS.format(place=place))
    (place / "serial").write_text("01\n")
    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(
        *new, "-x509", "-subj", "/CN=Root", "-keyout", place / "root.key", "-out",
        place / "root.pem", "-days", "30",
    )  # fmt: skip
    openssl(*new, "-subj", "/CN=TSA", "-keyout", place / "tsa.key", "-out", place / "tsa.csr")
    openssl(
        "x509", "-req", "-in", place / "tsa.csr", "-CA", place / "root.pem", "-CAkey",
        place / "root.key", "-CAcreateserial", "-days", "30", "-extfile", place / "tsa.cnf",
        "-extensions", "stamping", "-out", place / "tsa.pem",
    )  # fmt: skip
    return Authority(place=place)


@contextmanager
def serving(answer: object, status: int = 200) -> Iterator[str]:
    """Yields the address of a service that gives what ``answer`` returns of a request."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told = answer(body) if callable(answer) else answer
            self.send_response(status)
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("stamped"))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return made(tmp_path_factory.mktemp("authority") / "tsa")


def test_the_newest_cosigned_head_is_stamped_and_verified(
    folder: Path, authority: Authority, tmp_path: Path
) -> None:
    runner, to = CliRunner(), tmp_path / "head.tsr"
    with serving(authority.answer) as address:
        done = runner.invoke(
            cli.app, ["audit", "timestamp", "--out", str(folder), "--tsa", address, "--to", str(to)]
        )
        assert done.exit_code == 0, done.output
    asked = ["audit", "verify-timestamp", str(to), "--trust", str(authority.root), "--json"]
    done = runner.invoke(cli.app, asked)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert "collegium/witness/v1/east" in (tmp_path / "head.tsr.note").read_text()
    assert told["size"] > 0 and len(told["root"]) == 64
    age = datetime.now(UTC) - datetime.fromisoformat(told["time"])
    assert abs(age) < timedelta(minutes=5)


def test_a_stamp_of_another_note_or_by_another_authority_is_refused(
    folder: Path, authority: Authority, tmp_path: Path
) -> None:
    with serving(authority.answer) as address:
        stamped = stamp_newest(folder, address)
    assert verify_timestamp(stamped.note, stamped.answer, [authority.root]).size > 0
    with pytest.raises(MessageRefused, match="no timestamp of this note"):
        verify_timestamp(stamped.note + b"\n", stamped.answer, [authority.root])
    changed = bytearray(stamped.answer)
    changed[len(changed) // 2] ^= 1
    with pytest.raises(MessageRefused, match="no timestamp of this note"):
        verify_timestamp(stamped.note, bytes(changed), [authority.root])
    other = made(tmp_path / "other")
    with pytest.raises(MessageRefused, match="no timestamp of this note"):
        verify_timestamp(stamped.note, stamped.answer, [other.root])
    with pytest.raises(MessageRefused, match="give --trust"):
        verify_timestamp(stamped.note, stamped.answer, [])


@pytest.mark.parametrize(("answer", "status"), [(b"no", 200), (b"", 500), (bytes(1 << 19), 200)])
def test_whatever_else_an_authority_answers_is_told(
    folder: Path, answer: bytes, status: int
) -> None:
    with serving(answer, status) as address, pytest.raises(LinkLost, match="--tsa http"):
        stamp_newest(folder, address)


def test_an_authority_that_is_away_and_a_certificate_that_is_none_are_told(
    folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(LinkLost, match="does not answer: ConnectError"):
        stamp_newest(folder, "http://127.0.0.1:9")
    (tmp_path / "none.pem").write_text("none")
    with pytest.raises(WorkspaceRefused, match="is no certificate as PEM"):
        verify_timestamp(b"", b"", [tmp_path / "none.pem"])
