"""Configuration is data: no text of it is evaluated, and what is no data is refused by its line."""

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collegium.studies.authoring.bundle.config import read_config
from collegium.studies.authoring.bundle.network import read_network
from collegium.studies.authoring.bundle.preprocessing import read_preprocessing
from protocol.errors import StudyRefused

YAML = """\
image_size: 96
sizes: ['@image_size', '@image_size']
imports: ['$import os']
net:
  _target_: UNet
  kernel: '@sizes::0'
  again: '@sizes#1'
  all: '@sizes'
"""


def test_references_are_written_out_and_know_their_lines() -> None:
    found = read_config(YAML.encode(), "inference.yaml").section("net")
    assert found.value == {"_target_": "UNet", "kernel": 96, "again": 96, "all": [96, 96]}
    assert found.used == {"net", "sizes", "image_size"}
    assert str(found.refused("wrong", "kernel")) == "inference.yaml:6: net.kernel: wrong"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a: $1 + 1", "c.yaml:2: net.a: '$1 + 1' is an expression, and none is evaluated: write "
         "the value"),
        ("a: $@sizes", "c.yaml:2: net.a: '$@sizes' is an expression, and none is evaluated: write "
         "'@sizes', without the $"),
        ("a: '@gone'", "c.yaml:2: net.a: @gone: the file has no 'gone' there"),
        ("a: '@sizes::7'", "c.yaml:2: net.a: @sizes::7: the file has no '7' there"),
        ("a: '@sizes::\u00b2'", "c.yaml:2: net.a: @sizes::\u00b2: the file has no '\u00b2' there"),
        ("a: '@sizes + 1'", "net.a: '@sizes + 1' is no plain reference (@name, @section::name): "
         "write the value"),
        ("a: '@##sizes'", "net.a: '@##sizes' is no plain reference"),
        ("a: '%other.json::x'", "net.a: '%other.json::x' takes from another file: write it here"),
        ("a: '@b'", "c.yaml:5: c: refers to itself: @b -> @c -> @b"),
        ("a: '@code'", "c.yaml:6: code: '$os.getcwd()' is an expression"),
        ("_requires_: x", "c.yaml:2: net._requires_: _requires_ has no part in a study: take it"),
        ("_mode_: debug", "net._mode_: _mode_ has no part in a study"),
        ("_code_: x", "net._code_: _code_ has no part in a study"),
        ("_disabled_: maybe", "net._disabled_: true or false, nothing else"),
        ("a: *b", "c.yaml:2: a bundle's configuration has no anchors and aliases"),
        ("a: !!python/object:os.system x", "c.yaml:2: a bundle's configuration has no tags"),
    ],
)  # fmt: skip
def test_what_is_no_data_is_refused_by_line_and_key(line: str, message: str) -> None:
    text = f"net:\n  {line}\nsizes: [1, 2]\nb: ['@c']\nc: '@b'\ncode: $os.getcwd()\n"
    with pytest.raises(StudyRefused) as refused:
        read_config(text.encode(), "c.yaml").section("net")
    assert message in str(refused.value)


def test_expressions_that_are_not_used_are_not_looked_at() -> None:
    found = read_config(b"net: {a: 1}\nrun: ['$evil()']\n", "c.yaml")
    assert found.section("net").value == {"a": 1} and found.names == ("net", "run")


def test_references_that_multiply_are_refused() -> None:
    lines = ["a0: [1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: {json.dumps([f'@a{n - 1}'] * 8)}" for n in range(1, 8)]
    with pytest.raises(StudyRefused, match="more than 20000 values, written out"):
        read_config("\n".join(lines).encode(), "c.yaml").section("a7")


def test_references_and_lists_nested_beyond_any_need_are_refused() -> None:
    chain = "\n".join([f"a{n}: '@a{n + 1}'" for n in range(1500)] + ["a1500: 3"])
    with pytest.raises(StudyRefused, match="nested deeper than 100, written out"):
        read_config(chain.encode(), "c.yaml").section("a0")
    lists = "\n".join([f"a{n}: ['@a{n + 1}']" for n in range(400)] + ["a400: 3"])
    with pytest.raises(StudyRefused, match="nested deeper than 100, written out"):
        read_config(lists.encode(), "c.yaml").section("a0")


def test_json_with_tabs_is_read_and_broken_json_refused_by_its_line() -> None:
    assert read_config(b'{\n\t"net": {"a": [1,\t2]}\n}', "c.json").section("net").value["a"] == [
        1,
        2,
    ]
    with pytest.raises(StudyRefused, match=r"c\.json:2:\d+: no JSON: "):
        read_config(b'{\n"net": {a: 1}}', "c.json")
    with pytest.raises(StudyRefused, match=r"c\.json: cannot be read: it is not UTF-8"):
        read_config(b"\xff\xfe\xff", "c.json")


MODULE = "collegium_imported_by_a_bundle"
_MEAN = st.sampled_from(
    [
        "$__import__('os').system('touch TOUCHED')",
        "$open('TOUCHED', 'w')",
        f"$import {MODULE}",
        f"$__import__('{MODULE}')",
        f"@{MODULE}",
        f"{MODULE}.Thing",
        "!!python/object/apply:os.system ['touch TOUCHED']",
        "@net",
        "%TOUCHED::x",
        "_target_",
        "$@net",
    ]
)
_TEXT = _MEAN | st.text(max_size=12) | st.text(max_size=8).map(lambda text: f"${text}")
_TREE = st.recursive(
    _TEXT | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)
_MADE = st.fixed_dictionaries(
    {"_target_": st.sampled_from(["UNet", "Resized", "Compose"]) | _TEXT},
    optional={"transforms": st.lists(_TREE, max_size=2), "keys": _TREE, "channels": _TREE,
              "spatial_size": _TREE, "_disabled_": _TREE, "norm": _TREE},
)  # fmt: skip


@given(tree=_TREE | _MADE | st.lists(_MADE, max_size=2), other=_TREE, is_json=st.booleans())
@settings(max_examples=80, deadline=None)
def test_no_text_of_a_configuration_is_evaluated_or_imported(
    tree: Any, other: Any, is_json: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A value is taken as the data that it is, or is refused; nothing else happens."""
    folder = tmp_path_factory.getbasetemp() / "evaluated"
    folder.mkdir(exist_ok=True)
    (folder / f"{MODULE}.py").write_text("open('TOUCHED', 'w').close()\n")
    text = json.dumps({"net": tree, "sizes": other}).replace("TOUCHED", str(folder / "touched"))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        for read in (read_network, read_preprocessing):
            with suppress(StudyRefused):
                config = read_config(text.encode(), "c.json" if is_json else "c.yaml")
                read(config.section("net"))
    assert not (folder / "touched").exists() and not Path("TOUCHED").exists()
    assert MODULE not in sys.modules
