"""Chart: a drawing of the platform, shown in a notebook as SVG."""

from pathlib import Path
from typing import Any

from collegium.api.inputs import PathLike, as_path
from compliance.charts.theme import to_svg
from compliance.storage.atomic_file import write_named


class Chart:
    """A drawing. A notebook shows it; it needs no network and no script.

    Attributes:
        altair: the chart as an Altair object, to change its size or look.

    Example::

        run.chart().save("utility.svg")
    """

    def __init__(self, altair: Any) -> None:
        self.altair = altair

    @property
    def svg(self) -> str:
        """The drawing as SVG; equal facts give equal bytes."""
        return to_svg(self.altair)

    @property
    def description(self) -> str:
        """The text description of the drawing."""
        return str(self.altair.to_dict().get("description", ""))

    def save(self, to: PathLike) -> Path:
        """Writes the drawing as SVG.

        Args:
            to: the file.

        Returns:
            The file's path.

        Raises:
            WorkspaceRefused: it cannot be written.

        Example::

            run.chart("sites").save("sites.svg")
        """
        path = as_path(to)
        write_named(path, self.svg.encode())
        return path

    def __repr__(self) -> str:
        return f"Chart: {self.description}"

    def _repr_svg_(self) -> str:
        return self.svg
