"""Limits the memory of the process that calls it."""

import resource


def limit_memory(most_bytes: int | None) -> None:
    """Lets this process hold so many bytes of data; asking for more then fails, here only.

    Nothing is limited where ``most_bytes`` is None.
    """
    if most_bytes is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (most_bytes, hard))
