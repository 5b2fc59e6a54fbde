"""Sample dossiers: a finished run, one without privacy, a failed one, one at work."""

import base64
import hashlib
from dataclasses import replace

from compliance.estimates.column_figures import TOO_SMALL, ColumnFigures
from compliance.estimates.groups import SMALL, number_of_patients
from compliance.estimates.interval import Interval
from compliance.estimates.withholding import TOO_FEW
from compliance.facts.dossier import (
    Dossier,
    EntryFacts,
    EvaluationFacts,
    LogFacts,
    RoundFacts,
    SiteFacts,
)
from compliance.facts.groups import GroupFacts
from compliance.facts.privacy_utility import (
    DISTRIBUTED,
    EXACT,
    NONE,
    PER_SITE,
    POOLED,
    RELEASED,
    UtilityPoint,
)
from protocol.transport.privacy_summary import Summary

SITES = ("east", "north", "south", "west")


def digest(text: str) -> str:
    """Returns a digest that stands for ``text``."""
    return hashlib.sha256(text.encode()).hexdigest()


def interval(value: float, half: float) -> Interval:
    """Returns a released figure with a symmetric interval."""
    return Interval(value=value, low=value - half, high=min(1.0, value + half))


def site_privacy(site: str, epsilon: float | None = 1.0) -> Summary:
    """Returns what one hospital pays; with ``epsilon`` None, nothing is claimed."""
    claims = epsilon is not None
    return Summary(
        site=site,
        run_id="run",
        study_digest=digest("study"),
        engine="chain",
        unit="patient",
        patient="key",
        sides="together",
        mode="per_site" if claims else "none",
        epsilon=epsilon,
        delta=1e-4 if claims else None,
        epsilon_two_hospitals=1.52 if claims else None,
        epsilon_group_of_two=2.31 if claims else None,
        epsilon_group_of_three=3.9 if claims else None,
        evaluation_epsilon=epsilon,
        noise_multiplier=8.312 if claims else None,
        evaluation_noise_multiplier=3.1 if claims else None,
        sampling_rate=1.0,
        steps=4 * 5,
        priced_steps=4 * 5,
        priced_evaluations=1,
        clip=1.0 if claims else None,
        noise="exact" if claims else "none",
        budget_epsilon=10.0 if claims else None,
        budget_share=0.36 if claims else None,
        run_share=0.11 if claims else None,
        ledger_head=digest(f"ledger of {site}"),
        log_size=7,
        log_root=digest("log"),
        fallback_epsilon=None,
        torch="2.13.0",
        opacus="1.6.0",
        engine_distance=1.6e-7,
        opacus_distance=9.7e-8,
        opacus_epsilon=1.95 if claims else None,
        cohort=digest(f"cohort of {site}")[:32],
    )


def site_facts(site: str, accuracy: float | None, half: float = 0.05, **more: object) -> SiteFacts:
    """Returns one hospital; ``accuracy`` None means too few patients to say."""
    none = Interval(value=None, low=None, high=None, note=TOO_FEW)
    released = none if accuracy is None else interval(accuracy, half)
    facts = SiteFacts(
        site=site,
        declared_patients=200,
        privacy=site_privacy(site),
        released=dict.fromkeys(("accuracy", "sensitivity", "specificity"), released),
        exact={"auroc": 0.9, "accuracy": 0.84},
        train_patients=172,
        test_patients=104,
    )
    return replace(facts, **more)  # type: ignore[arg-type]


def round_facts(number: int, round_kind: str = "training", **more: object) -> RoundFacts:
    """Returns one finished round."""
    facts = RoundFacts(
        number=number,
        attempt=0,
        round_kind=round_kind,
        state="finished",
        context=digest(f"context {round_kind} {number}"),
        survivors=SITES,
        dropped=(),
        model_digest=digest(f"model {number}") if round_kind == "training" else None,
        opened_at=f"2026-11-21T10:00:0{number % 10}.000Z",
        seconds=1.4 + 0.1 * (number % 3),
    )
    return replace(facts, **more)  # type: ignore[arg-type]


def audit(types: tuple[str, ...]) -> LogFacts:
    """Returns a log whose entries really hash to its root."""
    entries = tuple(
        EntryFacts(
            index=index,
            time=f"2026-11-21T10:00:0{index % 10}.000Z",
            type=kind,
            payload=digest(f"{kind} {index}"),
            leaf_hash=digest(f"leaf {index}"),
        )
        for index, kind in enumerate(types)
    )
    top = root([bytes.fromhex(entry.leaf_hash) for entry in entries])
    return LogFacts(root=top.hex(), size=len(entries), checkpoint=_note(top, len(entries)),
                 entries=entries)  # fmt: skip


