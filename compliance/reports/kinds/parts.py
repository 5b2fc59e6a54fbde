"""The parts that reports of all kinds share: what stands first and last, and statements of a run.

Rules:

1. Every sentence of a report stands in ``Claims`` with its basis, but for those of ``banner`` and
   footer, which sum up or warn, and notes that say how a table is read.
2. A table or drawing follows statements that name the entries it was made from.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from compliance.facts.dossier import Dossier, EntryFacts
from compliance.facts.formatting import Format, show
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
    Block,
    Bullets,
    Column,
    Document,
    Fact,
    Facts,
    Listing,
    Paragraph,
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
from compliance.reports.sections import statements
from protocol.counted import counted

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


def with_basis(
    section: Section,
    subject: ReportSubject,
    entries: tuple[int, ...],
    methods: Collection[str] = (),
) -> Section:
    """Returns a section whose prose stands as statements that entries show.

    Args:
        section: paragraphs and bullets beside tables.
        subject: the subject of the report.
        entries: what all of it was made from.
        methods: what bullets are about that say how the software works, whatever was run.
    """
    if not any(isinstance(block, Paragraph | Bullets) for block in section.blocks):
        said = f"The tables and drawings of this section are those of {section.title.lower()}."
        first: tuple[Block, ...] = (_claims(subject, section, (("Source", said),), entries),)
        return replace(section, blocks=(*first, *section.blocks))
    blocks: list[Block] = []
    for block in section.blocks:
        match block:
            case Paragraph():
                said_here = (("", block.text),)
                blocks.append(_claims(subject, section, said_here, entries))
            case Bullets():
                shown = [item for item in block.items if item[0] not in methods]
                defined = [item for item in block.items if item[0] in methods]
                blocks.append(_claims(subject, section, shown, entries))
                if defined:
                    blocks.append(_definitions(subject, section, defined))
            case _:
                blocks.append(block)
    return replace(section, blocks=tuple(blocks))


def _claims(
    subject: ReportSubject,
    section: Section,
    said: Sequence[tuple[str, str]],
    entries: tuple[int, ...],
) -> Claims:
    return Claims(
        title="",
        items=tuple(
            subject.evidenced(
                about or section.title,
                text,
                entries,
                why="the log holds no entry of this run about it",
                remedy="wait for the run to end, or see why it did not",
            )
            for about, text in said
        ),
    )


def _definitions(
    subject: ReportSubject, section: Section, said: Sequence[tuple[str, str]]
) -> Claims:
    items = tuple(subject.of_the_method(about, text) for about, text in said)
    return Claims(title="", items=items)


def of_the_method(section: Section, subject: ReportSubject) -> Section:
    """Returns a section whose prose stands as statements of the method, by its authors."""
    blocks: list[Block] = []
    for block in section.blocks:
        match block:
            case Paragraph():
                blocks.append(_definitions(subject, section, [(section.title, block.text)]))
            case Bullets():
                blocks.append(_definitions(subject, section, block.items))
            case _:
                blocks.append(block)
    return replace(section, blocks=tuple(blocks))


def all_entries(subject: ReportSubject, dossier: Dossier) -> tuple[int, ...]:
    """Returns the numbers of all entries of a run, and of the one that registered its study."""
    own = [e.index for e in subject.facts.log.entries if e.run == dossier.run_id]
    return tuple(sorted({*own, *subject.registered(dossier)}))


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
    return replace(whole, banner=_banner(subject, _counts(whole)))


def _counts(document: Document) -> Statement:
    counts = counts_of(document)
    detail = (
        "Evidenced: entries of the signed audit log show it, by number. Declared: a named person "
        "says so, on the day given, or the software's authors say how it works. Missing: with why, "
        "and what to do."
    )
    tone = Tone.CAUTION if counts.missing else Tone.PLAIN
    return Statement(text=f"{counts}.", detail=detail, tone=tone)


def _banner(subject: ReportSubject, counts: Statement) -> tuple[Statement, ...]:
    """Returns what must be read first; faults come before everything else."""
    found, log = subject.facts.verification, subject.facts.log
    newest = show(subject.dated, Format.TIME)
    said = statements.verified(found, f"at entry {log.size:,} of the signed log ({newest})")
    first = _several(subject) if subject.single is None else statements.banner(subject.single)
    others = (*_unsigned(subject), *_clock(subject), *_rosters(subject), *_red_team(subject))
    is_faulty = found is not None and bool(found.faults)
    return (said, *first, *others, counts) if is_faulty else (*first, *others, counts, said)


def _several(subject: ReportSubject) -> tuple[Statement, ...]:
    """Returns how the runs ended, where there are several; those that failed are named."""
    states = [one.state for one in subject.dossiers]
    told = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    bad = [one.run_id for one in subject.dossiers if one.state != "finished"]
    without = [one.run_id for one in subject.dossiers if not one.protected]
    found = [
        Statement(
            text=f"{counted(len(states), 'run')}: {told}.",
            detail=f"Not finished: {', '.join(bad)}." if bad else "",
            tone=Tone.BAD if bad else Tone.GOOD,
        )
    ]
    if without:
        found.append(
            Statement(
                text=f"No privacy is claimed of {counted(len(without), 'run')}.",
                detail=f"They may reveal what is in single patients' records: {_few(without)}.",
                tone=Tone.BAD,
            )
        )
    if any(one.simulation for one in subject.dossiers):
        found.append(
            Statement(
                text="Simulations on one machine are among these runs.",
                detail="Figures marked simulation only are exact and unprotected.",
            )
        )
    return tuple(found)


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def _unsigned(subject: ReportSubject) -> tuple[Statement, ...]:
    """Returns the hospitals that a study names and that signed nothing: they approved no run."""
    if subject.facts.scope == "hospital":
        return ()
    found = []
    for one in subject.dossiers:
        signed = {site.site for site in one.sites}
        named = [site["name"] for site in one.study.get("sites", ())]
        lacking = [name for name in named if name not in signed]
        if lacking:
            found.append(f"run {one.run_id}: {', '.join(lacking)}")
    if not found:
        return ()
    return (
        Statement(
            text="A hospital that the study names signed nothing.",
            detail=f"It did not approve or join: {'; '.join(found[:5])}. Nothing is said of it "
            "below.",
            tone=Tone.BAD,
        ),
    )


def _clock(subject: ReportSubject) -> tuple[Statement, ...]:
    steps = subject.clock_steps()
    if not steps:
        return ()
    told = "; ".join(
        f"entry {after.index} is {back:,.0f} s before entry {before.index}"
        for before, after, back in steps[:3]
    )
    return (
        Statement(
            text="The coordinator's clock went back.",
            detail=f"{told[:1].upper()}{told[1:]}. The order of entries holds, their times do not: "
            "set the clock by a time server.",
            tone=Tone.BAD,
        ),
    )


def _rosters(subject: ReportSubject) -> tuple[Statement, ...]:
    """Returns the runs that went on after the roster of their members' keys had ended."""
    ends = dict(subject.facts.rosters)
    late = [
        one.run_id
        for one in subject.dossiers
        if (end := ends.get(one.run_id)) and (one.ended_at or one.started_at) > end
    ]
    if not late:
        return ()
    return (
        Statement(
            text="The roster of keys had expired.",
            detail=f"It ended before {_few(late)} did. Renew it: collegium coordinator roster.",
            tone=Tone.BAD,
        ),
    )


