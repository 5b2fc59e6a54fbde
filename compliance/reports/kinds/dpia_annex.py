"""The annex to a data protection impact assessment: GDPR's Art. 35(7), point by point."""

from compliance.reports.basis import Claims, ReportClaim
from compliance.reports.document import Document, Section
from compliance.reports.evidence import ReportSubject, columns_read, measures
from compliance.reports.evidence.controls import GDPR, NIST
from compliance.reports.kinds.parts import KindText, report
from compliance.reports.kinds.run_claims import (
    course_claims,
    plan_claims,
    privacy_claims,
    red_team_claims,
)

DPIA_ANNEX = KindText(
    name="dpia-annex",
    title="DPIA annex",
    question="What is done, is it needed, which risks are left, what is done about them "
    "(GDPR Art. 35(7))?",
    texts=(GDPR, NIST),
)
#: An annex describes so many runs one by one.
_MOST_RUNS = 20


def dpia_annex(subject: ReportSubject) -> Document:
    """Returns the annex to an impact assessment, point by point of Art. 35(7)."""
    described: list[Claims] = []
    for dossier in subject.dossiers[:_MOST_RUNS]:
        described += [plan_claims(subject, dossier), course_claims(subject, dossier)]
    protected = tuple(privacy_claims(subject, one) for one in subject.dossiers[:_MOST_RUNS])
    sections = (
        Section(
            key="description",
            title="(a) Systematic description",
            blocks=(
                Claims(
                    title="Purposes",
                    items=(
                        subject.declared("purposes", "Purposes"),
                        subject.declared("lawful_basis", "Legal basis, legitimate interest"),
                    ),
                ),
                *described,
            ),
        ),
        Section(
            key="necessity",
            title="(b) Necessity and proportionality",
            blocks=(
                Claims(
                    title="Necessity",
                    items=(subject.declared("necessity", "Necessity"), *columns_read(subject)),
                ),
            ),
        ),
        Section(
            key="risks",
            title="(c) Risks to persons",
            blocks=(
                Claims(
                    title="Risks",
                    items=(subject.declared("risks", "Likelihood and severity"), *_risks(subject)),
                ),
                red_team_claims(subject),
            ),
        ),
        Section(
            key="measures",
            title="(d) Measures",
            blocks=(
                Claims(
                    title="Measures",
                    items=(
                        subject.declared("security_measures", "Organisational measures"),
                        *measures(subject),
                    ),
                ),
                *protected,
            ),
        ),
        Section(
            key="decision",
            title="Advice, views, decision",
            blocks=(
                Claims(
                    title="Art. 35(2), (9) and (11)",
                    items=(
                        subject.declared("officer_advice", "Advice of the officer"),
                        subject.declared("views_of_persons", "Views of data subjects"),
                        subject.declared("residual_risk", "Residual risk, and who accepts it"),
                        subject.declared("review_date", "Next review"),
                    ),
                ),
            ),
        ),
    )
    return report(DPIA_ANNEX, subject, sections)


def _risks(subject: ReportSubject) -> tuple[ReportClaim, ...]:
    """Returns the risks that come with this kind of learning, and what bounds each."""
    return tuple(
        subject.of_the_method(topic, text)
        for topic, text in (
            ("Membership inference", "Somebody learns from the model that a person was treated. "
             "Differential privacy bounds it by ε and δ; without a claim nothing does."),
            ("Reconstruction of records", "Somebody rebuilds a record from an update or the model. "
             "Updates are masked and clipped; the model is noised where a claim is made."),
            ("Linkage", "Released figures are joined with others. Every figure has noise of its "
             "own and is paid for."),
            ("Small groups", "Few patients stand out. Too few patients are said instead of a "
             "figure."),
            ("A coordinator or hospital that does wrong", "The coordinator sees sums; up to C "
             "hospitals may help it without another one's update becoming visible."),
        )
    )  # fmt: skip
