"""The worked templates: a study document each, with whose records it was measured on.

A document is the same file as an example's, byte for byte; a test holds both together. What is
measured stands in ``library/figures.json`` (``figures.py``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from protocol.study.study import FileSplit, Study
from protocol.study.study_file import read_study_file

LIBRARY = Path(__file__).parent / "library"
#: The bundled heart disease study, which the demonstration runs: one file for both.
_HEART = Path(__file__).parents[2] / "heart_disease"
_HEART_RECORDS = "UCI Heart Disease, 740 patients of four hospitals; bundled"


@dataclass(frozen=True, kw_only=True)
class WorkedTemplate:
    """A study to begin from that was run as it stands.

    Attributes:
        name: what ``--template`` takes.
        says: what is learned from what, in a line.
        document: its YAML file.
        example: the folder of ``examples/`` that explains it, and the name of its document there.
        records: whose records its figure is of.
        brought_by: the command that writes these records to the folder ``records``.
        index_in: the folder of the index file that its split names; None where it names none.
    """

    name: str
    says: str
    document: Path
    example: tuple[str, str]
    records: str
    brought_by: str
    index_in: Path | None = None

    @property
    def study(self) -> Study:
        """The study, with the parameters that it names."""
        return read_study_file(self.document)

    @property
    def beside(self) -> tuple[Path, ...]:
        """The files that its study needs beside it: an index file, pretrained parameters."""
        split = self.study.split
        if not isinstance(split, FileSplit) or self.index_in is None:
            return self.parameters
        return (self.index_in / split.file, *self.parameters)

    @property
    def parameters(self) -> tuple[Path, ...]:
        """The file of pretrained parameters that its study names, if it does."""
        pretrained = self.study.task.pretrained
        return () if pretrained is None else (self.document.parent / pretrained.file,)


def _heart(name: str, says: str, example: str) -> WorkedTemplate:
    """Returns a template on the bundled heart disease records."""
    return WorkedTemplate(
        name=name,
        says=says,
        document=LIBRARY / f"{name}.yaml",
        example=("heart-disease", example),
        records=_HEART_RECORDS,
        brought_by="collegium study copy heart-disease --to records",
        index_in=_HEART,
    )


def _worked(
    name: str, says: str, example: tuple[str, str], records: str, script: str
) -> WorkedTemplate:
    """Returns a template whose records a script of its example writes."""
    return WorkedTemplate(
        name=name,
        says=says,
        document=LIBRARY / f"{name}.yaml",
        example=example,
        records=records,
        brought_by=script,
    )


_ALL = (
    WorkedTemplate(
        name="tabular",
        says="a yes or no from a table: logistic regression",
        document=_HEART / "study.yaml",
        example=("heart-disease", "study.yaml"),
        records=_HEART_RECORDS,
        brought_by="collegium study copy heart-disease --to records",
        index_in=_HEART,
    ),
    _heart(
        "tabular-fairness", "the same, with figures of women and men and by age", "fairness.yaml"
    ),
    _heart(
        "tabular-personalised", "the same, with a model of each hospital's own", "personalised.yaml"
    ),
    _heart("tabular-preregistered", "the same, with hypotheses and criteria", "preregistered.yaml"),
    _heart("tabular-evaluation", "evaluates a given model and trains nothing", "evaluation.yaml"),
    _heart("tabular-statistics", "counts a table's columns and learns nothing", "statistics.yaml"),
    _worked(
        "tabular-classes",
        "one of several classes from a table",
        ("digits", "study.yaml"),
        "handwritten digits of scikit-learn, 1,797 in place of patients",
        "python examples/digits/prepare.py records/digits.csv",
    ),
    _worked(
        "tabular-regression",
        "a number from a table: linear regression",
        ("diabetes-progression", "study.yaml"),
        "diabetes records of scikit-learn, 442 patients",
        "python examples/diabetes-progression/prepare.py records/diabetes.csv",
    ),
    _worked(
        "tabular-survival",
        "how long until an event, with censored patients",
        ("breast-cancer-survival", "study.yaml"),
        "TCGA-BRCA as in FLamby, 1,088 patients of six regions",
        "python examples/breast-cancer-survival/prepare.py FLAMBY records/breast-cancer.csv",
    ),
    _worked(
        "clinical-records",
        "readmission from a table, OMOP or FHIR",
        ("readmission", "study.yaml"),
        "1,800 synthetic patients, drawn by the example",
        "python examples/readmission/make_patients.py records",
    ),
    _worked(
        "images",
        "a yes or no from images: a small convolutional network",
        ("pneumonia", "study.yaml"),
        "PneumoniaMNIST, 5,232 chest X-rays",
        "the file dev_train_val.npz: examples/pneumonia/README.md",
    ),
    _worked(
        "volumes",
        "outlines in three dimensions: a small U-Net",
        ("segmentation-3d", "private.yaml"),
        "720 synthetic volumes of MONAI, drawn by the example",
        "python examples/segmentation-3d/make_volumes.py records 200 40",
    ),
    _worked(
        "images-and-table",
        "a yes or no from an image and columns: late fusion",
        ("late-fusion", "study.yaml"),
        "2,400 synthetic patients, drawn by the example",
        "python examples/late-fusion/make_patients.py records",
    ),
)
#: Every worked template by its name, as they are listed.
WORKED_TEMPLATES: Mapping[str, WorkedTemplate] = {one.name: one for one in _ALL}
