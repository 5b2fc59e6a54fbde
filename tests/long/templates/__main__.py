"""Measures worked templates and writes their record: ``python -m tests.long.templates [NAME...]``.

Without names all of them, about a quarter of an hour on two cores. The record is
``collegium/studies/authoring/worked/library/figures.json``; figures of others stay.
"""

import json
import sys

from collegium.studies.authoring.worked.catalogue import WORKED_TEMPLATES
from collegium.studies.authoring.worked.figures import FILE
from tests.long.templates.measuring import measured
from tests.long.templates.model import write_model

if __name__ == "__main__":
    names = sys.argv[1:] or [*WORKED_TEMPLATES]
    if "tabular-evaluation" in names:
        write_model()
    for name in names:
        found = measured(WORKED_TEMPLATES[name]).to_json()
        kept = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
        kept[name] = found
        ordered = {one: kept[one] for one in WORKED_TEMPLATES if one in kept}
        FILE.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
        print(name, found["exact"], flush=True)
