"""Sites that fall silent: the sum of who stayed is exact, or the round ends and stays masked.

Every pattern is tried for three to six sites, in which each site stays or is
silent from one of the five steps on: 6**n of them. ``walk`` goes down the tree
of patterns. All patterns that agree up to a step share one state there, and
the real state machines are copied where they part. When too few sites are left
the round is over, whatever would have been lost later: that end stands for all
patterns below it. ``walk`` counts them, and the tests demand 6**n.
"""

import copy
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from protocol.errors import FederationError, MessageRefused, OutOfOrder, QuorumLost
from protocol.secagg.client import MIN_PARTICIPANTS
from protocol.secagg.masking import rebuild
from protocol.secagg.messages import Advertise, Consistency, Masked, Message, Reveal, ShareHeader
from protocol.secagg.server import SecAggServer, Step
from protocol.vectors.keystream import RingVector
from tests.support.reference.secure_sum import plain_sum
from tests.support.simulated.contexts import site_names
from tests.support.simulated.sum_federation import FIRST, STEPS, Federation, reached

Answers: TypeAlias = Mapping[str, tuple[bytes, bytes | None]]
#: Who answered each step so far.
Present: TypeAlias = tuple[tuple[str, ...], ...]

SIGNING = (Step.CONSISTENCY, Step.UNMASK)  # who is lost here is in the sum already
FORMS: Mapping[Step, type[Message]] = {
    Step.ADVERTISE: Advertise,
    Step.SHARE: ShareHeader,
    Step.MASKED: Masked,
    Step.CONSISTENCY: Consistency,
    Step.UNMASK: Reveal,
}


def is_enough(federation: Federation, step: Step, present: int) -> bool:
    """Whether a round goes on after a step that this many sites answered."""
    threshold = federation.context.threshold
    return present >= (threshold if step in SIGNING else max(threshold, MIN_PARTICIPANTS))


def heard(
    coordinator: SecAggServer, step: Step, answers: Answers
) -> list[tuple[SecAggServer, list[str]]]:
    """Returns the coordinator after every set of answers that may arrive, and whose they were."""
    branches: list[tuple[SecAggServer, list[str]]] = [(coordinator, [])]
    for site, (message, blob) in answers.items():
        for before, sites in tuple(branches):
            after = copy.deepcopy(before)
            after.receive(step, site, message, blob)
            branches.append((after, [*sites, site]))
    return branches


def refuse_returning(federation: Federation, step: Step, answers: Answers) -> None:
    """Checks that no lost site can answer, though it knows what a right answer holds and signs."""
    lost = set(federation.sites) - set(federation.coordinator.asked(step))
    model, (wire, blob) = next(iter(answers.items()))
    for site in lost:
        copied = federation.from_site(site, federation.opened_answer(wire, FORMS[step], model))
        with pytest.raises(OutOfOrder, match=f"site {site} has no part in step {step.value}"):
            federation.coordinator.receive(step, site, copied, blob)


def check_over(coordinator: SecAggServer, step: Step, present: int) -> None:
    """Checks that a step cannot be closed, and that nothing can be had from the round then."""
    with pytest.raises(QuorumLost, match=f"step {step.value}: {present} of "):
        coordinator.close(step)
    with pytest.raises(OutOfOrder, match="the sum is still masked"):
        coordinator.total()
    with pytest.raises(OutOfOrder, match="the round is at over"):
        coordinator.asked(step)


def check_sum(federation: Federation, vectors: Mapping[str, RingVector], present: Present) -> None:
    """Checks that exactly those are in the sum who sent a vector."""
    inside = present[STEPS.index(Step.MASKED)]
    expected = plain_sum([vectors[s].tolist() for s in inside], federation.context.ring_bits)
    assert federation.coordinator.total().tolist() == expected
    assert federation.coordinator.survivors == inside
    assert not federation.coordinator.culprits


def forked(federation: Federation, coordinator: SecAggServer) -> Federation:
    """Returns the federation with another coordinator and copies of silos and books."""
    child = copy.copy(federation)
    child.coordinator = coordinator
    child.silos, child.guards = copy.deepcopy((federation.silos, federation.guards))
    return child


