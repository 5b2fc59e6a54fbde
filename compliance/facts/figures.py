"""The figures of every kind of task: their names, what people read, and which one comes first.

A name is a key in records and in ``--json``: ``auroc`` is the exact figure, ``auroc_released``
the released one. The first figure of a task is its headline: it stands in lists of runs, and
utility is drawn by it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from compliance.facts.formatting import Format

#: A lead over chance below this is next to nothing.
_NEXT_TO_CHANCE = 0.05


@dataclass(frozen=True, kw_only=True)
class FigureKind:
    """A kind of figure.

    Attributes:
        name: its key.
        title: what people read.
        form: how its values are shown.
        chance: the value of a model that has learned nothing; None where that depends on
            the patients.
        low, high: the least and the greatest value there is; None where there is none.
        higher_is_better: False for an error.
        worse: what a model does that is worse than chance, in words.
        released_as: in sentences, what a released value is, where that is not the exact figure.
        criterion: of fairness between groups, that asks for one value in all of them.
    """

    name: str
    title: str
    form: Format = Format.RATIO
    chance: float | None = None
    low: float | None = 0.0
    high: float | None = 1.0
    higher_is_better: bool = True
    worse: str = "is worse than chance"
    released_as: str = ""
    criterion: str = ""

    @property
    def label(self) -> str:
        """The title as it begins a line.

        >>> ACCURACY.label, AUROC.label
        ('Accuracy', 'AUROC')
        """
        return self.title[:1].upper() + self.title[1:]

    @property
    def is_share(self) -> bool:
        """Whether it lies in [0, 1]."""
        return (self.low, self.high) == (0.0, 1.0)

    def lead(self, first: float, second: float) -> float:
        """Returns by how much the first value is better than the second; negative if worse.

        >>> AUROC.lead(0.75, 0.5)
        0.25
        """
        return first - second if self.higher_is_better else second - first

    def is_next_to_chance(self, value: float) -> bool:
        """Whether a model that reached this has learned next to nothing; False if nobody can say.

        >>> AUROC.is_next_to_chance(0.54), ACCURACY.is_next_to_chance(0.1)
        (True, False)
        """
        if self.chance is None:
            return False
        return self.lead(value, self.chance) < _NEXT_TO_CHANCE


@dataclass(frozen=True, kw_only=True)
class CalibrationWords:
    """Words for what a calibration curve compares.

    Attributes:
        said: what the model says of a group of patients.
        true: the share that it is compared with.
        title: of the drawing.
        caption: what lies on the dashed line, below and above it.
    """

    said: str
    true: str
    title: str
    caption: str


RISKS = CalibrationWords(
    said="mean risk",
    true="share of the ill",
    title="Risks against what became of the patients",
    caption="On the dashed line a model's risks are right; below it they are too high, above it "
    "too low.",
)
#: Of a model that names one of several classes.
CONFIDENCES = CalibrationWords(
    said="mean confidence",
    true="share named rightly",
    title="Confidence against how often the named class is right",
    caption="On the dashed line a model is right as often as it says; below it, it is too sure, "
    "above it not sure enough.",
)


@dataclass(frozen=True, kw_only=True)
class TaskFigures:
    """The figures of one kind of task.

    Attributes:
        pooled: of all test patients together, exact and released; the headline first.
        site: released of one hospital's own table; the first is drawn hospital by hospital.
        group: released of a group of patients; groups are compared by them.
        group_drawn: how many of these are drawn, group by group.
        outcome: released of each class, finding or time; the first is drawn.
        outcomes: what these are, in words.
        asked: of all test patients, where a study asks for them.
        calibrated: what a calibration curve compares, in words.
    """

    pooled: tuple[FigureKind, ...]
    site: tuple[FigureKind, ...]
    group: tuple[FigureKind, ...]
    group_drawn: int = 1
    outcome: tuple[FigureKind, ...] = ()
    outcomes: str = ""
    asked: tuple[FigureKind, ...] = ()
    calibrated: CalibrationWords = RISKS

    @property
    def headline(self) -> FigureKind:
        """The figure that says most."""
        return self.pooled[0]

    def with_asked(self, names: Collection[str]) -> "TaskFigures":
        """Returns the same, with what a study asked for among the figures of all patients."""
        return replace(
            self, pooled=(*self.pooled, *(kind for kind in self.asked if kind.name in names))
        )

    @property
    def judged(self) -> FigureKind:
        """The first figure of which it is known what chance reaches; else the headline."""
        return next((kind for kind in self.pooled if kind.chance is not None), self.headline)


AUROC = FigureKind(
    name="auroc",
    title="AUROC",
    chance=0.5,
    worse="orders patients worse than chance",
    # what its interval presumes: compliance.estimates.binned_scores.hidden_order
    released_as="Scores are counted in bins, and pairs of patients in one bin count half, so a "
    "released AUROC is rather too low; its interval holds what the bins hide, if a higher score "
    "never means a lower chance of being ill.",
)
ACCURACY = FigureKind(name="accuracy", title="accuracy")
AUPRC = FigureKind(
    name="auprc",
    title="AUPRC",
    # how scores lie within bins: compliance.estimates.binned_scores.within_bins
    released_as="Scores are counted in bins, and are taken to lie in each as its neighbours' "
    "counts say: a released AUPRC is an estimate, and its interval reaches as far as half as many "
    "bins move it.",
)
BRIER = FigureKind(name="brier", title="Brier score", higher_is_better=False)
ECE = FigureKind(
    name="ece",
    title="ECE",
    higher_is_better=False,
    released_as="What chance alone adds to the error is taken off the released one, and is in the "
    "exact one, which is that of the test patients themselves: of few patients the exact one is "
    "larger.",
)
CALIBRATION_SLOPE = FigureKind(
    name="calibration_slope", title="calibration slope", low=None, high=None
)
CALIBRATION_INTERCEPT = FigureKind(
    name="calibration_intercept", title="calibration intercept", low=None, high=None
)
SENSITIVITY = FigureKind(
    name="sensitivity", title="sensitivity", criterion="equal opportunity, a part of equalised odds"
)
SPECIFICITY = FigureKind(
    name="specificity", title="specificity", criterion="the other part of equalised odds"
)
PPV = FigureKind(name="ppv", title="PPV", criterion="predictive parity")
FLAGGED = FigureKind(name="flagged", title="share called ill", criterion="demographic parity")
ILL = FigureKind(name="ill", title="share of the ill")
LACKING = FigureKind(
    name="lacking", title="share of the ill less the mean risk", low=-1.0,
    criterion="calibration in the large",
)  # fmt: skip
MEAN_RISK = FigureKind(name="mean_risk", title="mean risk")
EXCESS_BRIER = FigureKind(
    name="excess_brier", title="Brier score above that of the share of the ill", low=-1.0,
    higher_is_better=False,
)  # fmt: skip
NPV = FigureKind(name="npv", title="NPV")
NET_BENEFIT = FigureKind(name="net_benefit", title="net benefit", low=None)
BALANCED_ACCURACY = FigureKind(name="balanced_accuracy", title="balanced accuracy")
MEAN_AUROC = FigureKind(
    name="mean_auroc",
    title="mean AUROC",
    chance=0.5,
    worse="orders patients worse than chance",
    released_as=AUROC.released_as,
)
F1 = FigureKind(name="f1", title="F1")
MACRO_F1 = FigureKind(name="macro_f1", title="macro F1")
C_INDEX = FigureKind(
    name="c_index",
    title="c-index",
    chance=0.5,
    worse="orders patients worse than chance",
    released_as="Events are counted in intervals of time and scores in bins: a released c-index "
    "counts pairs in one bin half, and takes two patients last observed in one interval to be "
    "ordered halfway between chance and the others; its interval holds both ends, if the model "
    "orders them no worse than chance and no better than the others.",
)
EVENTS_ABOVE = FigureKind(name="events_above", title="events scored above the middle")
CENSORED_BELOW = FigureKind(name="censored_below", title="censored scored below the middle")
EVENT_FREE = FigureKind(
    name="event_free",
    title="observed share without the event",
    released_as="A patient who was censored between two times counts as observed for half of that "
    "time; the interval reaches to the Kaplan-Meier estimates of those observed for all of it, and "
    "for none.",
)
PREDICTED_EVENT_FREE = FigureKind(
    name="predicted_event_free", title="share without the event by the model"
)
STILL_OBSERVED = FigureKind(
    name="still_observed", title="patients observed longer", form=Format.COUNT, high=None
)
DICE = FigureKind(name="dice", title="Dice")
DICE_BELOW = tuple(
    FigureKind(
        name=f"dice_below_{border:g}",
        title=f"patients with Dice below {border:g}",
        higher_is_better=False,
    )
    for border in (0.5, 0.7, 0.9)
)
HAUSDORFF = FigureKind(
    name="hausdorff", title="Hausdorff distance (95th percentile), pixels", form=Format.NUMBER,
    high=None, higher_is_better=False,
)  # fmt: skip
R2 = FigureKind(
    name="r2", title="R²", chance=0.0, low=None, worse="predicts worse than the patients' mean"
)
MAE = FigureKind(
    name="mae", title="mean absolute error", form=Format.NUMBER, high=None, higher_is_better=False
)
RMSE = FigureKind(
    name="rmse", title="root mean square error", form=Format.NUMBER, high=None,
    higher_is_better=False,
)  # fmt: skip
PATIENTS = FigureKind(name="patients", title="patients", form=Format.COUNT, high=None)

#: The figures of every task, by the ``kind`` that stands in a study.
TASK_FIGURES: Mapping[str, TaskFigures] = {
    "binary_classification": TaskFigures(
        pooled=(
            AUROC,
            ACCURACY,
            AUPRC,
            BRIER,
            ECE,
            CALIBRATION_SLOPE,
            CALIBRATION_INTERCEPT,
        ),
        site=(ACCURACY, SENSITIVITY, SPECIFICITY),
        group=(SENSITIVITY, AUROC, LACKING, SPECIFICITY, PPV, ACCURACY, FLAGGED),
        group_drawn=3,
    ),
    "multiclass_classification": TaskFigures(
        pooled=(BALANCED_ACCURACY, ACCURACY, MACRO_F1),
        site=(ACCURACY,),
        group=(ACCURACY,),
        asked=(ECE,),
        calibrated=CONFIDENCES,
        outcome=(F1, SENSITIVITY, SPECIFICITY, PPV, PATIENTS),
        outcomes="class",
    ),
    "multilabel_classification": TaskFigures(
        pooled=(MEAN_AUROC, ACCURACY),
        site=(ACCURACY, SENSITIVITY, SPECIFICITY),
        group=(SENSITIVITY, SPECIFICITY, ACCURACY),
        outcome=(AUROC, ILL),
        outcomes="finding",
    ),
    "regression": TaskFigures(pooled=(MAE, R2, RMSE), site=(MAE, RMSE), group=(MAE, RMSE)),
    "segmentation": TaskFigures(
        pooled=(DICE,),
        site=(DICE,),
        group=(DICE,),
        outcome=(DICE, *DICE_BELOW, HAUSDORFF),
        outcomes="class",
    ),
    "statistics": TaskFigures(pooled=(PATIENTS,), site=(PATIENTS,), group=()),
    "monitoring": TaskFigures(pooled=(PATIENTS,), site=(PATIENTS,), group=()),
    "survival": TaskFigures(
        pooled=(C_INDEX,),
        site=(EVENTS_ABOVE, CENSORED_BELOW),
        group=(EVENTS_ABOVE, CENSORED_BELOW),
        outcome=(EVENT_FREE, PREDICTED_EVENT_FREE, STILL_OBSERVED),
        outcomes="time",
    ),
}

#: The tasks that count columns, and train nothing.
COUNTING = frozenset({"statistics", "monitoring"})

_BY_NAME: Mapping[str, FigureKind] = {
    kind.name: kind
    for task in TASK_FIGURES.values()
    for kind in (*task.pooled, *task.asked, *task.site, *task.group, *task.outcome)
} | {kind.name: kind for kind in (ILL, MEAN_RISK, EXCESS_BRIER, NPV, NET_BENEFIT)}


def figure_kind(name: str) -> FigureKind:
    """Returns the kind of figure of a name; one that is not known here has its name for a title."""
    return _BY_NAME.get(name) or FigureKind(name=name, title=name, low=None, high=None)