def _red_team(subject: ReportSubject) -> tuple[Statement, ...]:
    bad = [one for one in subject.facts.red_team if one.contradicted]
    if not bad:
        return ()
    told = "; ".join(reason for one in bad for reason in one.reasons[:3])
    return (
        Statement(
            text="A red team contradicted the privacy claim.", detail=f"{told}.", tone=Tone.BAD
        ),
    )


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
    """Returns who approved: hospitals by their signatures, people as the consortium declares."""
    signed = [
        subject.evidenced(
            f"Run {one.run_id}",
            f"These hospitals joined with a signed summary: "
            f"{', '.join(site.site for site in one.sites) or 'none'}.",
            subject.entries(one.run_id, "approvals") if one.sites else (),
            why="no hospital's signed summary is in the log",
            remedy="approve the study in each hospital: collegium silo approve",
        )
        for one in subject.dossiers[:20]
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
    if not people:
        people = [
            ReportClaim(
                topic="People",
                text="Who approved the study in each hospital is known there alone.",
                basis=Missing(
                    why="the coordinator sees hospitals' signatures, not people's",
                    remedy="write approvals: into consortium.yaml, or ask the hospital for its own "
                    "report: collegium report export RUN --home HOSPITAL",
                ),
            )
        ]
    else:
        people += _unnamed(subject, {one.hospital for one in found.approvals} if found else set())
    return (*signed, *people)


def _unnamed(subject: ReportSubject, named: set[str]) -> list[ReportClaim]:
    """Returns a gap for each hospital that joined and of which nobody names who approved."""
    joined = dict.fromkeys(site.site for one in subject.dossiers[:20] for site in one.sites)
    return [
        ReportClaim(
            topic=f"Approval at {site}",
            text="Nobody names who approved the study there.",
            basis=Missing(
                why="approvals: in consortium.yaml names other hospitals, and not this one",
                remedy="add it there, or ask the hospital for its own report",
            ),
        )
        for site in joined
        if site not in named
    ]


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
