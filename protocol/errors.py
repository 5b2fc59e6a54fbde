"""The one error tree: a class per decision the caller can take.

::

    FederationError                 something the platform refuses or cannot do
    |-- StudyRefused                mend the study document
    |-- CohortRefused               mend the hospital's records, or the contract
    |-- WorkspaceRefused            choose another output folder, or repair this one
    |-- PolicyRefused               the hospital does not allow it: ask its officers
    |   |-- SiteFileRefused         mend the hospital's site file
    |   |-- LogForked               the coordinator's log contradicts what it showed before: ask
    |   `-- EventMissing            the coordinator's log lacks what this hospital sent: ask
    |-- BudgetSpent                 the patients' privacy budget does not suffice
    |-- MessageRefused              drop the message: malformed, unsigned, replayed, not for us
    |   `-- OutOfOrder              drop the message: right form, wrong step
    |-- ModelMissing                send the whole model: this hospital has none to add a sum to
    |-- DrawSpent                   the same noised vector cannot be summed so: begin a new draw
    |-- UpdateRefused               the site's own update cannot be sent: sit this round out
    |   `-- DeviceRefused           give training more memory, or another device
    |-- QuorumLost                  too few sites are left: a new attempt, later
    |-- SumRefused                  a site's mask or vector is wrong: an attempt without one of them
    |-- RunLost                     end the run: no attempt of its round can succeed
    |-- LinkLost                    the line or its other end is gone: try again later
    |-- StoreBroken                 stop: a database or snapshot is damaged
    |   |-- LedgerBroken            stop: the privacy ledger is damaged, or went back in time
    |   `-- StoreSilent             a database does not answer now: try again later

A caller's programming mistake is ``ValueError`` or ``TypeError``, not one of
these. A message says what was expected, what came and what to do; it never
holds a patient's value or a key. Across a hospital's border travel only the
class name and the round; the message stays at home.
"""

from collections.abc import Sequence


class FederationError(Exception):
    """Root of everything the platform refuses; catch it at a process's rim only."""


class StudyRefused(FederationError):
    """The study document is malformed or contradicts itself."""


class CohortRefused(FederationError):
    """The records at hand do not fit the study's cohort contract.

    ``faults`` are the same one by one, where they are known so; like the message they stay at home.
    """

    def __init__(self, message: str, faults: Sequence[object] = ()) -> None:
        super().__init__(message)
        self.faults = tuple(faults)


class WorkspaceRefused(FederationError):
    """The output folder cannot be written, or already holds something else."""


class PolicyRefused(FederationError):
    """The hospital's own policy does not allow what was asked."""


class SiteFileRefused(PolicyRefused):
    """The hospital's site file is malformed or contradicts itself, so it allows nothing."""


class LogForked(PolicyRefused):
    """The coordinator's log is not shown to extend what this hospital knows of it."""


class EventMissing(PolicyRefused):
    """The coordinator's log is not shown to hold what this hospital has sent in a round."""


class BudgetSpent(FederationError):
    """The remaining privacy budget of the hospital's patients does not suffice."""


class MessageRefused(FederationError):
    """A message from outside is malformed, not authentic, replayed or not for us."""


class OutOfOrder(MessageRefused):
    """A well-formed message arrived at a step that does not expect it."""


class ModelMissing(FederationError):
    """The hospital holds no model from which, with the sum sent, the round's model follows."""


class DrawSpent(FederationError):
    """A site cannot give this draw of a round: it was revealed among other sites, or is lost."""


class UpdateRefused(FederationError):
    """A site's update cannot be encoded, so this site sits the round out."""


class DeviceRefused(UpdateRefused):
    """The site's device or Ray cluster is not there, or has too little room for its steps."""


class QuorumLost(FederationError):
    """Fewer sites remain than the threshold of the round demands."""


class SumRefused(FederationError):
    """The unmasked sum is none that honest sites can give; nobody can be named from it alone."""


class RunLost(FederationError):
    """A run cannot be finished: too few sites can take part, whenever it is tried again."""


class LinkLost(FederationError):
    """The coordinator cannot be reached now; what was begun is not lost."""


class StoreBroken(FederationError):
    """A database, snapshot or log is damaged or contradicts itself."""


class LedgerBroken(StoreBroken):
    """The privacy ledger is damaged, incomplete, or older than it once was."""


class StoreSilent(StoreBroken):
    """A database cannot be reached now; nothing says that it is damaged."""


def named(kind: str) -> type[FederationError]:
    """Returns the class of this tree that has a name; its root, where none has.

    >>> named("QuorumLost").__name__, named("Exception").__name__
    ('QuorumLost', 'FederationError')
    """
    found = globals().get(kind)
    known = isinstance(found, type) and issubclass(found, FederationError)
    return found if known else FederationError  # type: ignore[return-value]
