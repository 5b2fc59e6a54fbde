"""The check of a study against a site's policy: every refusal at once, each with a remedy.

Pure: the answer follows from the policy and the study. That somebody has
approved the study, that the budget suffices and that the hours fit is decided
elsewhere (``study_authorization``).

A purpose is free text that the study's author writes, so matching its words
keeps nobody from lying. It sorts out what is clearly not wanted; the protection
is the person who reads the study and approves its digest.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from pipelines.sources.clinical.wanted import asked_for
from protocol.study.cohort.cohort import ImageCohort, TableCohort
from protocol.study.cohort.labels import FindingsLabel
from protocol.study.privacy import PatientPrivacy
from protocol.study.study import BUNDLED, ColumnSplit, FileSplit, Study
from protocol.study.task.recipes import RecipeUse
from silos.config.site_file import Policy, Resources, words_of


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A refusal: what is not allowed, which key of the site file says so, and the remedy."""

    what: str
    where: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what} ({self.where}): {self.remedy}"


def refusals(
    policy: Policy, study: Study, *, site: str, simulated: bool = False
) -> tuple[Refusal, ...]:
    """Returns all that a hospital's policy has against a study; nothing when it is allowed.

    Args:
        policy: the hospital's own.
        study: what asks to run here.
        site: the hospital's name in the study.
        simulated: the hospital was made for a simulation: then what only a
            simulation may do (no privacy, stand-in records) is not
            refused here.
    """
    if site not in study.site_names:
        return (
            Refusal(
                what=f"the study names {', '.join(study.site_names)}, not {site}",
                where="name",
                remedy="ask the study's author to name this hospital, or mend name",
            ),
        )
    found = [
        *_purpose(policy, study),
        *_method(policy, study),
        *_columns(policy, study, site),
        *_pretrained(policy, study),
        *recipe_refusals(policy, study),
        *_cohort(policy, study, site),
        *_privacy(policy, study, site, simulated=simulated),
    ]
    return tuple(found if simulated else [*found, *_simulations_only(study)])


def columns_read(study: Study, site: str = "") -> tuple[str, ...]:
    """Returns the columns that a study reads at a hospital, or at one that is not named, sorted.

    Of a table they are the features, all dates that these, the label and the window of time are
    made of, the label, the patient key, and the columns of the evaluation's groups, but for a
    hospital that has declined to count them.
    Of an image cohort they are ``images``, ``labels``, the columns beside them and the
    patient key; a key ``row`` is no column.
    """
    cohort = study.cohort
    names = {column.name for column in cohort.features} | {cohort.patient_key}
    if isinstance(cohort, TableCohort):
        names |= set(cohort.reads)
    else:
        names |= {"images", *cohort.label.arrays}
    if isinstance(study.split, ColumnSplit) and not _is_part(study):
        names.add(study.split.column)
    declined = site in study.site_names and not study.site(site).groups
    if not declined:
        names |= {grouping.column for grouping in study.evaluation.groups.values()}
    return tuple(sorted(names - {"row", ""}))


def open_at(resources: Resources, now: datetime) -> bool:
    """Whether a study may begin to train now.

    Args:
        resources: with hours from (inclusive) and until (exclusive), which may
            pass midnight, in the hospital's own time zone.
        now: with a time zone.
    """
    if now.tzinfo is None:
        raise ValueError("now needs a time zone")
    if resources.opening is None:
        return True
    start, end = resources.opening
    here = now.astimezone(ZoneInfo(resources.time_zone)).time()
    return start <= here < end if start < end else here >= start or here < end


def _purpose(policy: Policy, study: Study) -> Iterator[Refusal]:
    said = words_of(study.purpose)
    if not any(holds_phrase(said, words_of(phrase)) for phrase in policy.purposes):
        yield Refusal(
            what=f"the purpose holds none of the allowed phrases ({_listed(policy.purposes)})",
            where="policy.purposes",
            remedy="read the study's purpose; if you allow it, add a phrase that it holds",
        )


