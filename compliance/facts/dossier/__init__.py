"""The Dossier: every fact about one run, frozen, from which pages and reports are made.

A report is a function of a dossier and of nothing else, so that two reports of
one run cannot disagree. Facts marked *simulation only* were computed from all
hospitals' records in one place, which no real consortium can do; they are
``None`` for a real run.
"""

from compliance.facts.dossier.attack_facts import (
    ADVANTAGE,
    ATTACK_FIGURES,
    EXTRACTION,
    AttackFigure,
    RedTeamFacts,
    read_red_team,
    strongest_figures,
)
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
from compliance.facts.dossier.subject_facts import ActFacts, SubjectFacts

#: What pages, reports and views use.
__all__ = [
    "CONTRADICTED",
    "CPU",
    "FAR",
    "GPU",
    "ADVANTAGE",
    "ATTACK_FIGURES",
    "EXTRACTION",
    "ActFacts",
    "AttackFigure",
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
    "read_red_team",
    "reproduction_of",
    "run_json",
    "strongest_figures",
]
