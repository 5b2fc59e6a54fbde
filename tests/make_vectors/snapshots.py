"""Vectors of released models: what hospitals sign of a snapshot, and of what they served."""

from typing import Any

from protocol.codec import to_json
from protocol.identity.roster import CoordinatorIdentity, Member, Roster, SigningKey
from protocol.transport.run_announcement import ReleasedFigure
from protocol.transport.serving_statement import ServedPeriod, ServingStatement
from protocol.transport.snapshot import PromisedPrivacy, RoundAggregate, Snapshot
from tests.make_vectors.primitives import KEYS
from tests.make_vectors.released import RELEASED
from tests.make_vectors.sheet import Sheet

SITES = ("lyon", "oslo", "turin")
_COORDINATOR = KEYS[3]
_NONE = "0" * 64


def _key(private: str) -> SigningKey:
    return SigningKey.from_bytes(bytes.fromhex(private))


def _of(keys: dict[str, str], *sites: str) -> dict[str, str]:
    return {site: keys[site] for site in sites}


def _roster() -> Roster:
    members = [
        Member(site=site, public_key=_key(private).public.hex())
        for site, private in zip(SITES, KEYS, strict=False)
    ]
    own = CoordinatorIdentity(public_key=_key(_COORDINATOR).public.hex(), root=_NONE)
    return Roster(
        coordinator=own,
        members=tuple(members),
        valid_until="2027-01-01T00:00:00.000Z",
        version=1,
        previous=None,
    )


def _promised(site: str, epsilon: int | None, noise: str) -> PromisedPrivacy:
    return PromisedPrivacy(
        site=site,
        unit="patient",
        mode="none" if epsilon is None else "per_site",
        noise=noise,
        epsilon=epsilon,
        evaluation_epsilon=None if epsilon is None else 1_250_000,
        delta=None if epsilon is None else "1e-06",
    )


def _snapshot(roster: Roster) -> Snapshot:
    return Snapshot(
        coordinator=roster.coordinator.public_key,
        run="20260101T120000-9f0c",
        study="1" * 64,
        roster=roster.digest,
        round=12,
        model="2" * 64,
        layout="3" * 64,
        parents=("4" * 64,),
        aggregates=(RoundAggregate(context="5" * 64, sum="6" * 64),),
        manifest="7" * 64,
        quorum=2,
        privacy=(
            _promised("lyon", 3_999_999, "exact"),
            _promised("oslo", 4_000_000, "exact"),
            _promised("turin", None, "none"),
        ),
        figures=(ReleasedFigure(name="auroc", value=812_345, low=780_000, high=840_001),),
        licence="CC-BY-NC-4.0",
        permitted_use="Research at the hospitals of the consortium.",
        created="2026-01-01T13:00:00.000Z",
    )


def snapshot_sheet() -> Sheet:
    """Snapshots: their bytes and digest, the signatures of coordinator and hospitals, refusals."""
    roster = _roster()
    fields: dict[str, Any] = to_json(_snapshot(roster))
    public = roster.coordinator.public_key
    given = {"fields": fields, "roster": roster.canonical_bytes.decode(), "public": public}
    hospitals = dict(zip(SITES, KEYS, strict=False))
    by_two = {"coordinator": _COORDINATOR, "hospitals": _of(hospitals, "lyon", "turin")}
    signed = RELEASED["sign_snapshot"](given | by_two)
    sheet = Sheet(
        "Snapshots of released models, signed by coordinator and hospitals.",
        given=given,
        names={"<signed>": signed},
    )
    sheet.good("a snapshot", "snapshot")
    least = {"aggregates": [], "manifest": None, "figures": [], "licence": "", "permitted_use": ""}
    sheet.good("without sums, manifest, figures and terms", "snapshot", changes=least)
    sheet.good("signed", "sign_snapshot", **by_two)
    sheet.good("read back", "parse_snapshot", text=signed)
    sheet.good("enough have signed", "require_snapshot", text=signed)
    alone = _of(hospitals, "lyon")
    by_one = sheet.good("by one", "sign_snapshot", coordinator=_COORDINATOR, hospitals=alone)
    sheet.bad("one of two", "require_snapshot", "QuorumLost", "2 must", text=by_one)
    other = _key(KEYS[0]).public.hex()
    sheet.bad("another coordinator's key", "require_snapshot", "MessageRefused",
              "of another coordinator", text=signed, public=other)  # fmt: skip
    sheet.bad("another figure than was signed", "require_snapshot", "MessageRefused",
              "did not sign this snapshot",
              text=signed.replace("812345", "912345"))  # fmt: skip
    for name, changes, because in (
        ("hospitals out of order", {"privacy": fields["privacy"][::-1]}, "sorted by site"),
        ("a quorum of more than there are", {"quorum": 4}, "more than its hospitals"),
        ("a model that is no digest", {"model": "2" * 63}, "model"),
    ):
        sheet.bad(name, "snapshot", "MessageRefused", because, changes=changes)
    return sheet


def serving_sheet() -> Sheet:
    """Statements of serving: their bytes and digest, the hospital's signature, refusals."""
    key = _key(KEYS[0])
    day = "2026-03-03T{}:00.000Z".format
    service = {"snapshot": "a" * 64, "use": "service", "since": day("08:00"), "until": day("18:00")}
    batch = {"snapshot": None, "use": "batch", "since": day("09:00"), "until": day("09:05")}
    statement = ServingStatement(
        coordinator=_key(_COORDINATOR).public.hex(),
        site="lyon",
        number=2,
        since=day("08:00"),
        until=day("18:00"),
        periods=(
            ServedPeriod(**service, end="running"),  # type: ignore[arg-type]
            ServedPeriod(**batch, end="recorded"),  # type: ignore[arg-type]
        ),
        head="b" * 64,
    )
    fields: dict[str, Any] = to_json(statement)
    given = {"fields": fields, "public": key.public.hex()}
    signed = RELEASED["sign_serving"](given | {"private": KEYS[0]})
    sheet = Sheet(
        "Statements of what a hospital served, signed by it.",
        given=given,
        names={"<signed>": signed},
    )
    sheet.good("a statement", "serving_statement")
    nothing = {"periods": []}
    sheet.good("nothing was served", "serving_statement", changes=nothing)
    sheet.good("signed", "sign_serving", private=KEYS[0])
    sheet.good("read back", "parse_serving", text=signed)
    sheet.good("its signature", "require_serving", text=signed)
    other = _key(KEYS[1]).public.hex()
    because = "did not sign this statement"
    sheet.bad("another hospital's key", "require_serving", "MessageRefused", because,
              text=signed, public=other)  # fmt: skip
    sheet.bad("another snapshot than was signed", "require_serving", "MessageRefused", because,
              text=signed.replace("a" * 64, "c" * 64))  # fmt: skip
    first, second = fields["periods"]
    early = {**first, "since": day("07:59")}
    ended = {**first, "until": day("17:00")}
    for name, changes, because in (
        ("periods out of order", {"periods": [second, first]}, "stand in order"),
        ("a period before what is covered", {"periods": [early]}, "outside of the time"),
        ("loaded still, and not until the end", {"periods": [ended]}, "until the statement's end"),
        ("an end before the beginning", {"until": day("07:00")}, "ends before it begins"),
        ("number 0", {"number": 0}, "number"),
    ):
        sheet.bad(name, "serving_statement", "MessageRefused", because, changes=changes)
    return sheet
