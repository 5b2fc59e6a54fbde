"""The policy file of C2SP tlog-policy: its form, and when cosignatures suffice."""

from itertools import chain, combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from protocol.errors import MessageRefused
from protocol.identity.roster import SigningKey
from protocol.log.cosignature import Ed25519Cosigner, KeyType, MlDsaCosigner, VerifierKey
from protocol.log.signed_note import checkpoint_text, sign_note, with_lines
from protocol.log.witness_policy import PolicyGroup, PolicyWitness, WitnessPolicy, parse_policy


def cosigner(name: str) -> Ed25519Cosigner:
    return Ed25519Cosigner(f"{name}.example", SigningKey.from_bytes(name.encode().ljust(32)))


LOG = SigningKey.from_bytes(bytes(32))
LOG_KEY = VerifierKey(name="example.org/log", type=KeyType.ED25519, public=LOG.public)
NAMES = ("X1", "X2", "X3", "Y1", "Y2", "Y3")
COSIGNERS = {name: cosigner(name) for name in NAMES}
KEYS = {name: one.key.text for name, one in COSIGNERS.items()}
#: The example of the specification, with keys.
EXAMPLE = f"""log {LOG_KEY.text}

witness X1 {KEYS["X1"]}
witness X2 {KEYS["X2"]}
witness X3 {KEYS["X3"]}
group X-witnesses 2 X1 X2 X3

witness Y1 {KEYS["Y1"]}
witness Y2 {KEYS["Y2"]}
witness Y3 {KEYS["Y3"]}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""


def every_set(names: tuple[str, ...]) -> list[tuple[str, ...]]:
    return list(chain.from_iterable(combinations(names, n) for n in range(len(names) + 1)))


def test_the_example_of_the_specification_holds_for_exactly_the_sets_it_describes() -> None:
    policy = parse_policy(EXAMPLE.encode())
    for names in every_set(NAMES):
        wanted = sum(n.startswith("X") for n in names) >= 2 and any("Y" in n for n in names)
        assert policy.is_met([COSIGNERS[name].key for name in names]) == wanted, names


def test_a_policy_is_written_and_read_to_the_same() -> None:
    policy = parse_policy(EXAMPLE.encode())
    assert parse_policy(policy.to_bytes) == policy
    assert len(policy.keys) == 6


def test_no_cosignature_is_asked_for_by_none() -> None:
    policy = parse_policy(b"quorum none\n")
    assert policy == WitnessPolicy()
    assert policy.is_met([])


def test_spaces_tabs_comments_addresses_and_octets_are_taken() -> None:
    text = (
        f"# one\n \t\n\t log\t{LOG_KEY.text}   https://log.example \n"
        f"witness \xff {KEYS['X1']} https://w.example/a\n  # two\nquorum \xff"
    ).encode("latin-1") + b"  \n"
    policy = parse_policy(text)
    (witness,) = policy.witnesses
    assert (witness.url, policy.logs[0].url) == ("https://w.example/a", "https://log.example")
    assert policy.is_met([COSIGNERS["X1"].key])
    assert parse_policy(policy.to_bytes) == policy
    assert b"\xff" in policy.to_bytes


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "one quorum line"),
        ("quorum none", "line feed"),
        ("quorum none\nquorum none\n", "line 2 of the policy: a policy has one quorum line"),
        ("quorum X1\n", "X1, which is not defined"),
        (f"quorum X1\nwitness X1 {KEYS['X1']}\n", "line 1 .*not defined"),
        (f"group g all X1\nwitness X1 {KEYS['X1']}\nquorum g\n", "line 1 .*not defined"),
        (f"witness none {KEYS['X1']}\nquorum none\n", "called none"),
        (f"witness X1 {KEYS['X1']}\ngroup g any none X1\nquorum g\n", "not defined"),
        (f"witness X1 {KEYS['X1']}\nwitness X1 {KEYS['X2']}\nquorum X1\n", "one name"),
        (f"witness X1 {KEYS['X1']}\nwitness X2 {KEYS['X1']}\nquorum X1\n", "one public key"),
        (f"witness X1 {KEYS['X1']}\ngroup X1 any X1\nquorum X1\n", "one name"),
        (f"witness X1 {KEYS['X1']}\ngroup g any g\nquorum g\n", "not defined"),
        (f"witness X1 {KEYS['X1']}\ngroup g any X1 X1\nquorum g\n", "member twice"),
        (f"witness X1 {KEYS['X1']}\ngroup g any X1\ngroup h any X1\nquorum g\n", "twice"),
        (f"witness X1 {KEYS['X1']}\ngroup g 0 X1\nquorum g\n", "needs 1 to 1"),
        (f"witness X1 {KEYS['X1']}\ngroup g 2 X1\nquorum g\n", "needs 1 to 1"),
        (f"witness X1 {KEYS['X1']}\ngroup g 01 X1\nquorum g\n", "threshold"),
        (f"witness X1 {KEYS['X1']}\ngroup g some X1\nquorum g\n", "threshold"),
        (f"witness X1 {KEYS['X1']}\ngroup g all\nquorum g\n", "members"),
        (f"witness X1 {LOG_KEY.text}\nquorum X1\n", "type 4 or 6"),
        (f"witness X1 {KEYS['X1']} a b\nquorum X1\n", "one address"),
        (f"log {LOG_KEY.text}\nlog {LOG_KEY.text}\nquorum none\n", "two logs"),
        ("log\nquorum none\n", "one address"),
        ("policy x\nquorum none\n", "no line of a policy"),
        ("quorum none\r\n", "control character"),
        ("quorum none\x7f\n", "control character"),
        ("\n" * 2000 + "quorum none\n", "at most"),
        ("#" + "x" * (1 << 20) + "\n", "too long"),
    ],
)
def test_a_policy_that_breaks_a_rule_is_refused(text: str, why: str) -> None:
    with pytest.raises(MessageRefused, match=why):
        parse_policy(text.encode("latin-1"))


def test_two_names_for_one_public_key_are_two_witnesses_nowhere() -> None:
    key = SigningKey.from_bytes(b"X1".ljust(32))
    again = Ed25519Cosigner("another.example", key).key.text
    text = f"witness X1 {KEYS['X1']}\nwitness X2 {again}\nquorum X1\n"
    with pytest.raises(MessageRefused, match="one public key"):
        parse_policy(text.encode())


def test_a_note_meets_a_policy_by_the_signatures_on_it() -> None:
    quantum = MlDsaCosigner("pq.example", b"q" * 32)
    text = f"witness a {KEYS['X1']}\nwitness b {quantum.key.text}\ngroup g all a b\nquorum g\n"
    policy = parse_policy(text.encode())
    head = checkpoint_text("example.org/log", 1, bytes(32))
    note = sign_note(head, "example.org/log", LOG)
    first = with_lines(note, [COSIGNERS["X1"].cosign(head, 1), COSIGNERS["X2"].cosign(head, 1)])
    with pytest.raises(MessageRefused, match="quorum g asks: b have not"):
        policy.require_met(first)
    both = with_lines(first, [quantum.cosign(head, 2)])
    assert [one.time for one in policy.require_met(both)] == [1, 2]


@some.composite
def policies(draw: some.DrawFn) -> WitnessPolicy:
    """Any policy over up to six witnesses, its groups a forest."""
    free = list(NAMES[: draw(some.integers(1, 6))])
    witnesses = tuple(PolicyWitness(name=name, key=COSIGNERS[name].key) for name in free)
    groups = []
    for number in range(draw(some.integers(0, 4))):
        if not free:
            break
        members = draw(some.lists(some.sampled_from(free), min_size=1, unique=True))
        least = draw(some.integers(1, len(members)))
        free = [name for name in free if name not in members] + [f"g{number}"]
        groups.append(PolicyGroup(name=f"g{number}", least=least, members=tuple(members)))
    named = [one.name for one in (*witnesses, *groups)]
    quorum = draw(some.sampled_from(["none", *named]))
    return WitnessPolicy(witnesses=witnesses, groups=tuple(groups), quorum=quorum)


def holds(policy: WitnessPolicy, name: str, signed: tuple[str, ...]) -> bool:
    """By the specification's words, from the quorum downwards."""
    if name == "none" or name in signed:
        return True
    group = next((one for one in policy.groups if one.name == name), None)
    return group is not None and group.least <= sum(
        holds(policy, member, signed) for member in group.members
    )


@given(policy=policies())
@settings(max_examples=60, deadline=None)
def test_any_policy_is_met_as_its_words_say_and_more_cosigners_never_hurt(
    policy: WitnessPolicy,
) -> None:
    assert parse_policy(policy.to_bytes) == policy
    names = tuple(witness.name for witness in policy.witnesses)
    met = {}
    for signed in every_set(names):
        met[signed] = policy.is_met([COSIGNERS[name].key for name in signed])
        assert met[signed] == holds(policy, policy.quorum, signed)
        assert met[signed] or not any(
            met[less] for less in combinations(signed, max(len(signed) - 1, 0)) if less != signed
        )


@given(data=some.binary(max_size=120))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        policy = parse_policy(data)
    except MessageRefused:
        return
    assert parse_policy(policy.to_bytes) == policy
