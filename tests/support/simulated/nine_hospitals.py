"""Nine or more hospitals for robust rules: the small study's, in groups, with noise or without."""

from protocol.study.study import Study
from protocol.study.study_file import read_study
from tests.support.simulated.studies import TABLE_STUDY

FOUR = "\n".join(
    f"  - {{name: {site}, records: {site}.csv, patients: 40}}"
    for site in ("east", "north", "south", "west")
)
NOISE = "{mode: per_site, epsilon: 4, delta: 1e-3, clip: 1.0, sampling_rate: 1.0}"


def grouped_text(
    groups: tuple[str, ...] = ("abc", "def", "ghi"), rule: str = "rule: median", more: str = ""
) -> str:
    """Returns a study document of hospitals a, b, c and so on, in groups; ``more`` at its end."""
    names = sorted(set("".join(groups)))
    sites = "\n".join(f"  - {{name: {n}, records: {n}.csv, patients: 40}}" for n in names)
    written = ", ".join(f"[{', '.join(group)}]" for group in groups)
    text = TABLE_STUDY.replace(FOUR, sites).replace("threshold: 3, ", "")
    return f"{text}robust: {{{rule}, groups: [{written}]}}\n{more}"


def without_noise(text: str) -> str:
    """Returns a study document without privacy."""
    return text.replace(NOISE, "{mode: none, sampling_rate: 1.0}")


def grouped_study(*groups: str, rule: str = "rule: median") -> Study:
    """Returns a study of groups without noise."""
    return read_study(without_noise(grouped_text(groups or ("abc", "def", "ghi"), rule)))
