"""The comparison key of a study, and the same study in another mode of privacy.

Two studies ask the same *question* when they would learn the same thing from
the same patients: whatever differs between them then is how. A study in
another mode keeps its network, patients, gradient steps and epsilon, so that
the mode is all that differs; where a setting has no fair equivalent it is refused.
"""

from pydantic import ValidationError

from protocol.encoding import digest, digest_json
from protocol.errors import StudyRefused
from protocol.study.cohort.labels import DatedLabel
from protocol.study.privacy import DistributedPrivacy, NoPrivacy, PerSitePrivacy
from protocol.study.strategies.registry import changed
from protocol.study.study import KeyedHashSplit, Site, Study

#: What of a task says how to learn, and of an evaluation when: of no meaning to a model that is
#: given. Whoever writes a study of one, and whoever takes its figures, leave the same out.
OF_LEARNING = frozenset({"pretrained", "trained_layers", "adapters", "augmentation"})
OF_INTERIM = frozenset({"epsilon", "every", "roll_back"})
#: As much as a study may declare: it keeps every epsilon, until ``with_noise`` says how much is
#: needed.
_MAX_NOISE = 1000.0


def question(study: Study) -> str:
    """Returns the digest of what a study asks: cohort, hospitals and records, split, task, recipes.

    Which patients a keyed split draws is not part of it: that may be drawn again and again.
    """
    parts = {"cohort", "partition", "split", "task", "recipes"}
    asked = study.model_dump(mode="json", include=parts)
    sites = [
        {"name": site.name, "records": site.records, "value": site.value}
        for site in sorted(study.sites, key=lambda site: site.name)
    ]
    return digest_json({**asked, "sites": sites})


def targets(study: Study) -> frozenset[str]:
    """Returns names of what a study learns or counts: the columns of its label.

    Neither what is learned of a column nor its values are part of it. Two classes where another
    study has a binary outcome, one finding of several, or a value more that means disease, and
    that no record has, would else make of the same study an unrelated one. A label that stands in
    no column, as of images, is named by its digest.
    """
    label, how = study.cohort.label, "learned" if study.has_model else study.task.kind
    columns = (label.event_date,) if isinstance(label, DatedLabel) else label.columns
    if not columns:
        return frozenset({f"{how}/{digest_json(label.model_dump(mode='json'))}"})
    return frozenset(f"{how} from {column}" for column in columns)


def rule_of_tests(study: Study) -> str:
    """Returns the digest of the rule that says who is tested, without the names of hospitals.

    A hospital's own key decides who a keyed hash draws, so of that the method alone counts.
    """
    said = study.model_dump(mode="json", include={"split", "partition"})
    if isinstance(study.split, KeyedHashSplit):
        said["split"] = {"method": study.split.method}
    return digest_json(said | {"patient_key": study.cohort.patient_key})


def settings(study: Study) -> str:
    """Returns the digest of all that a study says but its names, its seeds and its epsilons.

    What it set out to show is left out too: that computes nothing. Runs of equal settings and
    epsilon differ by chance alone: a mean over them tells something. The noise multiplier follows
    from epsilon and the rest.
    """
    said = study.model_dump(
        mode="json",
        exclude={
            "name": True, "title": True, "purpose": True, "seeds": True,
            "preregistration": True,
            "privacy": {"epsilon", "noise_multiplier"},
            "evaluation": {"epsilon"},
            "sites": {"__all__": {"epsilon"}},
        },
    )  # fmt: skip
    return digest_json(said)


def with_fresh_split(study: Study) -> Study:
    """Returns the study with a split of its own, which follows from its two seeds.

    Raises:
        StudyRefused: the study says of every record which part it is in.
    """
    if not isinstance(study.split, KeyedHashSplit):
        raise StudyRefused(
            f"study {study.name}: split.method {study.split.method} says where every record is, "
            "so no other split can be drawn; with keyed_hash it can"
        )
    drawn = digest(f"split/{study.seeds.split}/{study.seeds.model}".encode())
    return study.with_split(int(drawn, 16) % 2**53)


