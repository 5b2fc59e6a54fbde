"""Imports of what training needs: made ahead of time, and then no matter of garbage collection."""

import gc


def import_for_training() -> None:
    """Imports torch, MONAI and Opacus; the garbage collector looks at none of it from then on.

    They are half a million objects: collecting among them takes half a second each time.
    """
    gc.disable()
    try:
        import monai.networks.nets  # noqa: F401
        import opacus.validators  # noqa: F401

        import silos.training.trainer  # noqa: F401
    finally:
        gc.enable()
    gc.freeze()
