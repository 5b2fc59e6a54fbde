"""docs/network.md cannot go stale: endpoints, statuses and limits are the code's."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from functools import reduce
from importlib import import_module
from pathlib import Path

import pytest
from starlette.routing import Route

from coordinator.delivery.blob_store import BlobStore
from coordinator.delivery.deliveries import Mailbox
from coordinator.http.api import HttpLimits, Server
from coordinator.http.enrolment import EnrolmentServer
from coordinator.http.metrics.service_metrics import Metrics
from protocol.identity.roster import SigningKey
from protocol.transport.requests import PROOF_HEADER, REPLY_HEADER, Proof, ReplyProof, to_bytes
from silos.network.client import LineLimits
from tests import ROOT
from tests.unit.silos.network.test_client import Known, draft

PAGE = (ROOT / "docs" / "network.md").read_text(encoding="utf-8")


def rows(title: str) -> list[list[str]]:
    """The cells of the table whose head begins with a title, row by row."""
    table = PAGE[PAGE.index(f"\n| {title} |") + 1 :].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.split("\n")][2:]


@pytest.fixture
def served(tmp_path: Path) -> Server:
    """The application, with nobody behind it."""
    pool = ThreadPoolExecutor(1)
    key = SigningKey.from_bytes(bytes(32))
    return Server(Known(), Mailbox(), BlobStore(tmp_path), Metrics(), pool, key)  # type: ignore[arg-type]


def limit_at(place: str) -> float:
    """The constant, or the default of a record of limits, that stands at a place in the code."""
    module, *names = re.split(r"\.(?=_?[A-Z])|(?<=Limits)\.", place)
    return float(reduce(getattr, names, import_module(module)))  # type: ignore[arg-type]


@pytest.mark.parametrize(("limit", "value", "where"), rows("limit"))
def test_page_quotes_every_limit_as_the_code_has_it(limit: str, value: str, where: str) -> None:
    assert limit_at(where.strip("`")) == float(value), limit


def test_page_forgets_no_limit_of_a_record() -> None:
    told = {row[2].strip("`").rpartition(".")[2] for row in rows("limit")}
    http, line = HttpLimits(), LineLimits()
    records = [getattr(http, field.name) for field in fields(http)] + [line]
    named = {field.name for record in records for field in fields(record)} - {"part"}
    assert named <= told


def test_page_names_every_endpoint_and_no_other(served: Server) -> None:
    enrolments = EnrolmentServer(bytes, Metrics(), ThreadPoolExecutor(1))
    here = {
        (method, route.path)
        for app in (served.app, enrolments.app)
        for route in app.routes
        if isinstance(route, Route)
        for method in route.methods or ()
        if method != "HEAD" or "blobs" in route.path
    }
    told = {(method, row[1].strip("`")) for row in rows("method") for method in row[0].split(", ")}
    assert told == here


def test_page_shows_records_with_the_fields_they_have() -> None:
    assert f"`{PROOF_HEADER}`" in PAGE
    assert f"`{REPLY_HEADER}`" in PAGE
    for name in Proof.__annotations__ | ReplyProof.__annotations__:
        assert f'"{name}":' in PAGE
    for name in re.findall(rb'"([a-z_]+)":', to_bytes(draft())):
        assert f'"{name.decode()}":' in PAGE
