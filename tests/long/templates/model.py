"""The model that the template ``tabular-evaluation`` evaluates: trained without privacy, public."""

import re
import tempfile
from pathlib import Path

from collegium.studies.authoring.worked.catalogue import LIBRARY, WORKED_TEMPLATES
from protocol.encoding import digest
from protocol.study.study_file import read_study_file
from protocol.vectors.tensors import encode_tensors
from tests import ROOT
from tests.long.templates.measuring import TemplateFederation
from tests.long.templates.records import write_records

EXAMPLE = ROOT / "examples" / "heart-disease"
FILE = "heart.safetensors"


def trained_model() -> bytes:
    """Returns the parameters that study-no-privacy.yaml comes to."""
    template = WORKED_TEMPLATES["tabular"]
    study = read_study_file(EXAMPLE / "study-no-privacy.yaml")
    with tempfile.TemporaryDirectory() as place:
        data, folder = Path(place, "records"), Path(place, "run")
        write_records(template, data)
        folder.mkdir()
        hospitals = TemplateFederation(template, study, data, folder)
        try:
            return encode_tensors(dict(hospitals.run().model))
        finally:
            hospitals.close()


def write_model() -> None:
    """Writes the model beside both copies of the study, and its digest into them."""
    model = trained_model()
    for document in (EXAMPLE / "evaluation.yaml", LIBRARY / "tabular-evaluation.yaml"):
        (document.parent / FILE).write_bytes(model)
        text = document.read_text(encoding="utf-8")
        named = re.sub(r"sha256: \w+\n    source", f"sha256: {digest(model)}\n    source", text)
        document.write_text(named, encoding="utf-8")
