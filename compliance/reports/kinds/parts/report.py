"""A whole report: what it is about, its sections, controls, gaps, the log in words, signatures."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from compliance.facts.dossier import Dossier, EntryFacts
from compliance.facts.formatting import Format
from compliance.reports.basis import (
    Claims,
    ControlResult,
    Declared,
    Missing,
    ReportClaim,
    ReportRecipe,
    entry_ranges,
)
from compliance.reports.document import (
    Column,
    Document,
    Fact,
    Facts,
    Listing,
    Section,
    Signatures,
    SigningPlace,
    Statement,
    Table,
    Tone,
    claims_of,
    counts_of,
)
from compliance.reports.evidence import (
    ReportSubject,
    control_results,
    entry_words,
    log_lines,
    short_name,
)
from compliance.reports.kinds.parts.banner import few, report_banner
from protocol.counted import counted

#: So many runs of a subject say who approved them, one by one.
_MOST_RUNS = 20
#: The sentence below every report.
SUPPORTS = (
    "This report supports a compliance review; it never certifies. It states what the software "
    "recorded and what follows from it, and what people declared. Whether that satisfies a law, a "
    "contract or an ethics board is for the people who sign to judge."
)


@dataclass(frozen=True, kw_only=True)
class KindText:
    """The words about a kind of report: its name, title, question, and the texts it maps to."""

    name: str
    title: str
    question: str
    texts: tuple[str, ...]


def report(
    kind: KindText, subject: ReportSubject, sections: Sequence[Section], title: str = ""
) -> Document:
    """Returns a report: what must be read first, its sections, controls, gaps, log and signatures.

    Page 1 counts the statements of the whole document by their basis.
    """
    controls = control_results(subject, kind.texts)
    body = (_about(kind, subject), *distinct(sections), *_controls(controls))
    document = Document(
        kind=kind.name,
        title=title or kind.title,
        subtitle=subject.title,
        banner=(),
        sections=body,
        footer=(SUPPORTS, _made_from(subject)),
        dated=subject.dated,
        controls=controls,
        recipe=ReportRecipe(
            kind=kind.name,
            scope=subject.facts.scope,
            name=subject.facts.name,
            until=subject.facts.log.size,
            declarations=subject.digest,
            version=subject.version,
        ),
    )
    ends = (*_missing(document), *_log(subject), _signatures(subject))
    whole = replace(document, sections=(*body, *ends))
    return replace(whole, banner=report_banner(subject, _counts(whole)))


def _counts(document: Document) -> Statement:
    counts = counts_of(document)
    detail = (
        "Evidenced: entries of the signed audit log show it, by number. Declared: a named person "
        "says so, on the day given, or the software's authors say how it works. Missing: with why, "
        "and what to do."
    )
    tone = Tone.CAUTION if counts.missing else Tone.PLAIN
    return Statement(text=f"{counts}.", detail=detail, tone=tone)


def _made_from(subject: ReportSubject) -> str:
    declared = (
        f"declarations with SHA-256 {subject.digest}" if subject.digest else "no declarations"
    )
    return (
        f"Made by Collegium {subject.version} from {subject.facts.scope} {subject.facts.name}, the "
        f"audit log of {subject.facts.log.size:,} entries, and {declared}. The same records give "
        "the same document, byte for byte: collegium report verify FILE makes it again."
    ).replace("  ", " ")


def _about(kind: KindText, subject: ReportSubject) -> Section:
    runs, log = subject.dossiers, subject.facts.log
    hospitals = sorted({site.site for one in runs for site in one.sites})
    rows = (
        Fact(label="Question", value=kind.question),
        Fact(label="About", value=subject.title),
        Fact(label="Runs", value=len(runs), form=Format.COUNT),
        Fact(label="From", value=runs[0].started_at if runs else None, form=Format.TIME),
        Fact(label="Newest entry", value=subject.dated or None, form=Format.TIME),
        Fact(label="Hospitals", value=", ".join(hospitals) or None),
        Fact(label="Text", value="; ".join(kind.texts)),
        Fact(label="Root of the log", value=log.root or None, form=Format.CODE),
        Fact(label="Signed head of the log", value=log.checkpoint.strip() or None,
             form=Format.CODE),
    )  # fmt: skip
    head = subject.evidenced(
        "Log",
        f"This report is made from the first {log.size:,} entries of the consortium's log, of "
        f"which {len(log.entries):,} are about it; the signed head below covers them.",
        subject.last,
        why="the log holds no entry about it",
        remedy="run the study first",
    )
    return Section(
        key="about",
        title="What this report is about",
        blocks=(
            Claims(title="Source", items=(head,)),
            Facts(title="Identity", rows=rows),
            Claims(title="Approvals by name", items=_approvals(subject)),
        ),
    )


def _approvals(subject: ReportSubject) -> tuple[ReportClaim, ...]:
    """Returns who approved: hospitals by their signatures, people as signed or as declared."""
    signed = [
        subject.evidenced(
            f"Run {one.run_id}",
            f"These hospitals joined with a signed summary: "
            f"{', '.join(site.site for site in one.sites) or 'none'}.",
            subject.entries(one.run_id, "approvals") if one.sites else (),
            why="no hospital's signed summary is in the log",
            remedy="approve the study in each hospital: collegium silo approve",
        )
        for one in subject.dossiers[:_MOST_RUNS]
    ]
    found = subject.declarations
    people = [
        ReportClaim(
            topic=f"Hospital {one.hospital}",
            text=f"{one.name}, {one.role}, approved the study on {one.on}.",
            basis=Declared(by=one.name, on=one.on),
        )
        for one in (found.approvals if found else ())
    ]
    named = [_named_approvals(subject, one) for one in subject.dossiers[:_MOST_RUNS]]
    return (*signed, *chain.from_iterable(named), *people, *_unnamed_approvals(subject))


def _named_approvals(subject: ReportSubject, dossier: Dossier) -> Iterator[ReportClaim]:
    """Yields who approved, of each hospital that names its approvers in what it signed."""
    entries = subject.entries(dossier.run_id, "approvals", "settlements")
    for one in dossier.sites:
        if one.privacy.approvals:
            said = " and ".join(f"{who.name} on {who.on}" for who in one.privacy.approvals)
            yield subject.evidenced(
                f"Run {dossier.run_id}, {one.site}",
                f"Approved at {one.site} by {said}: the hospital signed it.",
                entries,
                why="no hospital's signed summary is in the log",
                remedy="collegium audit verify says what is wrong with the records",
            )


def _unnamed_approvals(subject: ReportSubject) -> Iterator[ReportClaim]:
    """Yields that approvers are not known, of hospitals that neither name nor declare them."""
    found = subject.declarations
    declared = {one.hospital for one in (found.approvals if found else ())}
    unnamed = sorted(
        {
            site.site
            for one in subject.dossiers
            for site in one.sites
            if not site.privacy.approvals and site.site not in declared
        }
    )
    if unnamed:
        yield ReportClaim(
            topic="People",
            text=f"Who approved the study is known in the hospital alone: {few(unnamed)}.",
            basis=Missing(
                why="the hospital does not name its approvers (policy.name_approvers)",
                remedy="the hospital sets policy.name_approvers: true for later runs; or write "
                "approvals: into consortium.yaml, or ask for its own report: collegium report "
                "export RUN --home HOSPITAL",
            ),
        )


def _controls(controls: Sequence[ControlResult]) -> tuple[Section, ...]:
    if not controls:
        return ()
    table = Table(
        title="Controls",
        columns=(
            Column(title="Control"),
            Column(title="Asks for"),
            Column(title="Shown by the log"),
            Column(title="Log entries", form=Format.CODE),
            Column(title="Lacking, declared"),
        ),
        rows=tuple(
            (
                f"{short_name(one.text)}, {one.control}",
                one.asks,
                one.state.value,
                entry_ranges(one.entries) if one.entries else None,
                one.said or None,
            )
            for one in controls
        ),
        note="Evidenced: entries of the log show it. A declaration is named, and the gap stays "
        "one. What a text asks is said in our own words; the text itself decides.",
    )
    return (Section(key="controls", title="Control mapping", blocks=(table,)),)


def _missing(document: Document) -> tuple[Section, ...]:
    lacking = [claim for claim in claims_of(document) if isinstance(claim.basis, Missing)]
    if not lacking:
        return ()
    rows = tuple(
        (claim.topic, claim.basis.why, claim.basis.remedy)
        for claim in lacking
        if isinstance(claim.basis, Missing)
    )
    table = Table(
        title="Missing statements",
        columns=(Column(title="About"), Column(title="Why"), Column(title="What to do")),
        rows=rows,
    )
    return (Section(key="missing", title="What is missing", blocks=(table,)),)


#: Entries are told in words, one line for each round and act; more lines are left to the listing.
_MOST_ACTS = 400


def _log(subject: ReportSubject) -> tuple[Section, ...]:
    """Returns the log about the subject: in words first, then every digest."""
    entries = subject.facts.log.entries
    acts: dict[tuple[str | None, int | None, str], list[EntryFacts]] = {}
    for entry in entries:
        key = (entry.run, entry.round, "" if entry.round is not None else entry.type)
        acts.setdefault(key, []).append(entry)
    rows = tuple(
        (entry_ranges([e.index for e in found]), found[0].time, _act_words(found), key[0] or "")
        for key, found in list(acts.items())[:_MOST_ACTS]
    )
    left = len(acts) - len(rows)
    more = f" {left:,} more are in the listing alone." if left else ""
    table = Table(
        title="The log in words",
        columns=(
            Column(title="Log entries"),
            Column(title="Time", form=Format.TIME),
            Column(title="What was done"),
            Column(title="Run"),
        ),
        rows=rows,
        note="The log holds digests only: no patient's data, no hospital's figures. Times are the "
        f"coordinator's.{more}",
    )
    listing = Listing(
        title="Every entry with its digest",
        heading="Entry, time (UTC), digest of the details, type. The details are in the folder; "
        "collegium audit verify --out FOLDER checks all of them.",
        lines=tuple(log_lines(entries)),
    )
    return (Section(key="audit", title="Audit trail", blocks=(table, listing)),)


#: The steps of a round, in few words.
_STEPS = {
    "round-opened": "opened",
    "survivors": "answered and summed",
    "result": "a model",
    "release": "figures released",
    "snapshot": "model kept",
    "accusation": "a hospital accused",
}


def _act_words(entries: Sequence[EntryFacts]) -> str:
    """Returns what entries of one round, or of one type, say in words."""
    first = entries[0]
    if first.round is None:
        return entry_words(first.type)
    types = [entry.type for entry in entries]
    failed = types.count("round-failed")
    done = [words for kind, words in _STEPS.items() if kind in types]
    tried = f" {counted(failed, 'attempt')} failed;" if failed else ""
    return f"Round {first.round + 1}:{tried} {', '.join(done)}"


def _signatures(subject: ReportSubject) -> Section:
    found = subject.declarations.signatories if subject.declarations else ()
    places = tuple(SigningPlace(name=one.name, role=one.role) for one in found)
    return Section(
        key="signatures",
        title="Signatures",
        blocks=(Signatures(title="Read and signed", places=places or (SigningPlace(),) * 2),),
    )


def distinct(sections: Sequence[Section]) -> list[Section]:
    """Returns sections whose keys name each alone: a link leads to one place."""
    seen: Counter[str] = Counter()
    found = []
    for section in sections:
        seen[section.key] += 1
        again = seen[section.key]
        found.append(replace(section, key=f"{section.key}-{again}") if again > 1 else section)
    return found
