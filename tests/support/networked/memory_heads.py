"""A list of heads in memory (``compliance.ledger.listed_heads.Heads``)."""

from dataclasses import replace

from compliance.ledger.listed_heads import FIRST, HeadKind, LedgerHead


class MemoryHeads:
    """What ``ListedHeads`` keeps in a file."""

    def __init__(self) -> None:
        self.lines = [FIRST]

    def newest(self) -> LedgerHead:
        return [head for head in self.lines if head.binds][-1]

    def all(self) -> tuple[LedgerHead, ...]:
        return tuple(self.lines)

    def append(self, head: LedgerHead) -> None:
        if head.number > self.newest().number:
            self.lines.append(head)

    def restart(self, head: LedgerHead) -> None:
        self.lines.append(replace(head, kind=HeadKind.ANEW))