def holds_phrase(text: tuple[str, ...], phrase: tuple[str, ...]) -> bool:
    """Whether words follow each other in a text, see ``words_of``."""
    places = range(len(text) - len(phrase) + 1)
    return any(text[place : place + len(phrase)] == phrase for place in places)


def _method(policy: Policy, study: Study) -> Iterator[Refusal]:
    named = [
        ("task", study.task.kind, policy.tasks, "tasks"),
        *(("network", name, policy.networks, "networks") for name in study.task.network.targets),
        ("split method", study.split.method, policy.splits, "splits"),
    ]
    if isinstance(study.task.network, RecipeUse):  # policy.recipes speaks of it
        del named[1]
    for what, name, allowed, key in named:
        if name not in allowed:
            yield Refusal(
                what=f"the {what} {name} is not allowed (allowed: {_listed(allowed)})",
                where=f"policy.{key}",
                remedy=f"if you allow it, add {name}",
            )


def _pretrained(policy: Policy, study: Study) -> Iterator[Refusal]:
    named = study.task.pretrained
    if named is not None and named.sha256 not in policy.pretrained:
        yield Refusal(
            what=f"the study starts from {named.file}, which is not allowed: {named.source}",
            where="policy.pretrained",
            remedy=f"if you allow it, add {named.sha256}",
        )


def recipe_refusals(policy: Policy, study: Study) -> Iterator[Refusal]:
    """Yields the refusals of recipes that the policy does not allow."""
    for package in policy.missing(study.recipes):
        yield Refusal(
            what=f"the study takes code from {package}, which is not allowed",
            where="policy.recipes",
            remedy="if you have read its wheel and allow it, add {wheel: its file, sha256: "
            f"{package.sha256}}}",
        )


def _columns(policy: Policy, study: Study, site: str) -> Iterator[Refusal]:
    forbidden = [name for name in columns_read(study, site) if name not in policy.columns]
    if forbidden:
        yield Refusal(
            what=f"the study reads columns that are not allowed: {', '.join(forbidden)}",
            where="policy.columns",
            remedy="if you allow them, add them; otherwise ask for a study without them",
        )


def label_columns(study: Study) -> tuple[str, ...]:
    """Returns the columns that labels stand in, of a table that names a folder's images, sorted.

    In an npz labels stand in an array of the hospital's, ``labels``. In a table the study names
    their columns, and could name any. Those that ``columns_read`` has anyway are left out.
    """
    label = study.cohort.label
    named = label.columns
    if isinstance(label, FindingsLabel) and not named:
        named = tuple(label.findings)  # a finding's title is then its column
    return tuple(sorted(set(named) - set(columns_read(study))))


def label_refusals(policy: Policy, study: Study) -> Iterator[Refusal]:
    """Yields the refusal of ``label_columns`` that the policy does not allow."""
    forbidden = [name for name in label_columns(study) if name not in policy.columns]
    if forbidden:
        yield Refusal(
            what="the study reads columns of the images' table that are not allowed: "
            f"{', '.join(forbidden)}",
            where="policy.columns",
            remedy="if you allow them, add them; otherwise ask for a study without them",
        )


def clinical_refusals(
    policy: Policy, study: Study, kind: Literal["omop", "fhir"]
) -> Iterator[Refusal]:
    """Yields the refusal of clinical records that the policy does not allow.

    In clinical records a column's name is the study's own, and says nothing of what it is made of.

    Args:
        policy: the hospital's own.
        study: what asks to run here.
        kind: of the hospital's records.
    """
    allowed = {str(each) for each in policy.clinical}
    forbidden = [asked for asked in asked_for(study.cohort, kind) if asked not in allowed]
    if forbidden:
        yield Refusal(
            what=f"the study asks for records that are not allowed: {', '.join(forbidden)}",
            where="policy.clinical",
            remedy="if you allow them, add them; otherwise ask for a study without them",
        )