def as_per_site(study: Study) -> Study:
    """Returns the study with every hospital's own noise as its protection.

    Raises:
        StudyRefused: the study has no privacy, or a server optimiser without a per-site equivalent.
    """
    privacy, training = study.privacy, study.training
    if isinstance(privacy, PerSitePrivacy):
        return study
    if isinstance(privacy, NoPrivacy):
        raise _no_privacy("per_site")
    if training.strategy != "fedsgd" or training.momentum:
        raise StudyRefused(
            f"study {study.name}: {training.strategy} with momentum {training.momentum:g} "
            "remembers earlier rounds, for which mode per_site has no equivalent: name a study "
            "of mode per_site, tuned for it, beside this one"
        )
    own = privacy.model_dump(exclude={"mode", "noise_multiplier", "own_noise"})
    return study.replaced(
        title=_titled(study, "per_site"),
        privacy=PerSitePrivacy(mode="per_site", **own),
        training=changed(training, strategy="fedavg"),
    )


def as_distributed(study: Study) -> Study:
    """Returns the study with shared noise: each of its local steps is a round of its own.

    Momentum stays where a local step could feel it. The noise multiplier is yet
    to be set, by ``with_noise``: what it must be depends on ``releases``.

    Raises:
        StudyRefused: the study has no privacy, sums of fewer than all hospitals, or anything else
            that does not go with shared noise.
    """
    privacy, training = study.privacy, study.training
    if isinstance(privacy, DistributedPrivacy):
        return study
    if isinstance(privacy, NoPrivacy):
        raise _no_privacy("distributed")
    if study.partial_sums:
        raise StudyRefused(
            f"study {study.name}: its groups or batches of hospitals need each hospital's own "
            "noise, so there is no such study of mode distributed"
        )
    momentum = training.momentum if training.local_steps > 1 else 0.0
    if momentum and study.evaluation.roll_back is not None:
        raise StudyRefused(
            f"study {study.name}: in mode distributed its momentum is the server's, which an "
            "earlier model does not take back: leave evaluation.roll_back or training.momentum out"
        )
    own = privacy.model_dump(exclude={"mode", "noise_multiplier", "correlated_noise"})
    try:
        return study.replaced(
            title=_titled(study, "distributed"),
            privacy=DistributedPrivacy(mode="distributed", noise_multiplier=_MAX_NOISE, **own),
            training=changed(
                training,
                strategy="fedsgd",
                rounds=training.steps,
                local_steps=1,
                average_last=_in_steps(training.average_last, training.local_steps),
                momentum=momentum,
            ),
            evaluation=study.evaluation.model_copy(
                update={"every": _in_rounds(study.evaluation.every, training.local_steps)}
            ),
        )
    except ValidationError as error:
        raise _no_such("distributed", study, error) from error


def _in_steps(rounds: int, steps: int) -> int:
    """Returns how many steps' models lie from the first averaged round's model to the last."""
    return (rounds - 1) * steps + 1


def _in_rounds(every: int | None, steps: int) -> int | None:
    """Returns after how many rounds of one step a study is evaluated: as often as it was."""
    return None if every is None else every * steps


def without_choices(study: Study) -> Study:
    """Returns the study with no hospital promising more than the study does."""
    sites = tuple(
        Site(name=site.name, records=site.records, value=site.value, patients=site.patients)
        for site in study.sites
    )
    return study.replaced(sites=sites)


def _titled(study: Study, mode: str) -> str:
    """Returns a title that does not pass the study off as the one that people wrote."""
    return f"{study.title[:160]} (in mode {mode})"


def _no_such(mode: str, study: Study, error: ValidationError) -> StudyRefused:
    problem = error.errors()[0]
    where = problem.get("ctx", {}).get("path") or ".".join(map(str, problem["loc"]))
    return StudyRefused(
        f"study {study.name}: there is no such study of mode {mode}: {where}: {problem['msg']}"
    )


def _no_privacy(mode: str) -> StudyRefused:
    return StudyRefused(
        f"privacy.mode is none, so there is no clip and delta to go with mode {mode}: "
        "declare mode per_site or distributed"
    )
