"""A number with its noun."""


def counted(number: int, noun: str) -> str:
    """Returns how many of something there are.

    >>> counted(1, "run"), counted(2, "training patient"), counted(1000, "entry")
    ('1 run', '2 training patients', '1000 entries')
    """
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun[:-1]}ies" if noun.endswith(("ry", "dy")) else f"{number} {noun}s"
