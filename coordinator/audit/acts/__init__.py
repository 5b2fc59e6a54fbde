"""Acts of people: what was done is held to acts, each signed by whoever had the right to it then.

Rules:

1. An act's row says what the signed bytes say, and the signature is the person's. The person, the
   key, the role and the policy were in force when the service took it: in the order of the log, for
   a clock may have been set back.
2. A change was confirmed by another person than who proposed it, who had the right to, and both
   signed exactly it. Each record of a person, and each policy, is what they signed.
3. From the first administrator on, what only people may do (``governed_entries``) stands in the log
   between the two entries of an act that allows it: whoever changes the database without the
   service, or with the log's key alone, is found here.
4. Each event of a model is of the version, the hospitals and the person of its act
   (``check_models``).
5. Each decision and opening in the record of an encrypted model has its act (``check_weights``,
   which looks at the folder).

Refused acts are claims: that they were made is logged, nothing else of them is checked.
"""

from coordinator.audit.acts.checks import check_acts
from coordinator.audit.acts.models import check_weights

#: What the verification of all records, and of a folder, uses.
__all__ = ["check_acts", "check_weights"]
