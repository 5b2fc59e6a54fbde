"""Settings of the site, as Sphinx reads them; nothing is fetched, now or by a reader's browser."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sphinx.application import Sphinx
from sphinx.domains.python import ObjectEntry, PythonDomain
from sphinx.search.en import SearchEnglish

from tests.docs.site import navigation

project = "Collegium"
author = "The Collegium authors"
project_copyright = "The Collegium authors, Apache-2.0"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "Collegium"
html_static_path = ["style.css"]
html_css_files = ["style.css"]
html_copy_source = False
html_show_sphinx = False
highlight_language = "none"
exclude_patterns = ["files"]

# The anchors of headings are those that hosts of Markdown make.
myst_heading_anchors = 4

add_module_names = False
# With every function in it the table of contents takes a third of the time, at each page anew.
toc_object_entries = False
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True


class QuickDomain(PythonDomain):
    """Python's names, of which a name is compared only with those that end as it does.

    Sphinx compares every type of every signature with the ends of all names: a third of the time.
    """

    _endings: tuple[int, Mapping[str, dict[str, ObjectEntry]]] = (-1, {})
    _looked_at: dict[str, ObjectEntry] | None = None

    @property
    def objects(self) -> dict[str, ObjectEntry]:
        """All names; while one is looked for, those that end as it does."""
        return super().objects if self._looked_at is None else self._looked_at

    def find_obj(
        self, env: Any, modname: str, classname: str, name: str, type: Any, searchmode: int = 0
    ) -> list[Any]:
        """Returns what Sphinx finds of a name."""
        count, endings = self._endings
        if count != len(self.objects):
            found: dict[str, dict[str, ObjectEntry]] = defaultdict(dict)
            for known, entry in self.objects.items():
                found[_last_part(known)][known] = entry
            endings = dict(found)
            self._endings = len(self.objects), endings
        self._looked_at = endings.get(_last_part(name.removesuffix("()")), {})
        try:
            return super().find_obj(env, modname, classname, name, type, searchmode)
        finally:
            self._looked_at = None


def _last_part(name: str) -> str:
    return name.rpartition(".")[2]


class QuickEnglish(SearchEnglish):
    """English, in which a word of many pages is brought to its stem once."""

    def __init__(self, options: dict[str, str]) -> None:
        """Has met no word."""
        super().__init__(options)
        self._stems: dict[str, str] = {}

    def stem(self, word: str) -> str:
        """Returns what Sphinx makes of a word."""
        if word not in self._stems:
            self._stems[word] = super().stem(word)
        return self._stems[word]


def setup(app: Sphinx) -> None:
    """Lets Sphinx use it."""
    app.add_domain(QuickDomain, override=True)
    app.add_search_language(QuickEnglish)
    navigation.use(app)