def _cohort(policy: Policy, study: Study, site: str) -> Iterator[Refusal]:
    least = study.fewest_with(site)
    if least < policy.sites:
        yield Refusal(
            what=f"a sum may hold only {least} hospitals' updates, fewer than {policy.sites}",
            where="policy.sites",
            remedy=f"ask for aggregation.min_sites: {policy.sites}",
        )
    if study.aggregation.colluders < policy.colluders:
        yield _too_few_colluders(policy.colluders, study)
    sure = max(study.cohort.min_patients, study.site(site).patients)
    if sure < policy.patients:
        yield Refusal(
            what=f"the study counts on {sure} of our patients, fewer than {policy.patients}",
            where="policy.patients",
            remedy=f"ask for cohort.min_patients: {policy.patients}, or for our declared number "
            f"(sites: - {{name: {site}, patients: ...}})",
        )


def _too_few_colluders(wanted: int, study: Study) -> Refusal:
    n, borne = len(study.sites), study.aggregation.colluders
    threshold = max(wanted + 2, (n + wanted) // 2 + 1)  # t - C >= 2 and 2 t > n + C
    return Refusal(
        what=f"an update is hidden while at most {borne} hospitals collude with the coordinator, "
        f"fewer than {wanted}",
        where="policy.colluders",
        remedy=f"ask for aggregation: {{colluders: {wanted}, threshold: {threshold}}}, or more"
        if threshold <= n
        else f"ask for more hospitals: {n} cannot bear {wanted} that collude",
    )


def _privacy(policy: Policy, study: Study, site: str, *, simulated: bool) -> Iterator[Refusal]:
    privacy = study.privacy_of(site)
    if not isinstance(privacy, PatientPrivacy):
        if not simulated:
            yield Refusal(
                what="the study has no differential privacy",
                where="policy.modes",
                remedy="such a study is for simulations only: ask for privacy.mode per_site",
            )
        return
    if privacy.mode not in policy.modes:
        yield Refusal(
            what=f"privacy mode {privacy.mode} is not allowed (allowed: {_listed(policy.modes)})",
            where="policy.modes",
            remedy=f"ask for another mode, or if you allow it, add {privacy.mode}",
        )
    if privacy.unit not in policy.units:
        yield Refusal(
            what=f"the study protects each {privacy.unit}, not each {_listed(policy.units)}",
            where="policy.units",
            remedy=f"ask for privacy.unit: {_listed(policy.units)}",
        )
    dearest = max(privacy.epsilon, study.evaluation_epsilon_of(site) or 0.0)
    if dearest > policy.epsilon_at_most:
        yield Refusal(
            what=f"a patient of ours would pay epsilon {dearest:g}, more than "
            f"{policy.epsilon_at_most:g}",
            where="policy.epsilon_at_most",
            remedy=f"ask for sites: - {{name: {site}, epsilon: {policy.epsilon_at_most:g}}}",
        )
    if privacy.delta > policy.delta_at_most:
        yield Refusal(
            what=f"delta is {privacy.delta:g}, more than {policy.delta_at_most:g}",
            where="policy.delta_at_most",
            remedy=f"ask for privacy.delta: {policy.delta_at_most:g}",
        )


def _simulations_only(study: Study) -> Iterator[Refusal]:
    """Yields refusals of studies that only simulations may run, whatever the policy says."""
    if study.partition is not None or any(site.records == BUNDLED for site in study.sites):
        yield Refusal(
            what="partitioned and bundled records stand in for hospitals in simulations",
            where="always",
            remedy="ask for a study without a partition and bundled records",
        )
    if isinstance(study.split, FileSplit) and study.split.sha256 is None:
        yield Refusal(
            what="the study does not say which index file splits the patients",
            where="always",
            remedy="ask for split.sha256, the file's SHA-256",
        )


def _is_part(study: Study) -> bool:
    """Whether the split is by an image's part: its place in the file, not a column."""
    return (
        isinstance(study.cohort, ImageCohort)
        and isinstance(study.split, ColumnSplit)
        and study.split.column == "part"
    )


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"
