"""The same cohort has the same digest and trains the same model, whatever it was read from."""

from pathlib import Path

from pipelines.cohort.loading import load_cohort
from tests.support.hospital import one_cohort


def test_one_cohort_is_the_same_from_every_file_and_from_sqlite(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'heart.db'}"
    found = {
        one_cohort.digests_of(source)
        for source in (
            one_cohort.csv_source(tmp_path),
            one_cohort.excel_source(tmp_path),
            one_cohort.parquet_source(tmp_path),
            one_cohort.database_source(tmp_path, address, address),
        )
    }
    assert len(found) == 1


def test_a_cohort_without_a_key_has_the_order_of_its_file_and_of_a_query_none(
    tmp_path: Path,
) -> None:
    cohort = one_cohort.study().cohort.model_copy(update={"patient_key": "row"})
    address = f"sqlite:///{tmp_path / 'heart.db'}"
    files = {
        load_cohort(cohort, source, site="hungarian").digest
        for source in (one_cohort.csv_source(tmp_path), one_cohort.excel_source(tmp_path))
    }
    assert len(files) == 2  # each has its rows in another order
    source = one_cohort.database_source(tmp_path, address, address)
    first = load_cohort(cohort, source, site="hungarian")
    source.query.write_text("SELECT * FROM heart ORDER BY age, chol")
    assert load_cohort(cohort, source, site="hungarian").digest == first.digest
