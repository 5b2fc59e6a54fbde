"""Places of encrypted models: who decides there, under whose key, and where it is written down.

* A consortium's folder: each decision is an act; the coordinator's key signs the record.
* A hospital's folder: the hospital's own key signs.
* A copy: nobody decides anything; what is opened is written into the copy's record, unsigned.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compliance.governance.acts import ActRequest
from compliance.storage.clock import timestamp
from compliance.storage.encryption.folder import WEIGHTS, WeightsFolder
from compliance.storage.encryption.sealing import WeightsDraft
from compliance.storage.encryption.writer import WeightsDecision, WeightsOpening, WeightsWriter
from coordinator.database.workspace import Workspace
from coordinator.governance.models.weights_register import act_details, act_payload
from coordinator.runs.person_acts import perform
from coordinator.views.views import open_views
from protocol.errors import FederationError, PolicyRefused, WorkspaceRefused
from protocol.identity.roster import SigningKey
from silos.config.directory import opened
from silos.config.folder import is_hospital
from silos.database.identity_keys import IdentityKeys
from silos.results.kept_models import model_file
from silos.results.own_runs import own_run


@dataclass(frozen=True, kw_only=True)
class DecisionMade:
    """The outcome of a decision: whose act it was, and the change that waits for a second person.

    ``act`` is the act's digest and ``person`` who did it; None where nobody is registered.
    """

    act: str | None = None
    person: str | None = None
    change: int | None = None
    waits: bool = False

    def to_json(self) -> dict[str, Any]:
        """Returns the outcome as ``--json`` shows it."""
        return dict(vars(self))


class WeightsPlace(ABC):
    """A folder of encrypted models, with what decides there.

    Attributes:
        writer: the one that changes the folder.
        signs_openings: the key under which openings are written down; None where there is none.
    """

    def __init__(self, root: Path, trusted: Collection[bytes], key: SigningKey | None) -> None:
        self.folder = WeightsFolder(root, trusted)
        self.writer = WeightsWriter(self.folder)
        self.signs_openings = key

    @abstractmethod
    def model_of_run(self, run: str) -> tuple[Path, str | None]:
        """Returns the file of a run's final model, and its digest where it is known.

        Raises:
            WorkspaceRefused: there is no such run, or it has no final model.
        """

    @abstractmethod
    def seal(self, draft: WeightsDraft) -> DecisionMade:
        """Begins a model's record."""

    @abstractmethod
    def rewrap(self, draft: WeightsDraft, reason: str) -> DecisionMade:
        """Puts the next generation in place."""

    @abstractmethod
    def retire(self, model: str, reason: str) -> DecisionMade:
        """Retires a model."""

    def require_may_open(self, model: str, recipient: str, at_least: int) -> DecisionMade:
        """Decides whether an identity may open a model.

        Raises:
            PolicyRefused: it may not.
        """
        self.folder.history(model).require_may_open(recipient, at_least)
        return DecisionMade()

    def note_refusal(self, model: str, recipient: str, error: FederationError) -> None:
        """Writes down that an opening was refused; a record that is broken takes nothing."""
        said = WeightsOpening(recipient=recipient, at=timestamp(), refusal=str(error))
        with suppress(FederationError):
            self.writer.note_opening(model, said, self.signs_openings)

    def note_opening(self, model: str, recipient: str, by: str) -> None:
        """Writes down an opening.

        Raises:
            FederationError: it is not allowed any more, or cannot be written down.
        """
        said = WeightsOpening(recipient=recipient, at=timestamp(), by=by)
        self.writer.note_opening(model, said, self.signs_openings)


