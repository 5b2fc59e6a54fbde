"""Rules about a study that evaluates a given model and trains nothing.

All parameters come from the file of ``task.pretrained``. Whatever else a study says of how to learn
would be of no effect, and is refused: nobody shall wonder whether it had one.
"""

from protocol.study.privacy import DistributedPrivacy, NoPrivacy
from protocol.study.strategies.strategy import Problem
from protocol.study.study.record import StudyRecord, no_training


def evaluation_only_problems(study: StudyRecord) -> list[Problem]:
    """Returns the problems of a study without a round of training that has a network."""
    if study.trains or not study.has_model:
        return []
    task = study.task
    if task.pretrained is None:
        return [
            (
                "training",
                "no round of training: write rounds, local_steps and learning_rate; only "
                "task.kind statistics has none, and a study that evaluates a given model "
                "(task.pretrained)",
            )
        ]
    wrong: list[tuple[bool, str, str]] = [
        (study.training != no_training(), "training", "nothing is trained: leave it out"),
        (
            task.is_partly_frozen,
            "task.trained_layers" if task.trained_layers else "task.adapters",
            "nothing is trained, and the file holds the whole network: leave it out",
        ),
        (task.augmentation is not None, "task.augmentation", "nothing is trained: leave it out"),
        (study.release is not None, "release", "no model is made that could be licensed"),
    ]
    wrong += _privacy_problems(study)
    return [(path, problem) for is_wrong, path, problem in wrong if is_wrong]


def _privacy_problems(study: StudyRecord) -> list[tuple[bool, str, str]]:
    """Returns what may be wrong with the promise: (whether it is, path, problem)."""
    privacy = study.privacy
    rates = (privacy.sampling_rate, *(site.sampling_rate for site in study.sites))
    wrong = [
        (
            any(rate not in (None, 1) for rate in rates),
            "privacy.sampling_rate",
            "every test patient is counted: sampling_rate: 1",
        )
    ]
    if isinstance(privacy, NoPrivacy):
        return wrong
    return [
        *wrong,
        (
            isinstance(privacy, DistributedPrivacy),
            "privacy.mode",
            "every hospital's counts have noise enough of their own: mode per_site",
        ),
        (
            study.evaluation.epsilon is not None,
            "evaluation.epsilon",
            "test patients pay privacy.epsilon, and no others do: leave it out",
        ),
        (
            privacy.noise_multiplier is not None
            or privacy.adaptive_clip is not None
            or privacy.correlated_noise is not None,
            "privacy",
            "noise_multiplier, adaptive_clip and correlated_noise are of training: leave them out",
        ),
    ]