def walk(federation: Federation, vectors: Mapping[str, RingVector], before: Present = ()) -> int:
    """Tries every pattern that goes on from here; returns how many there are."""
    step, patterns = STEPS[len(before)], 0
    answers = {
        site: federation.answer(
            step, site, federation.coordinator.request(step, site), vectors[site]
        )
        for site in federation.coordinator.asked(step)
    }
    refuse_returning(federation, step, answers)
    for coordinator, sites in heard(federation.coordinator, step, answers):
        if not is_enough(federation, step, len(sites)):
            check_over(coordinator, step, len(sites))
            # Each of these may stay, or be lost in one of the steps that never come.
            patterns += (len(STEPS) - len(before)) ** len(sites)
            continue
        coordinator.close(step)
        child, present = forked(federation, coordinator), (*before, tuple(sites))
        if step is STEPS[-1]:
            check_sum(child, vectors, present)
            patterns += 1
        else:
            patterns += walk(child, vectors, present)
    return patterns


@pytest.mark.parametrize(
    ("count", "threshold", "colluders", "bits"),
    [
        # The studies' threshold, and the lowest that a context allows.
        (3, 3, 1, 32),
        (3, 2, 0, 64),
        (4, 3, 1, 32),
        (4, 3, 1, 64),
        (5, 4, 1, 64),
        pytest.param(5, 3, 0, 32, marks=pytest.mark.long),
        pytest.param(6, 5, 1, 32, marks=pytest.mark.chaos),
        pytest.param(6, 4, 0, 64, marks=pytest.mark.chaos),
    ],
)
def test_sum_is_exact_or_refused_for_every_pattern_of_drop_outs(
    count: int, threshold: int, colluders: int, bits: int
) -> None:
    changes = {"threshold": threshold, "colluders": colluders, "ring_bits": bits}
    federation = Federation(count, dict(changes))
    assert walk(federation, federation.vectors(seed=count)) == 6**count


@st.composite
def patterns(draw: st.DrawFn) -> tuple[int, dict[str, Step]]:
    """A number of sites and who is lost at which step: at most one more than is forgiven."""
    count = draw(st.integers(3, 20))
    most = max(1, count - 2 * count // 3)
    sites = draw(st.sets(st.sampled_from(site_names(count)), max_size=most))
    return count, {site: draw(st.sampled_from(STEPS)) for site in sorted(sites)}


@given(patterns(), st.sampled_from([32, 64]))
@settings(max_examples=12)
def test_sum_is_exact_or_refused_for_random_drop_outs(
    pattern: tuple[int, dict[str, Step]], bits: int
) -> None:
    count, lost = pattern
    federation = Federation(count, {"ring_bits": bits})
    vectors = federation.vectors(seed=count)
    present: Present = ()
    for place, step in enumerate(STEPS):
        absent = frozenset(site for site, at in lost.items() if STEPS.index(at) <= place)
        inside = tuple(site for site in federation.sites if site not in absent)
        if not is_enough(federation, step, len(inside)):
            with pytest.raises(QuorumLost, match=f"{len(inside)} of {count} sites are left"):
                federation.play(step, vectors, absent=absent)
            with pytest.raises(OutOfOrder, match="the sum is still masked"):
                federation.coordinator.total()
            return
        federation.play(step, vectors, absent=absent)
        present = (*present, inside)
    check_sum(federation, vectors, present)


# --- a site that comes back ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("silent", "back", "reason"),
    [
        (Step.ADVERTISE, Step.SHARE, "U1 leaves this silo out"),
        (Step.ADVERTISE, Step.MASKED, "share comes first"),
        (Step.ADVERTISE, Step.CONSISTENCY, "mask comes first"),
        (Step.ADVERTISE, Step.UNMASK, "confirm comes first"),
        (Step.SHARE, Step.MASKED, "U2 leaves this silo out"),
        (Step.SHARE, Step.CONSISTENCY, "mask comes first"),
        (Step.SHARE, Step.UNMASK, "confirm comes first"),
        (Step.MASKED, Step.CONSISTENCY, "U3 leaves this silo out"),
        (Step.MASKED, Step.UNMASK, "confirm comes first"),
        (Step.CONSISTENCY, Step.UNMASK, "site site-00 has no part in step unmask"),
    ],
)
def test_site_that_comes_back_is_refused_and_not_counted(
    silent: Step, back: Step, reason: str
) -> None:
    # Its answer to one step is lost on the way; in a later one it hears what the others are asked.
    federation = Federation(4)
    vectors = federation.vectors()
    for step in STEPS:
        if step is back:
            with pytest.raises(MessageRefused, match=reason):
                answer_uninvited(federation, step)
        federation.play(step, vectors, tamper=lost_on_the_way if step is silent else None)
    inside = federation.sites if silent in SIGNING else federation.sites[1:]
    check_sum(federation, vectors, (inside,) * len(STEPS))


