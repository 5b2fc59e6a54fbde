"""The input of a round, and the source of the randomness that protects it.

Rules:

1. A real silo draws every key from the operating system, uses it once and
   never stores it.
2. Fixed noise exists for tests of a simulation only. It is derived from the
   seed and from everything the noise must never be reused across: site,
   round, attempt, step, study, data, model and sample. A run with it claims no privacy.
   Batches of a simulation without privacy are drawn in the same way, from a seed that is kept.
"""

from dataclasses import asdict, dataclass, field
from typing import Protocol

from protocol.encoding import canonical
from protocol.errors import PolicyRefused
from protocol.study.strategies.local_steps import OwnState
from protocol.vectors.keystream import Keystream, derive_key, fresh_key
from protocol.vectors.tensors import Tensors


@dataclass(frozen=True, kw_only=True, eq=False)
class RoundInput:
    """The input of a hospital's part of a round, beside its records and randomness.

    Attributes:
        model: the round's global model.
        number: the round, from 0.
        attempt: which try of it; no randomness is used in two of them.
        noise_multiplier: deviation of the hospital's noise in units of one patient's
            influence; where hospitals share their noise, that of its share. None adds none.
        own: the hospital's own state after its last round of this run.
    """

    model: Tensors
    number: int
    attempt: int = 0
    noise_multiplier: float | None
    own: OwnState = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DrawContext:
    """The context of one draw of randomness."""

    use: str
    study: str
    site: str
    round_kind: str
    round: int
    attempt: int
    step: int
    dataset: str
    model: str
    sample: str


class Entropy(Protocol):
    """Hands out keystreams, each to be used for one purpose."""

    @property
    def is_secret(self) -> bool:
        """Whether nobody can repeat what is drawn."""

    def stream(self, draw: DrawContext) -> Keystream:
        """Returns a keystream for this draw and no other."""


class SecretEntropy:
    """Fresh keys from the operating system; the draw does not matter."""

    is_secret = True

    def stream(self, draw: DrawContext) -> Keystream:
        """Returns a keystream nobody can repeat."""
        return Keystream(fresh_key())


class FixedEntropy:
    """Repeatable keys for a simulation's tests: no privacy is claimed.

    Raises:
        PolicyRefused: asked for outside a simulation.
    """

    is_secret = False

    def __init__(self, seed: int, *, simulated: bool) -> None:
        if not simulated:
            raise PolicyRefused("fixed test noise protects nobody: a real silo does not use it")
        self._secret = canonical({"seed": seed})

    def stream(self, draw: DrawContext) -> Keystream:
        """Returns the same keystream for the same draw and seed."""
        info = canonical(asdict(draw))
        return Keystream(derive_key(self._secret, salt=b"collegium test noise", info=info))
