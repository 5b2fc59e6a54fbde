"""A query only reads, and is one."""

from pathlib import Path

import pytest

from pipelines.sources.tables.sql.query import problem_of, read_query
from protocol.errors import CohortRefused


@pytest.mark.parametrize(
    "text",
    [
        "select 1",
        "SELECT a FROM b;",
        "-- of 2024; see ticket\n/* ; DELETE */ WITH c AS (SELECT 1) SELECT * FROM c ;\n",
        "(SELECT a FROM b) UNION (SELECT a FROM c)",
        """SELECT ';', "update", `delete`, 'it''s; in', E'a\\'; b', $x$ ; into $x$ FROM t""",
        "SELECT updated, deleted, inserted_at FROM t",
    ],
)
def test_one_reading_query_is_taken(text: str) -> None:
    assert problem_of(text) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "does not begin with SELECT or WITH"),
        ("-- nothing\n", "does not begin with SELECT"),
        ("EXPLAIN SELECT 1", "does not begin with SELECT"),
        ("COPY t TO '/tmp/x'", "does not begin with SELECT"),
        ("'x' SELECT", "does not begin with SELECT"),
        ("SELECT 1; SELECT 2", "more than one statement"),
        ("SELECT 1; DROP TABLE t", "more than one statement"),
        ("WITH c AS (UPDATE t SET a = 1 RETURNING a) SELECT * FROM c", "the word UPDATE"),
        ("select a into b from c", "the word INTO"),
        ("SELECT 'a", "ends within quotes"),
        ("SELECT a /* b", "ends within quotes or a comment"),
    ],
)
def test_anything_else_is_refused_with_its_remedy(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "cohort.sql").write_text(text)
    with pytest.raises(CohortRefused, match=rf"site north: the query 'cohort.sql' .*{said}"):
        read_query(tmp_path / "cohort.sql", site="north")


def test_a_query_that_cannot_be_read_is_named_without_its_folder(tmp_path: Path) -> None:
    (tmp_path / "latin.sql").write_bytes("SELECT 'Ü'".encode("latin-1"))
    for name, said in (
        ("none.sql", "cannot be read: no such file"),
        ("latin.sql", "is not UTF-8 text"),
        ("", "cannot be read"),
    ):
        with pytest.raises(CohortRefused, match=said) as refused:
            read_query(tmp_path / name, site="north")
        assert str(tmp_path.parent) not in str(refused.value)