def root(leaves: list[bytes]) -> bytes:
    """Returns the tree's root as RFC 6962 section 2.1 writes it down."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << ((len(leaves) - 1).bit_length() - 1)
    return hashlib.sha256(b"\x01" + root(leaves[:half]) + root(leaves[half:])).digest()


def _note(top: bytes, size: int) -> str:
    text = f"collegium/audit/v1\n{size}\n{base64.b64encode(top).decode()}\n"
    return f"{text}\n— collegium/audit/v1 {base64.b64encode(bytes(68)).decode()}\n"


def finished() -> Dossier:
    """Returns a run that finished under patient-level privacy."""
    return Dossier(
        run_id="20261121-100000-a1b2c3",
        state="finished",
        failure=None,
        simulation=True,
        test_noise=False,
        started_at="2026-11-21T10:00:00.000Z",
        ended_at="2026-11-21T10:00:09.600Z",
        seconds=9.6,
        seed=7,
        sweep=None,
        sweep_share=None,
        study_name="heart-disease",
        study_title="Heart disease at four hospitals",
        study_purpose="Estimate the presence of coronary disease from routine examination.",
        study_digest=digest("study"),
        study={
            "sites": [{"name": s} for s in SITES],
            "task": {"network": {"_target_": "FullyConnectedNet"}},
        },
        threshold=3,
        colluders=1,
        rounds_planned=4,
        rounds=(
            round_facts(0),
            round_facts(1, dropped=("west",), survivors=SITES[:3]),
            round_facts(2),
            round_facts(3),
            round_facts(4, "evaluation"),
        ),
        sites=(
            site_facts("east", 0.821, 0.05),
            site_facts("north", 0.874, 0.04),
            site_facts("south", 0.702, 0.09),
            site_facts("west", None, exact={"auroc": None, "accuracy": 0.75}, test_patients=16),
        ),
        model_digest=digest("model 3"),
        snapshot=f"snapshots/{digest('model 3')}.safetensors",
        task="binary_classification",
        released={"auroc": interval(0.868, 0.031), "accuracy": interval(0.803, 0.027)},
        exact={"auroc": 0.8812, "accuracy": 0.8104},
        audit=audit(("study-registered", "roster", "run-started", "approvals", "round-opened",
                     "survivors", "masked-blobs", "ledger-heads", "result", "snapshot",
                     "run-finished")),
        environment={"collegium": "0.1.0", "python": "3.11.7", "torch": "2.13.0+cpu",
                     "platform": "Linux x86_64"},
    )  # fmt: skip


NOTHING = Interval(value=None, low=None, high=None, note=TOO_FEW)


def group_facts(
    grouping: str, name: str, sensitivity: Interval, patients: float = 400.0
) -> GroupFacts:
    """Returns one group; of its PPV nothing is known."""
    return GroupFacts(
        grouping=grouping,
        group=name,
        released={
            "patients": number_of_patients(patients, 2.0, 16),
            "sensitivity": sensitivity,
            "ppv": NOTHING,
        },
        exact={"auroc": 0.81},
        test_patients=round(patients),
    )


def with_groups(**changes: object) -> Dossier:
    """Returns a run with a gap that is shown (age), one that is not (sex), and a small group."""
    small = Interval(value=None, low=None, high=None, note=SMALL)
    groups = (
        group_facts("age", "below 50", interval(0.9, 0.02)),
        group_facts("age", "50 and above", interval(0.6, 0.02)),
        group_facts("sex", "men", interval(0.8, 0.1)),
        group_facts("sex", "women", interval(0.7, 0.1)),
        group_facts("race", "a", small, 3.0),
        group_facts("race", "b", interval(0.8, 0.1)),
    )
    return replace(finished(), groups=groups, **changes)  # type: ignore[arg-type]


def without_privacy() -> Dossier:
    """Returns a run that trained without differential privacy."""
    whole = finished()
    sites = tuple(replace(s, privacy=site_privacy(s.site, None)) for s in whole.sites)
    return replace(whole, run_id="20261121-110000-d4e5f6", sites=sites)


def statistics() -> Dossier:
    """Returns a run of a statistics study: a column of numbers, and a category."""
    whole, none = finished(), Interval(value=None, low=None, high=None, note=TOO_SMALL)
    age = ColumnFigures(
        name="age", range=(20.0, 80.0), parts=(), patients=interval_of(900.0, 60.0),
        missing=none, mean=interval_of(53.9, 1.8), deviation=interval_of(9.4, 1.5), shares=(),
    )  # fmt: skip
    sex = ColumnFigures(
        name="sex", range=None, parts=("0", "1"), patients=interval_of(880.0, 60.0),
        missing=interval(0.04, 0.03), mean=None, deviation=None,
        shares=(interval(0.3, 0.06), interval(0.7, 0.06)),
    )  # fmt: skip
    patients = {"patients": interval_of(920.0, 50.0)}
    exact = (
        {"missing": 0.0, "mean": 53.5, "deviation": 9.42, "parts": []},
        {"missing": 0.05, "parts": [0.28, 0.72]},
    )
    sites = tuple(
        replace(s, released={"patients": interval_of(230.0, 20.0)}, exact={"patients": 230.0})
        for s in whole.sites
    )
    return replace(
        whole, run_id="20261121-140000-c01c01", task="statistics", rounds_planned=0,
        rounds=(round_facts(0, "evaluation"),), released=patients, exact={"patients": 920.0},
        sites=sites, columns=(age, sex), exact_columns=exact, study={"sites": [], "task": {}},
    )  # fmt: skip


def interval_of(value: float, half: float) -> Interval:
    """Returns a released figure of any size with a symmetric interval."""
    return Interval(value=value, low=value - half, high=value + half)


def failed() -> Dossier:
    """Returns a run that lost its quorum in the second round."""
    whole = finished()
    lost = round_facts(1, state="failed", model_digest=None, survivors=(), dropped=SITES[2:])
    return replace(
        whole,
        run_id="20261121-120000-778899",
        state="failed",
        failure="QuorumLost: round 1 has 2 answers, 3 are needed",
        rounds=(round_facts(0), lost),
        sites=tuple(replace(s, released={}, exact={}) for s in whole.sites),
        model_digest=None,
        snapshot=None,
        released={},
        exact={},
    )  # fmt: skip


def running() -> Dossier:
    """Returns a run that has only just begun: no hospital's word, no round, no figure."""
    return replace(
        failed(),
        run_id="20261121-130000-aabbcc",
        state="running",
        failure=None,
        ended_at=None,
        seconds=None,
        rounds=(),
        sites=(),
    )


