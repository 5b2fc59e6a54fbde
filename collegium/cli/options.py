"""Options that several commands take, and how a study document is read for them."""

from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from protocol.errors import FederationError
from silos.config.folder import is_hospital

Out = Annotated[Path, typer.Option("--out", help="The folder that holds the runs.")]
#: The option that names any folder of runs.
FOLDER = typer.Option(
    "--out",
    "--home",
    help="The folder that holds the runs: a simulation's, a coordinator's, a hospital's own.",
)
Folder = Annotated[Path, FOLDER]
#: The folder of records that only a simulation or a coordinator has.
Records = Annotated[
    Path,
    typer.Option("--out", "--home", help="The folder of runs: a simulation's, a coordinator's."),
]
Key = Annotated[
    str | None,
    typer.Option("--key", help="The log's public key that you trust: hexadecimal, or a file."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")]
Declared = Annotated[
    Path | None,
    typer.Option(
        "--declarations",
        metavar="FILE",
        help="The consortium's declarations. Default: consortium.yaml in the folder.",
    ),
]
Data = Annotated[
    Path | None, typer.Option("--data", help="Folder that holds the records the study names.")
]
#: Options of an attack on a run.
BesideIndex = Annotated[
    Path | None,
    typer.Option(
        "--beside",
        help="Of a run whose split stands in an index file: the folder with that file.",
    ),
]
PageTo = Annotated[
    Path | None,
    typer.Option("--to", help="Of a run: where the page goes. Default: OUT/redteam/RUN."),
]
StandIn = Annotated[
    bool,
    typer.Option(
        "--stand-in",
        help="Of a run of real hospitals: attack a training of its study on drawn records.",
    ),
]
Budget = Annotated[
    float | None,
    typer.Option(
        "--budget",
        help="Each simulated hospital's life-long privacy budget (epsilon). "
        "Default: 10, or what the study or sweep needs if that is more.",
    ),
]
Workers = Annotated[
    int,
    typer.Option("--workers", min=1, help="Processes that compute gradients in each hospital."),
]
Processes = Annotated[
    int | None,
    typer.Option(
        "--processes",
        min=1,
        help="Processes that hold the hospitals; several may share one. By default one a core.",
    ),
]
Gpu = Annotated[
    bool,
    typer.Option(
        "--gpu", help="Compute gradients on this machine's GPU, or on those of the Ray cluster."
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        metavar="HOST:PORT",
        help="The head of a Ray cluster, on whose nodes the workers are.",
    ),
]
RayTokenFile = Annotated[
    Path | None,
    typer.Option(
        "--ray-token-file",
        envvar="RAY_AUTH_TOKEN_PATH",
        help="The file that holds the cluster's token, for its owner alone.",
    ),
]
TestNoise = Annotated[
    bool,
    typer.Option(
        "--test-noise",
        help="Repeatable noise derived from the seed, for tests: no privacy is claimed.",
    ),
]


def known_runs(context: typer.Context, incomplete: str) -> list[str]:
    """Completes a run's name from the folder, where it was typed before the name."""
    folder = context.params.get("out")
    try:
        if folder is None or is_hospital(folder):
            from silos.results.own_runs import own_runs

            return [run.run_id for run in own_runs(folder)] if folder else []
        from coordinator.views.views import open_views

        with closing(open_views(folder)) as views:
            return [run.run_id for run in views.runs() if run.run_id.startswith(incomplete)]
    except FederationError:
        return []


Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="A run's name, or its beginning.", autocompletion=known_runs
    ),
]
StudyFile = Annotated[Path, typer.Argument(metavar="STUDY", help="A study document (YAML).")]


def read_study(path: Path, seed: int | None = None) -> Any:
    """Returns a study document, with another model seed where one is given.

    Raises:
        StudyRefused: one line per problem; also where a preregistered criterion is of a figure
            that this study never releases.
        PolicyRefused: a wheel beside it has a recipe's digest and is no recipe's.
    """
    from compliance.facts.dossier.preregistration import require_releasable
    from pipelines.recipes.admission import read_with_recipes
    from protocol.study.study_file import lines_of

    study = read_with_recipes(path)
    with lines_of(path):
        require_releasable(study)
    return study if seed is None else study.with_seed(seed)