class ConsortiumWeights(WeightsPlace):
    """The encrypted models in a coordinator's folder, or in one of simulations.

    Args:
        home: the folder.
        person: the key of the person who acts; None where nobody says who they are.
    """

    def __init__(self, home: Path, person: SigningKey | None) -> None:
        key = Workspace(home).signing_key()
        super().__init__(home / WEIGHTS, {key.public}, key)
        self._home, self._person = home, person

    def model_of_run(self, run: str) -> tuple[Path, str | None]:
        """Returns the snapshot of a run's final model, and its digest."""
        with closing(open_views(self._home)) as views:
            dossier = views.dossier(run)
        if dossier.snapshot is None or dossier.model_digest is None:
            raise WorkspaceRefused(f"run {dossier.run_id} is {dossier.state}: it has no model")
        return self._home / dossier.snapshot, dossier.model_digest

    def seal(self, draft: WeightsDraft) -> DecisionMade:
        """Begins a model's record, as an act."""
        return self._act(
            "weights.seal",
            draft.manifest.model,
            act_details(draft.manifest),
            act_payload(draft.header),
        )

    def rewrap(self, draft: WeightsDraft, reason: str) -> DecisionMade:
        """Puts the next generation in place, as an act."""
        said = {**act_details(draft.manifest), "reason": reason}
        return self._act("weights.rewrap", draft.manifest.model, said, act_payload(draft.header))

    def retire(self, model: str, reason: str) -> DecisionMade:
        """Retires a model, as an act that a second person confirms."""
        return self._act("weights.retire", model, {"reason": reason})

    def require_may_open(self, model: str, recipient: str, at_least: int) -> DecisionMade:
        """Decides by the record and by the consortium's log, as an act."""
        super().require_may_open(model, recipient, at_least)
        return self._act("weights.open", model, {"recipient": recipient})

    def _act(
        self,
        action: str,
        model: str,
        details: Mapping[str, Any],
        beside: Mapping[str, Any] | None = None,
    ) -> DecisionMade:
        request = ActRequest(action=action, subject_kind="model", subject=model, details=details)
        told = perform(self._home, request, self._person, beside)
        return DecisionMade(
            act=told.get("act"),
            person=told.get("person"),
            change=told.get("change"),
            waits=told.get("waits") is True,
        )


class HospitalWeights(WeightsPlace):
    """The encrypted models in a hospital's own folder.

    Args:
        home: the folder.
    """

    def __init__(self, home: Path) -> None:
        with opened(home) as (_, hospital):
            keys = IdentityKeys(hospital)
            key, trusted = keys.own, {bytes.fromhex(one) for one in keys.public()}
        super().__init__(home / WEIGHTS, trusted, key)
        self._home, self._key = home, key

    def model_of_run(self, run: str) -> tuple[Path, str | None]:
        """Returns the file that the hospital keeps of a run's final model."""
        found = own_run(self._home, run)
        path = model_file(self._home, found.run_id)
        if path is None:
            raise WorkspaceRefused(f"no final model of run {found.run_id} came to this hospital")
        return path, None

    def seal(self, draft: WeightsDraft) -> DecisionMade:
        """Begins a model's record under the hospital's key."""
        self.writer.begin(draft.manifest, draft.header, self._decision(""))
        return DecisionMade()

    def rewrap(self, draft: WeightsDraft, reason: str) -> DecisionMade:
        """Puts the next generation in place under the hospital's key."""
        self.writer.rewrap(draft.manifest, draft.header, self._decision(reason))
        return DecisionMade()

    def retire(self, model: str, reason: str) -> DecisionMade:
        """Retires a model under the hospital's key."""
        self.writer.retire(model, self._decision(reason))
        return DecisionMade()

    def _decision(self, reason: str) -> WeightsDecision:
        return WeightsDecision(at=timestamp(), key=self._key, reason=reason)


class CopiedWeights(WeightsPlace):
    """A copy of encrypted models: header, payload and record, as they were handed over.

    Args:
        root: the folder that holds the files.
        public: the key of whoever sealed them.
    """

    def __init__(self, root: Path, public: bytes) -> None:
        if not root.is_dir():
            raise WorkspaceRefused(f"--copy {root} is no folder")
        super().__init__(root, {public}, None)

    def model_of_run(self, run: str) -> tuple[Path, str | None]:
        """Refuses: a copy has no runs."""
        raise self._refusal

    def seal(self, draft: WeightsDraft) -> DecisionMade:
        """Refuses."""
        raise self._refusal

    def rewrap(self, draft: WeightsDraft, reason: str) -> DecisionMade:
        """Refuses."""
        raise self._refusal

    def retire(self, model: str, reason: str) -> DecisionMade:
        """Refuses."""
        raise self._refusal

    @property
    def _refusal(self) -> PolicyRefused:
        return PolicyRefused("only whoever sealed a model decides about it: use that folder")


def place_of(home: Path, person: SigningKey | None = None) -> WeightsPlace:
    """Returns the place of encrypted models in a folder of runs.

    Raises:
        WorkspaceRefused: the folder is none, or a copy without its key.
    """
    if is_hospital(home):
        return HospitalWeights(home)
    if (home / "coordinator.key").is_file():
        return ConsortiumWeights(home, person)
    raise WorkspaceRefused(
        f"{home} is no folder of runs with its key. Encrypted models that were handed over are "
        "read with --copy FOLDER --key PUBLIC"
    )
