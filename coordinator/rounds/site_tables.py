"""Each site's own figures, and the signed tables that they are computed from.

A site's noised own counts stand in the ``masked`` message that it signs
(``protocol.vectors.evaluation``). Those messages are kept with the figures, for
ever: with the roster anybody can see that no figure about a site was changed on its
way, by another site or by the coordinator.
"""

import base64
import binascii
import json
import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from coordinator.database.store import ReleaseRow, RoundRow, RunRow, StudyRow
from coordinator.rounds.evaluation.registry import released_of, site_figures
from coordinator.rounds.evaluation.released import (
    Figures,
    NoisedCounts,
    PartCounts,
    Released,
    released_from,
)
from coordinator.rounds.run_course import kinds_of
from protocol.errors import MessageRefused, StoreBroken
from protocol.identity.roster import Roster, parse_roster
from protocol.secagg.messages import Masked, Origin, open_message
from protocol.secagg.transcript import Transcript
from protocol.study.study import Study
from protocol.transport.privacy_summary import Summary
from protocol.vectors.evaluation import read_grid
from protocol.vectors.fixed_point import decode_counts


def deviations_of(study: Study, summary: Summary) -> tuple[float, float]:
    """Returns the noise deviations, in patients, of a site's counts and of its table."""
    multiplier = summary.evaluation_noise_multiplier
    if not multiplier:
        return 0.0, 0.0
    return study.evaluation_vector.deviations(multiplier, study.evaluation.site_share)


def figures_of(
    study: Study,
    summaries: Mapping[str, Summary],
    total: NDArray[np.unsignedinteger],
    tables: Mapping[str, tuple[int, ...]],
) -> Released:
    """Returns the released figures of an evaluation, which follow from its sum and tables alone.

    Args:
        study: says how the counts are laid out, and each table's share of the noise.
        summaries: what the sites signed about their noise.
        total: the secure sum.
        tables: the noised table that each site in the sum has signed.
    """
    deviations = {site: deviations_of(study, summaries[site]) for site in tables}
    vector, counts = study.evaluation_vector, decode_counts(total)
    noised = NoisedCounts(
        pooled=vector.read(counts),
        deviation=math.sqrt(sum(counts**2 for counts, _ in deviations.values())),
        groups=vector.read_groups(counts),
        tables={site: vector.read_own(cells) for site, cells in tables.items()},
        table_deviations={site: own for site, (_, own) in deviations.items()},
        grids={site: read_grid(cells) for site, cells in tables.items()},
    )
    return released_of(study, noised)


def signed_tables(transcript: Transcript) -> dict[str, str]:
    """Returns the signed messages with the tables of the sites in a sum, as they are kept."""
    return {site: base64.b64encode(wire).decode() for site, wire in transcript.masked.items()}


def read_tables(
    kept: Mapping[str, str], roster: Roster, context: str
) -> dict[str, tuple[int, ...]]:
    """Returns the tables in kept messages, by site, after checking each signature.

    Args:
        kept: what ``signed_tables`` gave.
        roster: the members' public keys.
        context: the digest of the evaluation's context.

    Raises:
        MessageRefused: a message is not its site's, or of another round.
    """
    tables = {}
    for site, text in kept.items():
        try:
            wire = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError, TypeError) as error:
            raise MessageRefused(f"the signed table of {site} is no base64") from error
        origin = Origin(sender=site, public=roster.key_of(site), context=context)
        tables[site] = open_message(wire, Masked, origin).table
    return tables


def require_signed_tables(session: Session, run: RunRow, summaries: Iterable[Summary]) -> None:
    """Checks that every figure about a site follows from the table that the site signed.

    Raises:
        StoreBroken: a table is missing or not genuine, or a figure is another one.
    """
    releases = {
        row.kind: row.payload_json
        for row in session.scalars(select(ReleaseRow).filter_by(run_id=run.id))
    }
    document = session.get_one(StudyRow, run.study_digest).document
    study = Study.model_validate_json(document)
    own = {summary.site: deviations_of(study, summary)[1] for summary in summaries}
    for number in study.evaluations.numbers:
        if kinds_of(study, number)[0] in releases:
            _require_signed(session, run, study, number, releases, own)


def _require_signed(
    session: Session,
    run: RunRow,
    study: Study,
    number: int,
    releases: Mapping[str, str],
    own: Mapping[str, float],
) -> None:
    """Checks the figures about sites of one evaluation."""
    figures, tables = kinds_of(study, number)
    try:
        said = released_from(json.loads(releases[figures]))
        found = _figures(session, run, study, number, json.loads(releases[tables]), own)
    except MessageRefused as error:
        raise StoreBroken(f"run {run.id}: a site's table is not genuine: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise StoreBroken(f"run {run.id}: the sites' signed tables are damaged") from error
    wrong = [
        site
        for site in sorted(said.sites.keys() | found)
        if said.sites.get(site) != found.get(site)
    ]
    if wrong:
        raise StoreBroken(
            f"run {run.id}: the figures about {', '.join(wrong)} do not follow from what it signed"
        )


def _figures(
    session: Session,
    run: RunRow,
    study: Study,
    number: int,
    kept: Mapping[str, str],
    own: Mapping[str, float],
) -> dict[str, Figures]:
    """Returns the figures that the kept messages give."""
    query = select(RoundRow).filter_by(
        run_id=run.id, round_kind="evaluation", state="finished", number=number
    )
    row = session.scalars(query).one()
    if sorted(kept) != sorted(json.loads(row.survivors_json)):
        raise MessageRefused("there is not one for each site in the sum")
    tables = read_tables(kept, parse_roster(run.roster_json.encode()), row.context)
    vector = study.evaluation_vector
    return {
        site: site_figures(study, PartCounts(vector.read_own(cells), own[site], read_grid(cells)))
        for site, cells in tables.items()
    }
