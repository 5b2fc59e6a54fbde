"""Frames between the supervisor and its training process: eight bytes of length, then the bytes."""

import struct
from collections.abc import Iterator
from typing import IO

_LENGTH = struct.Struct(">Q")


def write_frame(stream: IO[bytes], data: bytes) -> None:
    """Writes bytes with their length before them.

    Raises:
        OSError: nobody reads any more.
    """
    stream.write(_LENGTH.pack(len(data)))
    stream.write(data)
    stream.flush()


def frames(stream: IO[bytes]) -> Iterator[bytes]:
    """Yields what was written by ``write_frame``, until the stream ends."""
    while len(head := stream.read(_LENGTH.size)) == _LENGTH.size:
        (size,) = _LENGTH.unpack(head)
        data = stream.read(size)
        if len(data) < size:
            return
        yield data
