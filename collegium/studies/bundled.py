"""Bundled studies: a study document each, with real public records that need no download.

::

    bundled_study("heart-disease")      four hospitals, 740 patients: what ``collegium demo`` runs
    bundled_study("breast-cancer")      569 patients, partitioned among four invented hospitals
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import StudyRefused, WorkspaceRefused
from protocol.study.study import Study, nearest
from protocol.study.study_file import read_study_file

_HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class BundledStudy:
    """One bundled study.

    ``document`` is its YAML file, beside which lies the index file that its split names.
    ``data`` is the folder of its records; None where the document needs none, because
    its records come with scikit-learn. ``source`` says in one line whose records they are,
    ``hospitals`` where each site's were collected; empty where the sites are invented.
    """

    name: str
    document: Path
    data: Path | None
    source: str
    hospitals: Mapping[str, str]

    @property
    def study(self) -> Study:
        """The study, read from its document."""
        return read_study_file(self.document)

    def copy_to(self, folder: Path) -> Path:
        """Writes the study, its index file and its records to a new folder, to be changed there.

        Returns the study document. With ``data`` the licence of the records lies beside them.

        Raises:
            WorkspaceRefused: the folder holds files already, or cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise WorkspaceRefused(f"{folder} holds files already: name a new folder")
            if self.data is not None:
                for file in self.data.iterdir():
                    shutil.copyfile(file, folder / file.name)
            return Path(shutil.copyfile(self.document, folder / "study.yaml"))
        except OSError as error:
            raise WorkspaceRefused(f"{folder} cannot be written: {error.strerror}") from error


def bundled_study(name: str) -> BundledStudy:
    """Returns the bundled study of that name.

    Raises:
        StudyRefused: there is none; says which there are.
    """
    if name not in BUNDLED_STUDIES:
        raise StudyRefused(
            f"no bundled study is called {name!r}: there are {', '.join(BUNDLED_STUDIES)}"
            f"{nearest(name, [*BUNDLED_STUDIES])}"
        )
    return BUNDLED_STUDIES[name]


_HEART = BundledStudy(
    name="heart-disease",
    document=_HERE / "heart_disease" / "study.yaml",
    data=_HERE / "heart_disease",
    source="UCI Heart Disease: Janosi, Steinbrunn, Pfisterer, Detrano, 1989; CC BY 4.0",
    hospitals={
        "cleveland": "Cleveland Clinic Foundation",
        "hungarian": "Hungarian Institute of Cardiology, Budapest",
        "switzerland": "University Hospitals, Zurich and Basel",
        "va": "V.A. Medical Center, Long Beach",
    },
)
_BREAST = BundledStudy(
    name="breast-cancer",
    document=_HERE / "breast-cancer.yaml",
    data=None,
    source="Breast Cancer Wisconsin: Wolberg, Mangasarian, Street, Street, 1993; with scikit-learn",
    hospitals={},
)
#: Every bundled study by its name; the first is the default.
BUNDLED_STUDIES: Mapping[str, BundledStudy] = {one.name: one for one in (_HEART, _BREAST)}
#: What ``collegium demo`` runs.
DEFAULT_STUDY = _HEART.name
