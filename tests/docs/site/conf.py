"""Settings of the site, as Sphinx reads them; nothing is fetched, now or by a reader's browser."""

from typing import Any

from sphinx.application import Sphinx
from sphinx.domains.python import PythonDomain

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
    """Python's names, in which no name is looked for that none can end with.

    Sphinx compares every type of every signature with the ends of all names, and most types are
    Python's or a library's: a third of the time.
    """

    _last_parts: tuple[int, frozenset[str]] = (-1, frozenset())

    def find_obj(
        self, env: Any, modname: str, classname: str, name: str, type: Any, searchmode: int = 0
    ) -> list[Any]:
        """Returns what Sphinx finds of a name."""
        count, parts = self._last_parts
        if count != len(self.objects):
            parts = frozenset(known.rpartition(".")[2] for known in self.objects)
            self._last_parts = len(self.objects), parts
        if name.removesuffix("()").rpartition(".")[2] not in parts:
            return []
        return super().find_obj(env, modname, classname, name, type, searchmode)


def setup(app: Sphinx) -> None:
    """Lets Sphinx use it."""
    app.add_domain(QuickDomain, override=True)
