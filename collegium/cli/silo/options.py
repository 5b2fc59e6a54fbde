"""Options that several commands of a hospital take."""

from pathlib import Path
from typing import Annotated

import typer

Home = Annotated[Path, typer.Option("--home", help="The hospital's folder.")]
By = Annotated[str, typer.Option("--by", help="The name of the person who decides.")]
Reason = Annotated[str, typer.Option("--reason", help="Kept beside the decision.")]
SignedBy = Annotated[str, typer.Option("--signed-by", help="An approver of the site file.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask: everything was read before.")]
Digest = Annotated[
    str | None,
    typer.Option("--digest", help="Its whole digest, as it was compared; groups are allowed."),
]
Unasked = Annotated[
    bool,
    typer.Option("--without-coordinator", help="Go on without what the coordinator knows."),
]
