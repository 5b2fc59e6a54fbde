"""A hospital's private keys: files for their owner alone, in no database, forgotten for good."""

import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from protocol.errors import WorkspaceRefused
from silos.database.database import SiteDatabase, open_hospital
from silos.database.identity_keys import IdentityKeys
from silos.database.joined_runs import JoinedRuns, RunState
from silos.database.tables import SiteTable
from silos.database.trusted_rosters import TrustedRosters


@pytest.fixture
def place(place_of: Callable[[str], Path | str]) -> Path | str:
    return place_of("north")


@pytest.fixture
def opened(place: Path | str, tmp_path: Path) -> Callable[[], SiteDatabase]:
    return lambda: open_hospital(place, site="north", blobs=tmp_path / "north-blobs")


@pytest.fixture
def hospital(opened: Callable[[], SiteDatabase]) -> Iterator[SiteDatabase]:
    found = opened()
    yield found
    found.close()


def everything(hospital: SiteDatabase, place: Path | str) -> bytes:
    """All that a database holds: every cell, and of a file every byte, its log included."""
    with hospital.connection() as connection:
        rows = [row for table in SiteTable.metadata.sorted_tables
                for row in connection.execute(select(table))]  # fmt: skip
    files = sorted(Path(place).parent.glob(f"{Path(place).name}*")) if rows else []
    return repr(rows).encode() + b"".join(path.read_bytes() for path in files)


def holds(found: bytes, secret: bytes) -> bool:
    return secret in found or secret.hex().encode() in found or repr(secret).encode() in found


def test_no_database_ever_holds_a_private_key(hospital: SiteDatabase, place: Path | str) -> None:
    keys = IdentityKeys(hospital)
    secrets = [hospital.split_key, keys.own.to_bytes(), keys.make_next().to_bytes()]
    JoinedRuns(hospital).record("run", study="s" * 64, state=RunState.JOINED)
    secrets.append(TrustedRosters(hospital).leave("a trial").to_bytes())
    found = everything(hospital, place)
    assert keys.own.public.hex().encode() in found
    assert [holds(found, secret) for secret in secrets] == [False] * 4


def test_files_of_keys_are_for_their_owner_alone(hospital: SiteDatabase) -> None:
    IdentityKeys(hospital).make_next()
    folder = hospital.keys.folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name[:8]: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {"split.ke": 0o600, "identity": 0o600}
    assert len(list(folder.iterdir())) == 3


def files_with(folder: Path, secret: bytes) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()
            and holds(path.read_bytes(), secret)]  # fmt: skip


def test_key_that_was_replaced_is_in_no_file_any_more(
    hospital: SiteDatabase, tmp_path: Path
) -> None:
    keys = IdentityKeys(hospital)
    before, never_named = keys.own, keys.make_next()
    assert len(files_with(tmp_path, before.to_bytes())) == 1
    TrustedRosters(hospital).leave("a trial")
    assert files_with(tmp_path, before.to_bytes()) == []
    assert files_with(tmp_path, never_named.to_bytes()) == []
    assert keys.former() == (before.public.hex(),)


def test_key_of_an_open_run_is_kept_until_the_run_has_ended(hospital: SiteDatabase) -> None:
    keys, runs, before = IdentityKeys(hospital), JoinedRuns(hospital), IdentityKeys(hospital).own
    runs.record("run", study="s" * 64, state=RunState.JOINED)
    TrustedRosters(hospital).leave("a trial")
    assert keys.of_run(before.public).public == before.public
    runs.record("run", study="s" * 64, state=RunState.LEFT)
    keys.forget_former()
    with pytest.raises(WorkspaceRefused, match=f"identity key {before.public.hex()[:16]} is miss"):
        hospital.keys.identity(before.public.hex())


def test_database_of_before_does_not_cost_the_hospital_its_newest_key(tmp_path: Path) -> None:
    path = tmp_path / "north.db"
    first = open_hospital(path, site="north")
    first.close()
    shutil.copy(path, tmp_path / "backup")
    later = open_hospital(path, site="north")
    newest = TrustedRosters(later).leave("a trial").public.hex()
    IdentityKeys(later).forget_former()
    later.close()
    for file in tmp_path.glob("north.db*"):
        file.unlink()
    shutil.copy(tmp_path / "backup", path)
    with pytest.raises(WorkspaceRefused, match="is missing from north-keys: restore the backup"):
        open_hospital(path, site="north")
    assert (tmp_path / "north-keys" / f"identity-{newest}.key").is_file()


def test_keys_without_their_database_do_not_get_a_new_ledger(
    opened: Callable[[], SiteDatabase], tmp_path: Path, place: Path | str,
    place_of: Callable[[str], Path | str],
) -> None:  # fmt: skip
    opened().close()
    with pytest.raises(WorkspaceRefused, match="north-keys holds the keys of a hospital whose dat"):
        open_hospital(place_of("fresh"), site="north", blobs=tmp_path / "north-blobs")


def test_database_without_its_keys_is_refused_with_what_to_do(
    opened: Callable[[], SiteDatabase], tmp_path: Path
) -> None:
    opened().close()
    split = tmp_path / "north-keys" / "split.key"
    kept = split.read_bytes()
    for spoilt, said in (
        (b"00" * 32, "the split key is another one than this hospital's database names"),
        (b"0x", "split.key cannot be read: it is damaged"),
        (b"00", "split.key is damaged: restore the backup of keys"),
    ):
        split.write_bytes(spoilt)
        with pytest.raises(WorkspaceRefused, match=said):
            opened()
    split.unlink()
    with pytest.raises(WorkspaceRefused, match="split key is missing from north-keys"):
        opened()
    split.write_bytes(kept)
    opened().close()


def test_keys_may_be_credentials_of_systemd(
    opened: Callable[[], SiteDatabase], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = opened()
    own, split = before.identity_key, before.split_key
    before.close()
    (tmp_path / "north-keys").rename(tmp_path / "credentials")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    hospital = opened()
    assert (hospital.identity_key, hospital.split_key) == (own, split)
    coming = IdentityKeys(hospital).make_next().public.hex()
    assert [path.name for path in (tmp_path / "north-keys").iterdir()] == [f"identity-{coming}.key"]
    hospital.close()