def sweep() -> tuple[UtilityPoint, ...]:
    """Returns three epsilons and a reference without privacy, two seeds each."""
    points = []
    for epsilon, auroc in ((0.5, 0.82), (2.0, 0.87), (8.0, 0.884), (None, 0.889)):
        for seed, shift in ((1, -0.008), (2, 0.006)):
            exact = auroc + shift
            mode = PER_SITE if epsilon else NONE
            points.append(
                UtilityPoint(epsilon=epsilon, seed=seed, value=exact, kind=EXACT, mode=mode)
            )
            noised = exact + 2 * shift
            points.append(
                UtilityPoint(epsilon=epsilon, seed=seed, value=noised, kind=RELEASED, mode=mode,
                             low=noised - 0.04, high=min(1.0, noised + 0.04))
            )  # fmt: skip
    return tuple(points)


def modes(*epsilons: float | None) -> tuple[UtilityPoint, ...]:
    """Returns three modes at each epsilon, three seeds each; without privacy there are two."""
    points = []
    for epsilon in epsilons:
        reached = {PER_SITE: 0.93, DISTRIBUTED: 0.97, POOLED: 0.98}
        if epsilon is None:
            reached = {NONE: 0.985, POOLED: 0.986}
        for mode, auroc in reached.items():
            points += [
                UtilityPoint(epsilon=epsilon, seed=seed, value=auroc + shift, kind=EXACT, mode=mode)
                for seed, shift in ((1, -0.004), (2, 0.0), (3, 0.004))
            ]
    return tuple(points)


def with_course(**changes: object) -> Dossier:
    """Returns a run of six rounds, evaluated after every two: rounds 3 and 4 were taken back."""
    found, study = finished(), finished().study
    figures = {2: interval(0.85, 0.03), 4: interval(0.62, 0.05), 6: interval(0.868, 0.031)}
    evaluations = tuple(
        EvaluationFacts(
            rounds=rounds,
            model_digest=digest(f"model {rounds - 1}"),
            released=released,
            survivors=SITES,
            goes_on=2 if rounds == 4 else rounds,
        )
        for rounds, released in figures.items()
    )
    rounds = [round_facts(number) for number in range(1, 7)]
    rounds.insert(2, round_facts(2, "evaluation", is_interim=True))
    rounds.insert(5, round_facts(4, "evaluation", is_interim=True))
    study = {
        **study,
        "training": {"rounds": 6},
        "privacy": {"mode": "per_site"},
        "evaluation": {"every": 2, "roll_back": 0.05},
    }
    given: dict[str, object] = {
        "study": study,
        "rounds_planned": 6,
        "rounds": (*rounds, round_facts(7, "evaluation")),
        "evaluations": evaluations,
    }
    return replace(found, **{**given, **changes})  # type: ignore[arg-type]
