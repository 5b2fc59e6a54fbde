"""Encrypted backups: the ledger's and the keys', apart; what they hold, who opens them."""

import io
import tarfile
from pathlib import Path

import pyrage
import pytest

from protocol.errors import PolicyRefused, SiteFileRefused, WorkspaceRefused
from silos.config.site_file import read_site_file
from silos.database.database import open_hospital
from silos.operations.backup import back_up, restore
from tests.support.hospital.hospital_home import make_east
from tests.support.hospital.sites import SITE

LEDGER, KEYS = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
WITH_BACKUP = SITE + f"backup: {{ledger: [{LEDGER.to_public()}], keys: [{KEYS.to_public()}]}}\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = make_east(tmp_path, site=WITH_BACKUP)
    (home / "studies" / "d").mkdir(parents=True)
    (home / "studies" / "d" / "study.yaml").write_text("a study")
    (home / "tls").mkdir()
    (home / "tls" / "silo.key").write_text("a TLS key")
    (home / "hospital-heads").mkdir(exist_ok=True)
    (home / "hospital-heads" / "kept").write_text("the newest head")
    return home


def identity_file(tmp_path: Path, identity: object) -> Path:
    path = tmp_path / "identity"
    path.write_text(f"# created by age-keygen\n{identity}\n")
    return path


def opened(file: Path, identity: object) -> dict[str, bytes]:
    data = pyrage.decrypt(file.read_bytes(), [identity])
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {name: archive.extractfile(name).read() for name in archive.getnames()}  # type: ignore[union-attr]


def test_the_ledgers_backup_holds_no_key_and_no_head(home: Path, tmp_path: Path) -> None:
    hospital = open_hospital(home / "hospital.db", site="east")  # at work meanwhile
    secrets = (hospital.identity_key, hospital.split_key)
    found = opened(back_up(home, tmp_path / "backup", "ledger"), LEDGER)
    hospital.close()
    assert set(found) == {"hospital.db", "site.yaml", "studies/d/study.yaml"}
    for secret in secrets:
        assert all(secret not in data and secret.hex().encode() not in data
                   for data in found.values())  # fmt: skip


def test_the_keys_backup_holds_the_keys_alone_for_other_people(home: Path, tmp_path: Path) -> None:
    file = back_up(home, tmp_path / "backup", "keys")
    found = opened(file, KEYS)
    assert {name.split("-")[0].split("/")[0] for name in found} == {"hospital", "tls"}
    assert len([name for name in found if name.startswith("hospital-keys/")]) == 2
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(pyrage.DecryptError):
        opened(file, LEDGER)
    with pytest.raises(WorkspaceRefused, match="this identity does not open the backup"):
        restore(file, tmp_path / "new", identity_file(tmp_path, LEDGER))


def test_both_together_bring_the_hospital_back(home: Path, tmp_path: Path) -> None:
    before = open_hospital(home / "hospital.db", site="east")
    own = (before.identity_key, before.split_key, before.ledger.summary().epsilon_max)
    before.close()
    new = tmp_path / "new"
    for what, identity in (("ledger", LEDGER), ("keys", KEYS)):
        file = back_up(home, tmp_path / "backup", what)  # type: ignore[arg-type]
        restore(file, new, identity_file(tmp_path, identity))
    assert {path.stat().st_mode & 0o777 for path in new.rglob("*") if path.is_file()} == {0o600}
    assert {path.stat().st_mode & 0o077 for path in (new, *new.rglob("*"))} == {0}
    after = open_hospital(new / "hospital.db", site="east")
    assert (after.identity_key, after.split_key, after.ledger.summary().epsilon_max) == own
    after.close()


@pytest.mark.parametrize(("name", "kind"), [("../beside", tarfile.REGTYPE), ("a", tarfile.SYMTYPE)])
def test_a_restore_writes_files_below_the_home_and_nothing_else(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: bytes
) -> None:
    made, member = io.BytesIO(), tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/hostname"
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.addfile(member, io.BytesIO())
    monkeypatch.setattr("silos.operations.backup._packed", lambda *_: made.getvalue())
    file = back_up(home, tmp_path / "backup", "ledger")
    with pytest.raises(WorkspaceRefused, match="which no backup does"):
        restore(file, tmp_path / "new", identity_file(tmp_path, LEDGER))
    assert not (tmp_path / "new").exists() and not (tmp_path / "beside").exists()


def test_a_restore_never_overwrites(home: Path, tmp_path: Path) -> None:
    file = back_up(home, tmp_path / "backup", "ledger")
    kept = (home / "hospital.db").read_bytes()
    with pytest.raises(WorkspaceRefused, match="already holds .*: nothing was restored"):
        restore(file, home, identity_file(tmp_path, LEDGER))
    assert (home / "hospital.db").read_bytes() == kept


def test_a_backup_that_was_changed_or_is_none_is_refused(home: Path, tmp_path: Path) -> None:
    file = back_up(home, tmp_path / "backup", "ledger")
    whole = file.read_bytes()
    for spoilt in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), b"", b"age-encryption.org/v1"):
        file.write_bytes(spoilt)
        with pytest.raises(WorkspaceRefused):
            restore(file, tmp_path / "new", identity_file(tmp_path, LEDGER))
        assert not (tmp_path / "new").exists()


def test_without_recipients_nothing_is_written(tmp_path: Path) -> None:
    home = make_east(tmp_path)
    with pytest.raises(PolicyRefused, match="backup.keys in the site file names nobody"):
        back_up(home, tmp_path / "backup", "keys")
    assert not (tmp_path / "backup").exists()


def test_what_is_no_recipient_is_refused() -> None:
    with pytest.raises(SiteFileRefused, match="backup"):
        read_site_file(SITE + "backup: {ledger: [somebody]}\n")
