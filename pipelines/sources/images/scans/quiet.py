"""Silence of the libraries that read images: their warnings and logs quote what headers hold."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LOGGERS = ("pydicom", "nibabel", "nibabel.global", "PIL")
_NOTHING = logging.CRITICAL + 1


@contextmanager
def quiet() -> Iterator[None]:
    """Lets neither a warning nor a line of the libraries' logs through."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(_NOTHING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