def answer_uninvited(federation: Federation, step: Step) -> None:
    silo, invited = federation.silos[FIRST], federation.sites[1]
    request = federation.coordinator.request(step, invited)
    if step is Step.MASKED:
        silo.accept_shares(request, federation.entries(invited))
    answer = federation.answer(step, FIRST, request, federation.vectors()[FIRST])
    federation.coordinator.receive(step, FIRST, *answer)


def lost_on_the_way(
    _step: Step, site: str, message: bytes, blob: bytes | None
) -> tuple[bytes, bytes | None]:
    if site == FIRST:
        raise FederationError("lost on the way")
    return message, blob


def test_late_answer_to_a_closed_step_is_refused() -> None:
    federation = Federation(4)
    late = federation.silos[FIRST].advertise()
    federation.play(Step.ADVERTISE, federation.vectors(), absent=frozenset({FIRST}))
    with pytest.raises(OutOfOrder, match="step advertise is not due: the round is at share"):
        federation.coordinator.receive(Step.ADVERTISE, FIRST, late)


def test_two_survivors_are_never_enough() -> None:
    # t = 2 is sound for C = 0, yet a sum of two shows each hospital the other's update.
    federation = Federation(3, {"threshold": 2, "colluders": 0})
    with pytest.raises(QuorumLost, match="2 of 3 sites are left, 3 are needed"):
        federation.run(federation.vectors(), lost={FIRST: Step.MASKED})


def test_one_reveal_too_few_leaves_the_sum_uniform() -> None:
    federation = Federation(4, {"dim": 65536})
    vectors = dict.fromkeys(federation.sites, np.zeros(65536, dtype=np.uint32))
    with pytest.raises(QuorumLost, match="step unmask: 2 of 4 sites are left, 3 are needed"):
        federation.run(vectors, lost={FIRST: Step.UNMASK, "site-01": Step.UNMASK})
    coordinator = federation.coordinator
    held = np.bincount(coordinator._sum.view(np.uint8), minlength=256)
    assert chisquare(held).pvalue > 1e-6
    assert rebuild(coordinator._reveals, coordinator._shared).liars == federation.sites


def test_right_answer_after_a_refused_one_still_counts() -> None:
    federation = reached(Step.MASKED, 4)
    vectors = federation.vectors()
    message, blob = federation.answer(
        Step.MASKED, FIRST, federation.request(Step.MASKED), vectors[FIRST]
    )
    with pytest.raises(MessageRefused, match="expected a blob of 20 bytes"):
        federation.coordinator.receive(Step.MASKED, FIRST, message, None)
    federation.coordinator.receive(Step.MASKED, FIRST, message, blob)
    for site in federation.sites[1:]:
        request = federation.coordinator.request(Step.MASKED, site)
        answer = federation.answer(Step.MASKED, site, request, vectors[site])
        federation.coordinator.receive(Step.MASKED, site, *answer)
    federation.coordinator.close(Step.MASKED)
    for step in SIGNING:
        federation.play(step, vectors)
    expected = plain_sum([vector.tolist() for vector in vectors.values()], 32)
    assert federation.coordinator.total().tolist() == expected
