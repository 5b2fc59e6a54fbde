"""A list of heads in memory (``compliance.ledger.listed_heads.Heads``)."""

from dataclasses import replace

from compliance.ledger.listed_heads import FIRST, Head, Kind


class MemoryHeads:
    """What ``ListedHeads`` keeps in a file."""

    def __init__(self) -> None:
        self.lines = [FIRST]

    def newest(self) -> Head:
        return [head for head in self.lines if head.binds][-1]

    def all(self) -> tuple[Head, ...]:
        return tuple(self.lines)

    def append(self, head: Head) -> None:
        if head.number > self.newest().number:
            self.lines.append(head)

    def restart(self, head: Head) -> None:
        self.lines.append(replace(head, kind=Kind.ANEW))
