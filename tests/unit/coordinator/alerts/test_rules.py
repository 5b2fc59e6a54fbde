"""A file of rules is read as a study is: whole, or refused with the line that is wrong."""

from pathlib import Path

import pytest

from coordinator.alerts.default_rules import DEFAULT_RULES
from coordinator.alerts.rules import (
    RULES_FILE,
    is_loopback,
    read_rules,
    rules_of,
    rules_text,
    write_default_rules,
)
from protocol.errors import WorkspaceRefused

HEAD = "collegium_alerts: 1\n"


def refusal(text: str) -> str:
    with pytest.raises(WorkspaceRefused) as caught:
        read_rules(text, "alert-rules.yaml")
    return str(caught.value)


def with_webhook(url: str) -> str:
    return (
        f"{HEAD}webhooks:\n  on-call:\n    url: {url}\n    secret_file: s\n"
        "rules:\n  - {name: r, kind: drift, tell: [on-call]}\n"
    )


def test_a_folder_without_a_file_has_the_rules_by_default(tmp_path: Path) -> None:
    assert rules_of(tmp_path) == read_rules(DEFAULT_RULES)
    write_default_rules(tmp_path)
    assert rules_of(tmp_path) == read_rules(DEFAULT_RULES)
    (tmp_path / RULES_FILE).write_text(f"{HEAD}rules:\n  - {{name: r, kind: drift}}\n")
    assert [rule.name for rule in rules_of(tmp_path).rules] == ["r"]


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        (f"{HEAD}rules:\n  - {{name: r, kind: budget, share: 80}}\n", "alert-rules.yaml:3: ",
         "rules[0].share: "),
        (f"{HEAD}rules:\n  - name: r\n    kind: budget\n    shares: 0.8\n", "alert-rules.yaml:5: ",
         "did you mean 'share'"),
        (f"{HEAD}rules:\n  - name: r\n    kind: mood\n", "alert-rules.yaml:3: ",
         "'kind' is 'mood', not one of 'budget'"),
        (f"{HEAD}rules:\n  - {{name: r, kind: budget}}\n", "alert-rules.yaml:3: ",
         "this key is required and missing"),
        (f"{HEAD}rules:\n  - {{name: r, kind: drift}}\n  - {{name: r, kind: drift}}\n",
         "alert-rules.yaml:4: ", "another rule is called r"),
        (f"{HEAD}rules:\n  - {{name: r, kind: drift, tell: [on-cal]}}\n", "alert-rules.yaml:3: ",
         "no webhook is called on-cal"),
        (f"{HEAD}rules:\n  - {{name: r, kind: drift, severity: loud}}\n", "alert-rules.yaml:3: ",
         "severity"),
        (f"{HEAD}rules: [\n  - a: b\n", "alert-rules.yaml:3:3: ", "a value is missing here"),
        (f"{HEAD}rules:\n\t- x\n", "alert-rules.yaml:3:1: ", "a tab stands here"),
        (f"{HEAD}rules: []\n", "alert-rules.yaml:2: ", "rules: "),
        ("rules: 3", "alert-rules.yaml:1: ", "collegium_alerts"),
    ],
)  # fmt: skip
def test_a_bad_rule_is_refused_with_its_place(text: str, where: str, what: str) -> None:
    said = refusal(text)
    assert any(line.startswith(where) and what in line for line in said.splitlines()), said


def test_a_file_that_is_too_large_or_too_deep_is_refused_before_it_is_parsed(
    tmp_path: Path,
) -> None:
    assert "larger than 131072 bytes" in refusal("rules: [" + "[]," * 100_000 + "]")
    assert "lie deeper within each other" in refusal("rules: " + "[" * 100_000)
    (tmp_path / "alert-rules.yaml").write_text("x" * (1 << 20))
    assert len(rules_text(tmp_path)) == 131_073  # no more of it is read


@pytest.mark.parametrize(
    "url",
    [
        "https://alerts.example.org/x",
        "https://alerts.example.org:8443/x?y=1",
        "http://127.0.0.1:9000/x",
        "http://[::1]:9000/x",
        "http://localhost:9000",
    ],
)
def test_a_receiver_is_reached_by_https_or_on_this_machine(url: str) -> None:
    assert read_rules(with_webhook(url)).webhooks["on-call"].url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://alerts.example.org/token-9f3",
        "http://127.0.0.1.example.org/token-9f3",
        "ftp://127.0.0.1/token-9f3",
        "https://name:word-9f3@alerts.example.org/token-9f3",
        "https:///token-9f3",
        "https://alerts.example.org:99999/token-9f3",
        "https://alerts.example.org/token-9f3/" + "x" * 2000,
        "token-9f3",
        "' https://alerts.example.org/token-9f3'",
        "https://alerts.example org/token-9f3",
        r'"https://alerts.example.org/token-9f3\0"',
    ],
)
def test_any_other_receiver_is_refused_and_its_address_not_repeated(url: str) -> None:
    said = refusal(with_webhook(url))
    assert said.startswith("alert-rules.yaml:4: webhooks.on-call.url: ")
    assert "9f3" not in said


def test_an_address_of_another_machine_is_no_loopback() -> None:
    assert not any(map(is_loopback, ("https://10.0.0.1/", "http://localhost.example.org/", "x")))
