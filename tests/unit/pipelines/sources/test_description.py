"""A source is described by kind, name and digest, and by no address."""

from pathlib import Path

import pytest

from pipelines.sources.description import SourceDescription, described
from pipelines.sources.source import BundledRecords, DatabaseQuery, RecordFile
from pipelines.sources.tables.sql.address import DatabaseAddress
from pipelines.sources.tables.sql.reading import QueryLimits
from protocol.encoding import digest
from protocol.errors import CohortRefused


def test_a_file_and_a_query_are_described_by_their_bytes(tmp_path: Path) -> None:
    path = tmp_path / "east.sql"
    path.write_text("SELECT 1")
    known = digest(b"SELECT 1")
    file = described(RecordFile(path=path))
    assert file == SourceDescription(kind="file", name="east.sql", sha256=known)
    address = DatabaseAddress(folder=tmp_path, url="sqlite:///east.db", url_env=None, url_file=None)
    query = DatabaseQuery(address=address, query=path, limits=QueryLimits(seconds=1, rows=1))
    assert described(query) == SourceDescription(kind="sql", name="east.sql", sha256=known)
    assert described(BundledRecords()).kind == "bundled"
    path.unlink()
    with pytest.raises(CohortRefused, match=r"'east\.sql' cannot be read"):
        described(RecordFile(path=path))


def test_a_source_that_says_nothing_is_its_kind() -> None:
    assert described(object()) == SourceDescription(kind="object", name="", sha256="")
