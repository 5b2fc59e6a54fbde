"""Statements of serving in the register: what is taken, what is refused, what is said of them."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from compliance.governance.models.serving import Disagreement
from compliance.storage.clock import utc_now
from coordinator.alerts.gathering import gathered
from coordinator.audit.faults import Faults
from coordinator.audit.verification import check_records
from coordinator.governance.models.serving import check_statements, serving_payload
from coordinator.governance.models.tables import ModelEventRow
from coordinator.views.several_runs.models import disagreements_in, served_in
from protocol.encoding import digest
from protocol.errors import FederationError, MessageRefused, PolicyRefused, StoreBroken
from protocol.identity.roster import SigningKey
from protocol.identity.timestamps import write_time
from protocol.transport.serving_statement import (
    ServedPeriod,
    ServingStatement,
    SignedServing,
    sign_serving,
)
from silos.database.database import open_hospital
from tests.support.hospital.people import ADA, BEA, CLEO
from tests.support.simulated.registered_models import RULES, Register, run_twice

LONG_AGO = "2026-01-01T00:00:00.000Z"


class Stating:
    """A register with a version in production, and the hospitals that state what they served."""

    def __init__(
        self, folder: Path, addresses: Callable[[str], str | None] = lambda name: None
    ) -> None:
        self.register = Register(run_twice(folder, addresses))
        self.folder = folder
        self.register.to_production(self.register.first)
        self.since = self.now()

    @staticmethod
    def now(minutes: float = 0) -> str:
        return write_time(utc_now() + timedelta(minutes=minutes))

    def key(self, site: str = "east") -> SigningKey:
        place = self.register.workspace.silos / site / "hospital.db"
        with closing(open_hospital(place, site=site)) as hospital:
            return SigningKey.from_bytes(hospital.identity_key)

    def statement(
        self, *snapshots: str | None, number: int = 1, since: str = "", until: str = "", **more: Any
    ) -> ServingStatement:
        """Returns that these were served all the time that it covers."""
        begin, end = since or self.since, until or self.now()
        periods = [
            ServedPeriod(snapshot=one, use="service", since=begin, until=end, end="recorded")
            for one in snapshots
        ]
        said: dict[str, Any] = {
            "coordinator": self.register.workspace.public_key().hex(),
            "site": "east", "number": number, "since": begin, "until": end,
            "periods": tuple(sorted(periods, key=lambda one: one.place)), "head": "0" * 64,
        }  # fmt: skip
        return ServingStatement(**said | more)

    def take(
        self, said: ServingStatement | SignedServing, name: str = CLEO, site: str | None = None
    ) -> dict[str, Any]:
        signed = (
            said if isinstance(said, SignedServing) else sign_serving(said, self.key(said.site))
        )
        data = signed.to_bytes()
        return self.register.people.act(
            name,
            "model.confirm-served",
            ("hospital", site or signed.statement.site),
            {"statement": digest(data)},
            serving_payload(data),
        )

    def served(self, time: str, site: str = "east") -> Any:
        with self.register.store.read() as session:
            return served_in(session, "heart", site, time)

    def disagreements(self, site: str) -> list[Disagreement]:
        with self.register.store.read() as session:
            return [one for one in disagreements_in(session, "heart") if one.site == site]

    @property
    def faults(self) -> list[str]:
        with self.register.store.read() as session:
            found = Faults()
            check_records(session, self.register.workspace.public_key(), found)
        return [one.what for one in found.found]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stating]:
    """Yields one register; each test that has a statement taken is of a hospital of its own."""
    made = Stating(tmp_path_factory.mktemp("stated"))
    made.register.act("register", version=made.register.second)
    yield made
    made.register.store.close()


REFUSED: dict[str, tuple[Callable[[Stating], object], type[FederationError], str]] = {
    "signed by another": (
        lambda desk: desk.take(
            sign_serving(desk.statement(desk.register.first), SigningKey.generate())
        ),
        MessageRefused, "east did not sign this statement of serving",
    ),
    "signed by another hospital": (
        lambda desk: desk.take(
            sign_serving(desk.statement(desk.register.first), desk.key("west"))
        ),
        MessageRefused, "east did not sign",
    ),
    "no hospital of the roster": (
        lambda desk: desk.take(desk.statement(desk.register.first, site="elsewhere")),
        PolicyRefused, "elsewhere is not in the roster",
    ),
    "an unknown snapshot": (
        lambda desk: desk.take(desk.statement("f" * 64)),
        PolicyRefused, "names a snapshot that is unknown here: ffff",
    ),
    "another consortium": (
        lambda desk: desk.take(desk.statement(desk.register.first, coordinator="e" * 64)),
        MessageRefused, "for another consortium",
    ),
    "a time to come": (
        lambda desk: desk.take(desk.statement(desk.register.first, until=desk.now(60))),
        PolicyRefused, "still to come",
    ),
    "of another hospital than the act names": (
        lambda desk: desk.take(desk.statement(desk.register.first), site="west"),
        MessageRefused, "is east's, not west's",
    ),
    "about no model of the register": (
        lambda desk: desk.take(desk.statement(None, since=LONG_AGO, until=LONG_AGO)),
        PolicyRefused, "about no model of the register",
    ),
    "by somebody without the right": (
        lambda desk: desk.take(desk.statement(desk.register.first), ADA),
        PolicyRefused, "may not",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_statement_is_refused_that_is(case: str, desk: Stating) -> None:
    ask, kind, said = REFUSED[case]
    with pytest.raises(kind, match=said):
        ask(desk)
    assert desk.served(desk.since).stated is None  # nothing is ever taken of east here


def test_of_a_hospital_that_no_roster_names_nothing_is_answered(desk: Stating) -> None:
    with pytest.raises(PolicyRefused, match=r"eats: no hospital of this consortium;.*east"):
        desk.served(desk.now(), "eats")


def test_a_document_that_is_not_the_one_of_the_act_is_refused(desk: Stating) -> None:
    with pytest.raises(MessageRefused, match="not the one whose SHA-256 the act names"):
        desk.register.people.act(
            CLEO, "model.confirm-served", ("hospital", "east"), {"statement": "0" * 64},
            serving_payload(b"{}"),
        )  # fmt: skip


def test_what_was_to_be_served_and_what_was_stated_stand_beside_each_other(desk: Stating) -> None:
    before = desk.served(desk.now(), "north")
    assert before.version == desk.register.first and before.stated is None
    said = desk.statement(desk.register.first, None, site="north")
    told = desk.take(said, BEA)
    assert told["models"] == ["heart"] and told["number"] == 1
    found = desk.served(said.until, "north")
    assert found.version == desk.register.first and found.stated.agrees is True
    assert found.stated.statement == said.digest and found.stated_entry is not None
    assert [one.snapshot for one in found.stated.others] == [None]
    assert desk.served(said.until, "east").stated is None
    assert desk.disagreements("north") == []
    assert [what for what in desk.faults if "serving" in what or "past the service" in what] == []


def test_another_version_than_was_to_be_served_is_a_disagreement_until_it_is_stated_otherwise(
    desk: Stating,
) -> None:
    said = desk.statement(desk.register.second, site="south")
    desk.take(said)
    (found,) = desk.disagreements("south")
    assert (found.site, found.expected, found.stated) == (
        "south", desk.register.first, desk.register.second,
    )  # fmt: skip
    assert (found.since, found.until) == (said.since, said.until)
    facts = gathered(desk.register.store, desk.register.workspace, utc_now())
    (told,) = facts.served_other or ()
    assert (told.model, told.site, told.stated) == ("heart", "south", desk.register.second)
    assert told.lasted == found.lasted and facts.canaries == ()
    assert desk.served(said.until, "south").stated.agrees is False
    desk.take(desk.statement(desk.register.first, number=2, since=said.until, site="south"))
    assert desk.disagreements("south") == []
    assert desk.served(said.since, "south").stated.agrees is False


def test_each_time_is_stated_once_and_in_order_and_nothing_loaded_is_no_disagreement(
    desk: Stating,
) -> None:
    middle = desk.statement(desk.register.first, number=2, site="west")
    desk.take(middle)
    with pytest.raises(PolicyRefused, match="statement 2 of west was taken already"):
        desk.take(middle)
    other = replace(middle, periods=())
    with pytest.raises(PolicyRefused, match="another statement 2 of west was taken"):
        desk.take(other)
    for number in (1, 3):
        with pytest.raises(PolicyRefused, match="a hospital states each time once"):
            desk.take(desk.statement(number=number, since=LONG_AGO, site="west"))
    with pytest.raises(PolicyRefused, match="an earlier time than its number says"):
        desk.take(desk.statement(number=3, since=LONG_AGO, until=middle.since, site="west"))
    last = desk.statement(number=3, since=middle.until, site="west")
    desk.take(last)
    assert desk.served(last.until, "west").stated.agrees is None
    assert desk.disagreements("west") == []


def test_the_verification_finds_a_statement_that_no_key_of_the_hospital_signed(
    desk: Stating,
) -> None:
    forged = sign_serving(desk.statement(desk.register.first), SigningKey.generate())
    store, public = desk.register.store, desk.register.workspace.public_key()
    for document, said in (
        (forged.to_bytes().decode(), "is not signed by a key that a roster has"),
        ("{}", "the statement of serving was changed"),
    ):
        with pytest.raises(StoreBroken, match=said), store.transaction() as transaction:
            row = ModelEventRow(
                line="heart", kind="served-stated", version=desk.register.first, at=desk.now(),
                sites_json='["east"]', alias="", by=CLEO, reason=document, act="",
            )  # fmt: skip
            transaction.write(row)
            check_statements(transaction.session, public)


def test_what_was_stated_before_a_version_was_registered_is_told_of_it_too(desk: Stating) -> None:
    said = desk.statement(desk.register.first, desk.register.second, site="east")
    assert desk.take(said)["models"] == ["heart"]
    details = {"version": desk.register.second, "rules": RULES}
    desk.register.people.act(CLEO, "model.register", ("model", "lung"), details)
    with desk.register.store.read() as session:
        found = served_in(session, "lung", "east", said.until)
        (told,) = [one for one in disagreements_in(session, "lung") if one.site == "east"]
    assert found.version is None and found.stated is not None and found.stated.agrees is False
    assert found.stated_entry is not None
    assert (told.expected, told.stated) == (None, desk.register.second)
