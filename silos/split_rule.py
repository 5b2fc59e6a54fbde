"""One way of telling training from test patients, for the life of a hospital.

The ledger counts the larger of what training and test patients paid. That is
right only while no patient is ever in both groups, so the first study's rule is
the hospital's rule. Where a patient's key is the row number the rows themselves
are part of the rule.
"""

from compliance.store import Hospital
from pipelines.records import Records
from protocol.encoding import digest, digest_json
from protocol.errors import MessageRefused, PolicyRefused
from protocol.study import Study

#: Where the once-book keeps the rule: under no round's context.
CONTEXT = "split"
_SLOT = "for life"


def bind_split(hospital: Hospital, study: Study, own: Records, index: bytes | None) -> None:
    """Binds a hospital to a study's rule, once; the same rule again changes nothing.

    Raises:
        PolicyRefused: an earlier study split these patients by another rule.
    """
    try:
        hospital.once_book().record((CONTEXT, _SLOT, _rule(study, own, index)))
    except MessageRefused as error:
        raise _other_rule(hospital.site) from error


def require_split(hospital: Hospital, study: Study, own: Records, index: bytes | None) -> None:
    """Checks that a study's rule would be accepted; binds nothing.

    Raises:
        PolicyRefused: an earlier study split these patients by another rule.
    """
    bound = hospital.once_book().bound(CONTEXT, _SLOT)
    if bound not in (None, _rule(study, own, index)):
        raise _other_rule(hospital.site)


def _rule(study: Study, own: Records, index: bytes | None) -> str:
    """Returns the digest of how a study splits these records (before the split)."""
    return digest_json(
        {
            "split": study.split.model_dump(mode="json"),
            "patient_key": study.cohort.patient_key,
            "index": digest(index) if index is not None else None,
            "rows": digest(own.labels.tobytes()) if study.cohort.patient_key == "row" else None,
        }
    )


def _other_rule(site: str) -> PolicyRefused:
    return PolicyRefused(
        f"site {site}: an earlier study split these patients by another rule; a patient could "
        "then pay both as training and as test patient: use the same split"
    )
