"""The Study: the plan that hospitals agree to, checked, named by its digest, and varied."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from protocol.encoding import canonical, digest, digest_json
from protocol.study.privacy import DistributedPrivacy, NoPrivacy, Privacy
from protocol.study.strategies.registry import changed
from protocol.study.strategies.training import Training
from protocol.study.study.contradictions import contradictions
from protocol.study.study.record import StudyRecord
from protocol.study.study.sites import Site
from protocol.study.task.recipes import bind_recipes


class Study(StudyRecord):
    """The whole plan. Its digest is registered before any work.

    ``recipes`` are the packages of code that it takes networks, transforms or a loss from.
    ``training`` is left out where nothing is trained: where the task is ``statistics``, and where
    the model of ``task.pretrained`` is evaluated as it is.
    """

    @model_validator(mode="after")
    def _consistent(self) -> "Study":
        for path, problem in contradictions(self):
            raise PydanticCustomError("study", "{problem}", {"problem": problem, "path": path})
        bind_recipes(self.recipes, self.task.recipe_uses)
        return self

    def with_seed(self, seed: int) -> "Study":
        """Returns this study with another model seed: another study, another digest."""
        return self.replaced(seeds=self.seeds.model_copy(update={"model": seed}))

    def with_split(self, seed: int) -> "Study":
        """Returns this study with another split seed: other patients are tested on."""
        return self.replaced(seeds=self.seeds.model_copy(update={"split": seed}))

    def with_epsilon(self, epsilon: float | None) -> "Study":
        """Returns this study with another epsilon, or None for no privacy at all.

        The noise multiplier and the evaluation's epsilon then follow from it;
        distributed noise has none that follows: see ``with_noise``.
        """
        training: Training = self.training
        if epsilon is None:
            privacy: Privacy = NoPrivacy(mode="none", sampling_rate=self.privacy.sampling_rate)
            if isinstance(self.privacy, DistributedPrivacy):  # the same steps, without noise
                training = changed(training, strategy="fedavg", momentum=0.0)
        elif isinstance(self.privacy, NoPrivacy):
            raise ValueError("a study without privacy has no delta and clip to go with an epsilon")
        elif isinstance(self.privacy, DistributedPrivacy):
            raise ValueError("distributed noise is declared together with its epsilon")
        else:
            update = {"epsilon": epsilon, "noise_multiplier": None}
            privacy = self.privacy.model_copy(update=update)
        evaluation = self.evaluation.model_copy(update={"epsilon": None})
        return self.replaced(
            privacy=privacy, evaluation=evaluation, training=training, sites=self._sites(epsilon)
        )

    def without_noise(self) -> "Study":
        """Returns this study without privacy, all else as it is: the clip too.

        A rate that was chosen for short gradients diverges with whole ones.
        """
        clip = self.privacy.clip
        free = self.with_epsilon(None)
        return free.replaced(privacy=free.privacy.model_copy(update={"clip": clip}))

    def with_noise(self, epsilon: float, noise_multiplier: float) -> "Study":
        """Returns this study with another epsilon and the noise multiplier that keeps it."""
        update = {"epsilon": epsilon, "noise_multiplier": noise_multiplier}
        evaluation = self.evaluation.model_copy(update={"epsilon": None})
        return self.replaced(
            privacy=self.privacy.model_copy(update=update),
            evaluation=evaluation,
            sites=self._sites(epsilon),
        )

    def _sites(self, epsilon: float | None) -> tuple[Site, ...]:
        """Returns the sites without a choice of their own that another epsilon makes void."""
        void = [s for s in self.sites if s.epsilon and (epsilon is None or s.epsilon > epsilon)]
        return tuple(s.model_copy(update={"epsilon": None}) if s in void else s for s in self.sites)

    def replaced(self, **update: object) -> "Study":
        """Returns the study with other sections, checked anew.

        Raises:
            ValidationError: they do not go together.
        """
        found = Study.model_validate(self.model_copy(update=update).model_dump())
        found.attach_from(self)
        return found

    def attach_from(self, other: "Study") -> None:
        """Takes what another study has of the same files: pretrained parameters, recipes."""
        if self.task.pretrained is not None:
            self.task.pretrained.attach_from(other.task.pretrained)
        for package in self.recipes:
            package.attach_from(other.recipes)

    def privacy_digest(self, round_kind: str) -> str:
        """Returns the digest of what a round of this kind releases and how that is protected."""
        if round_kind not in self._privacy_digests:
            self._privacy_digests[round_kind] = digest_json(
                {
                    "round_kind": round_kind,
                    "privacy": self.privacy.model_dump(mode="json"),
                    "steps": self.training.steps,
                    "evaluation": self.evaluation.model_dump(mode="json"),
                }
            )
        return self._privacy_digests[round_kind]

    @cached_property
    def _privacy_digests(self) -> dict[str, str]:
        return {}

    @cached_property
    def weights_digest(self) -> str:
        """The public weights as a digest."""
        return digest_json(self.weights)

    @cached_property
    def canonical_bytes(self) -> bytes:
        """The bytes that are hashed, signed and registered."""
        return canonical(self.model_dump(mode="json"))

    @cached_property
    def digest(self) -> str:
        """The study's name for ever: SHA-256 of its canonical bytes."""
        return digest(self.canonical_bytes)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> "Study":
        """Returns a copy; what was computed from the old fields is computed anew."""
        copied = super().model_copy(update=update, deep=deep)
        for name in set(vars(copied)) - set(type(self).model_fields):
            del vars(copied)[name]
        return copied
