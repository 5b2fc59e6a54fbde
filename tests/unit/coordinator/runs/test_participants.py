"""Who takes part in a run: those who stand by the first model of most."""

from coordinator.runs.participants import RunParticipants
from protocol.identity.roster import SigningKey
from protocol.transport.privacy_summary import SignedSummary
from tests.unit.protocol.transport.test_privacy_summary import SUMMARY

WORD = SignedSummary(data=b"{}", signature=SigningKey.generate().public * 2)


def muster(*models: str) -> RunParticipants:
    found = RunParticipants()
    for place, model in enumerate(models):
        found.add(f"site{place}", WORD, SUMMARY, model)
    return found


def test_first_to_join_with_an_odd_model_keeps_nobody_out() -> None:
    assert muster("odd", "same", "same", "same").joined == {"site1", "site2", "site3"}


def test_who_builds_another_model_has_answered_and_has_no_part() -> None:
    found = muster("same", "same", "odd")
    assert found.answered - found.joined == {"site2"}


def test_model_that_training_began_from_is_kept_whoever_joins_later() -> None:
    found = muster("same", "same")
    assert found.choose() == "same"
    for place in range(2, 9):
        found.add(f"site{place}", WORD, SUMMARY, "other")
    assert found.joined == {"site0", "site1"} and found.choose() == "same"


def test_nobody_has_chosen_before_anybody_joined() -> None:
    assert RunParticipants().choose() is None
    assert RunParticipants().joined == frozenset()
