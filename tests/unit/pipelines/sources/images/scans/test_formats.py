"""What a file of an image is, its first bytes say; what is no file is not waited for."""

import gzip
import os
from pathlib import Path

import pytest

from pipelines.sources.images.scans.formats import beginning


def test_the_first_bytes_are_those_within_a_gzip(tmp_path: Path) -> None:
    (tmp_path / "scan.nii.gz").write_bytes(gzip.compress(b"x" * 1000))
    assert beginning(tmp_path / "scan.nii.gz") == b"x" * 256


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "scan.nii")
    with pytest.raises(OSError, match="it is no ordinary file"):
        beginning(tmp_path / "scan.nii")
