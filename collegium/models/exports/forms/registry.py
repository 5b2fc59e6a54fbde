"""The forms that an export may have, in the order in which they are written."""

from collegium.models.exports.forms.bundle import write_bundle
from collegium.models.exports.forms.form import ModelForm
from collegium.models.exports.forms.onnx_model import write_int8, write_onnx
from collegium.models.exports.forms.program import write_program
from protocol.errors import PolicyRefused

_FORMS = (
    ModelForm(name="bundle", extra="silo", most=1e-6, write=write_bundle),
    ModelForm(name="torch", extra="silo", most=1e-6, write=write_program),
    ModelForm(name="onnx", extra="exports", most=1e-4, write=write_onnx),
    ModelForm(name="int8", extra="exports", most=None, write=write_int8),
)
#: Their names, in order.
FORMS = tuple(form.name for form in _FORMS)


def chosen_forms(names: tuple[str, ...] | None) -> tuple[ModelForm, ...]:
    """Returns the forms of these names, in order; all when None.

    Raises:
        PolicyRefused: a name is none.
    """
    wanted = FORMS if names is None else names
    unknown = sorted(set(wanted) - set(FORMS))
    if unknown:
        raise PolicyRefused(f"there is no form {unknown[0]!r}: {', '.join(FORMS)}")
    return tuple(form for form in _FORMS if form.name in wanted)
