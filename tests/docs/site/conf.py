"""Settings of the site, as Sphinx reads them; nothing is fetched, now or by a reader's browser."""

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
