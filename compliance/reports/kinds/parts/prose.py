"""The prose of a section as statements with a basis: of entries of the log, or of the method."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from compliance.facts.dossier import Dossier
from compliance.reports.basis import Claims
from compliance.reports.document import Block, Bullets, Paragraph, Section
from compliance.reports.evidence import ReportSubject


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
