"""Released figures by name: each has a title, which pages and crates show in its place."""

from compliance.facts.figures import TASK_FIGURES, figure_kind
from compliance.facts.named_figures import _AT, RISK_FIGURES


def test_every_released_figure_has_a_title_in_words() -> None:
    of_tasks = {
        kind.name
        for task in TASK_FIGURES.values()
        for kind in (*task.pooled, *task.asked, *task.site, *task.group, *task.outcome)
    }
    for name in {*RISK_FIGURES, *_AT} | of_tasks:
        title = figure_kind(name).title
        assert "_" not in title
        assert title != name or name in ("sensitivity", "specificity", "accuracy", "patients")
