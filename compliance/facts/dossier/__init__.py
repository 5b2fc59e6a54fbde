"""The Dossier: every fact about one run, frozen, from which pages and reports are made.

A report is a function of a dossier and of nothing else, so that two reports of
one run cannot disagree. Facts marked *simulation only* were computed from all
hospitals' records in one place, which no real consortium can do; they are
``None`` for a real run.
"""

from compliance.facts.dossier.course_facts import CourseFacts, EvaluationFacts
from compliance.facts.dossier.record import (
    CONTRADICTED,
    Dossier,
    EntryFacts,
    LogFacts,
    LogVerification,
    SiteFacts,
    SnapshotFacts,
)
from compliance.facts.dossier.registration_facts import (
    DeclaredDeviation,
    EarlierRun,
    LoggedMoment,
    RegistrationFacts,
    Relation,
)
from compliance.facts.dossier.round_facts import FAR, RobustFacts, RoundFacts
from compliance.facts.dossier.run_json import run_json
from compliance.facts.dossier.run_manifest import (
    CPU,
    GPU,
    DataFile,
    Library,
    Platform,
    Reproduction,
    RunManifest,
    SiteInputs,
    Software,
    distributions_digest,
    parse_manifest,
    printable,
    reproduction_of,
)
from compliance.facts.dossier.subject_facts import ActFacts, RedTeamFacts, SubjectFacts

#: What pages, reports and views use.
__all__ = [
    "CONTRADICTED",
    "CPU",
    "FAR",
    "GPU",
    "ActFacts",
    "CourseFacts",
    "DataFile",
    "DeclaredDeviation",
    "Dossier",
    "EarlierRun",
    "EntryFacts",
    "EvaluationFacts",
    "Library",
    "LogFacts",
    "LogVerification",
    "LoggedMoment",
    "Platform",
    "RedTeamFacts",
    "RegistrationFacts",
    "Relation",
    "Reproduction",
    "RobustFacts",
    "RoundFacts",
    "RunManifest",
    "SiteFacts",
    "SnapshotFacts",
    "SiteInputs",
    "Software",
    "SubjectFacts",
    "distributions_digest",
    "parse_manifest",
    "printable",
    "reproduction_of",
    "run_json",
]
