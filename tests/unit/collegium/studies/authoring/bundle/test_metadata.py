"""What a bundle says of itself becomes one sentence, whatever letters it is written in."""

import json
from pathlib import Path
from typing import Any

import pytest

from collegium.studies.authoring.bundle.files import open_bundle
from collegium.studies.authoring.bundle.metadata import Metadata, read_metadata
from protocol.errors import StudyRefused
from tests.support.bundles import METADATA, make_bundle, volumes


def read(folder: Path, metadata: Any) -> Metadata:
    return read_metadata(open_bundle(make_bundle(folder / "b", volumes(), metadata=metadata)))


def test_the_source_says_what_an_officer_asks(tmp_path: Path) -> None:
    found = read(tmp_path, METADATA)
    assert found.source("spleen") == (
        "MONAI bundle spleen 0.2.0; A pre-trained model for volumetric segmentation of the spleen "
        "from CT images; data: Public volumes, CC BY-SA 4.0; A consortium; Copyright (c) A "
        "consortium; licence: Apache-2.0"
    )
    assert found.sides is None and found.classes == ("background", "spleen")
    assert found.value_range == (0, 1) and found.unit == "hounsfield"


def test_long_and_odd_texts_become_one_line_that_fits(tmp_path: Path) -> None:
    long = METADATA | {"description": "a\n\x00\u2028\x85: # " * 99, "license": "L" * 200}
    source = read(tmp_path, long).source("x" * 60)
    assert len(source) <= 300 and source.isprintable() and source.endswith("...")
    assert "licence: LLL" in source


def test_what_is_not_said_is_empty(tmp_path: Path) -> None:
    found = read(tmp_path, {"version": 3, "network_data_format": [], "description": None})
    assert found.source("b") == "MONAI bundle b" and not found.classes and found.sides is None


def test_what_is_no_json_is_refused_by_its_line(tmp_path: Path) -> None:
    with pytest.raises(StudyRefused, match=r"b/configs/metadata\.json:2:1: no JSON"):
        read(tmp_path, "{\n")
    with pytest.raises(StudyRefused, match="expected an object with version"):
        read(tmp_path / "2", json.dumps([1]))
