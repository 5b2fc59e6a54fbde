"""What the coordinator keeps of each hospital's signed words about its ledger."""

from pathlib import Path

import pytest

from coordinator.database.own_statements import newest_masked, statements_of
from protocol.errors import LedgerBroken, MessageRefused, QuorumLost
from protocol.identity.roster import SigningKey
from protocol.transport.privacy_summary import own_statements, read_own_statements
from protocol.transport.steps import Request
from silos.rounds.openings.rollback_evidence import (
    SignedLedgerHeads,
    read_signed_heads,
    require_own_head,
)
from tests.support.machine.databases import run_sql
from tests.support.simulated.federation import Federation
from tests.support.simulated.studies import small_study

SECOND = ("east", "advertise")


def heads_shown(federation: Federation, site: str) -> tuple[str, ...]:
    member = federation.silos[site].member
    with federation.store.read() as session:
        words = read_signed_heads(statements_of(session, site))
    return words.ledger_heads(site, [member.public_key])


def heads_sent(federation: Federation, site: str) -> list[str]:
    listed = federation.silos[site]._database.ledger_heads.all()
    return [head.hash for head in listed if head.number and head.binds]


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    return Federation(tmp_path, small_study())


def test_each_hospital_is_shown_its_newest_release(federation: Federation) -> None:
    federation.run()
    for site, silo in federation.silos.items():
        shown = heads_shown(federation, site)
        assert heads_sent(federation, site)[-1] in shown
        silo._database.ledger.verify(remembered=shown)


def test_a_release_of_a_round_that_failed_is_shown_too(federation: Federation) -> None:
    def lost(site: str, request: Request) -> bool:
        return request.step == "consistency" and site in ("east", "north")

    federation.link.lost = lost
    with pytest.raises(QuorumLost):
        federation.run()
    assert len(heads_sent(federation, "west")) > 0
    assert heads_sent(federation, "west")[-1] in heads_shown(federation, "west")


def test_no_hospital_is_shown_anothers_words(federation: Federation) -> None:
    federation.run()
    assert not set(heads_shown(federation, "east")) & set(heads_shown(federation, "west"))


def set_back(federation: Federation, site: str) -> None:
    """Forgets all that a site has sent, in database and list alike, while it is at work."""
    home = federation.workspace.silos / site
    run_sql(home / "hospital.db", "DROP TRIGGER ledger_entry_no_delete")
    run_sql(home / "hospital.db", "DELETE FROM ledger_entry WHERE number > 2")
    listed = home / "hospital-heads" / f"{site}.ledger"
    listed.write_bytes(b"".join(listed.read_bytes().splitlines(keepends=True)[:3]))


def test_a_hospital_set_back_between_two_rounds_is_found_when_the_next_is_opened(
    federation: Federation,
) -> None:
    begun: list[str] = []

    def before(site: str, request: Request) -> bool:
        if site == "east" and request.step == "advertise":
            begun.append(site)
            if len(begun) == 2:
                set_back(federation, "east")
        return False

    federation.link.lost = before
    federation.run()
    answers = [reply for site, step, reply in federation.link.seen if (site, step) == SECOND]
    assert answers[0].refusal is None
    assert {reply.refusal for reply in answers[1:]} == {"LedgerBroken"}
    assert "the ledger went back in time" in str(federation.silos["east"].reason("run-1"))
    assert heads_sent(federation, "east") == []


def test_a_message_that_somebody_else_signed_stops_nobody(federation: Federation) -> None:
    federation.run()
    west, east = federation.silos["west"], federation.silos["east"]
    with federation.store.read() as session:
        shown = newest_masked(session)
    require_own_head(shown["west"], "east", SigningKey.generate(), east._database)
    require_own_head(b"no message", "east", SigningKey.generate(), east._database)
    set_back(federation, "west")
    with pytest.raises(LedgerBroken, match="went back in time"):
        require_own_head(shown["west"], "west", SigningKey.generate(), west._database)


@pytest.mark.parametrize(
    "document",
    [
        b"{}",
        b"[]",
        b'{"masked":[],"summaries":[]}',
        b'{"masked":["*"],"summaries":{}}',
        b'{"masked":[1],"summaries":{}}',
        b'{"masked":"","summaries":{}}',
    ],
)
def test_words_of_another_form_are_refused(document: bytes) -> None:
    with pytest.raises(MessageRefused):
        read_own_statements(document)


def test_words_are_read_as_they_were_written() -> None:
    assert read_signed_heads(own_statements({}, [b"a", b"b"])) == SignedLedgerHeads(
        masked=(b"a", b"b")
    )
