"""Commands that run, compare and attack studies on this machine."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from collegium.cli.options import (
    AsJson,
    BesideIndex,
    Budget,
    Data,
    Gpu,
    Out,
    PageTo,
    Processes,
    RayAddress,
    RayTokenFile,
    StandIn,
    StudyFile,
    TestNoise,
    Workers,
    read_study,
)
from collegium.extras import needs
from collegium.output.console import console, emit

_LARGEST_SEED = 2**53 - 1  # as in a study
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed", min=0, max=_LARGEST_SEED, help="Replaces the study's model seed.",
    ),
]  # fmt: skip
SplitSeed = Annotated[
    int | None,
    typer.Option(
        "--split-seed",
        min=0,
        max=_LARGEST_SEED,
        help="Replaces the study's split seed: others are tested on.",
    ),
]
Splits = Annotated[
    bool,
    typer.Option(
        "--splits",
        help="Each seed splits the patients anew into training and test, so that intervals "
        "contain the variance of the split.",
    ),
]
Modes = Annotated[
    str | None,
    typer.Option(
        "--modes",
        help="Compares modes of privacy: per_site,distributed,pooled (all records in one "
        "place, simulation only). Default: each study's own.",
    ),
]

app = typer.Typer()


@app.command()
@needs("silo")
def demo(
    out: Out = Path("demo-out"),
    data: Annotated[
        str,
        typer.Option("--data", help="The bundled records: heart-disease or breast-cancer."),
    ] = "heart-disease",
    as_json: AsJson = False,
) -> None:
    """Trains with four simulated hospitals, in less than a minute.

    Real patients, patient-level privacy, secure aggregation; nothing is downloaded.
    """
    from collegium.cli.demos.demo import run_demo
    from collegium.studies.bundled import bundled_study

    with redirect_stdout(sys.stderr):  # Ray prints what it likes; stdout is for --json alone
        run = run_demo(bundled_study(data), out, console())
    emit(run, as_json)


@app.command()
@needs("silo")
def simulate(
    study: StudyFile,
    out: Out,
    data: Data = None,
    seed: Seed = None,
    split_seed: SplitSeed = None,
    budget: Budget = None,
    test_noise: TestNoise = False,
    workers: Workers = 1,
    gpu: Gpu = False,
    ray_address: RayAddress = None,
    ray_token_file: RayTokenFile = None,
    processes: Processes = None,
    as_json: AsJson = False,
) -> None:
    """Runs a study with every hospital simulated on this machine."""
    from collegium.output.progress import on_screen
    from collegium.output.summary import summarise
    from collegium.simulation.settings import SimulationSettings, usual_processes
    from collegium.simulation.simulate import simulate_study
    from coordinator.database.workspace import Workspace
    from protocol.study.study_file import lines_of

    screen = console()
    settings = SimulationSettings(
        data=data,
        budget=budget,
        test_noise=test_noise,
        workers=workers,
        gpu=gpu,
        processes=processes or usual_processes(),
        ray_address=ray_address,
        ray_token_file=ray_token_file,
    )
    with redirect_stdout(sys.stderr):
        read = read_study(study, seed)
        chosen = read if split_seed is None else read.with_split(split_seed)
        with lines_of(study):
            run = simulate_study(chosen, study.parent, out, settings, on_screen(screen))
    summarise(run, Workspace(out), screen)
    emit(run, as_json)


@app.command("network-demo")
@needs("silo", "coordinator")
def network_demo(
    out: Out,
    study: Annotated[
        Path | None,
        typer.Argument(
            metavar="[STUDY]", help="A study document (YAML). Default: the bundled heart-disease."
        ),
    ] = None,
    data: Data = None,
    test_noise: TestNoise = False,
    as_json: AsJson = False,
) -> None:
    """Runs a study on a network of processes on this machine.

    A coordinator, and a supervisor for each hospital, over TLS.
    """
    from collegium.cli.demos.network_demo import network_demo as run_network
    from collegium.output.summary import summarise
    from collegium.studies.bundled import DEFAULT_STUDY, bundled_study
    from coordinator.database.workspace import Workspace
    from protocol.errors import CohortRefused

    screen, bundled = console(), bundled_study(DEFAULT_STUDY)
    document, records = (study, data) if study else (bundled.document, data or bundled.data)
    if records is None:
        raise CohortRefused("--data is missing: name the folder that holds the study's records")
    read = read_study(document)
    run = run_network(read, document, records, out, screen, test_noise=test_noise)
    summarise(run, Workspace(out / "coordinator"), screen)
    emit(run, as_json)


@app.command()
@needs("silo")
def sweep(
    studies: Annotated[
        list[Path],
        typer.Argument(metavar="STUDY", help="One study document, or one for each mode (YAML)."),
    ],
    out: Out,
    epsilon: Annotated[str, typer.Option("--epsilon", help="For example 0.5,2,8 or 1,none.")],
    seeds: Annotated[str, typer.Option("--seeds", help="For example 1,2,3 or 1-10.")] = "1",
    splits: Splits = False,
    modes: Modes = None,
    data: Data = None,
    budget: Budget = None,
    workers: Workers = 1,
    gpu: Gpu = False,
    processes: Processes = None,
    ray_address: RayAddress = None,
    ray_token_file: RayTokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Compares epsilons, seeds and modes: utility against privacy."""
    from collegium.output.progress import on_screen
    from collegium.output.sweep_summary import show_sweep
    from collegium.simulation.settings import SimulationSettings, usual_processes
    from collegium.simulation.sweeps.grid import Grid
    from collegium.simulation.sweeps.sweep import sweep_studies
    from coordinator.database.workspace import Workspace
    from protocol.study.study_file import lines_of

    screen = console()
    settings = SimulationSettings(
        data=data,
        budget=budget,
        workers=workers,
        gpu=gpu,
        processes=processes or usual_processes(),
        ray_address=ray_address,
        ray_token_file=ray_token_file,
    )
    grid = Grid.parsed(epsilon, seeds, modes, splits=splits)
    documents = [(read_study(path), path.parent) for path in studies]
    with redirect_stdout(sys.stderr):
        with lines_of(studies[0]):
            run_ids = sweep_studies(documents, out, grid, settings, on_screen(screen))
    found = show_sweep(Workspace(out), [read for read, _ in documents], run_ids, screen)
    if grid.warning:
        screen.print(f"  {grid.warning}", markup=False, soft_wrap=True)
    emit(found, as_json)


@app.command()
@needs("silo")
def baselines(
    study: StudyFile,
    out: Annotated[Path, typer.Option("--out", help="The folder of the page, JSON and CSV.")],
    data: Data = None,
    seed: Seed = None,
    split_seed: SplitSeed = None,
    draws: Annotated[
        int,
        typer.Option(
            "--draws",
            min=1,
            help="How often each training is repeated that draws noise or batches; with fewer than "
            "three, no difference of one has an interval.",
        ),
    ] = 5,
    as_json: AsJson = False,
) -> None:
    """Trains each hospital alone, pooled records and all but one.

    All are compared with the federation on every hospital's test patients, on the same splits,
    with the same network and number of steps: in a simulation only.
    """
    from collegium.output.progress import on_screen
    from collegium.simulation.baselines.report import summarise, write_report
    from collegium.simulation.baselines.run import compare_baselines, require_free
    from collegium.simulation.settings import SimulationSettings
    from protocol.study.study_file import lines_of

    screen = console()
    require_free(out)
    with redirect_stdout(sys.stderr):
        read = read_study(study, seed)
        chosen = read if split_seed is None else read.with_split(split_seed)
        with lines_of(study):
            settings = SimulationSettings(data=data)
            found = compare_baselines(chosen, study.parent, settings, on_screen(screen), draws)
    summarise(found, write_report(found, out), screen)
    emit(found.to_json(), as_json)


@app.command()
@needs("silo")
def compare(
    study: StudyFile,
    strategies: Annotated[
        str,
        typer.Option(
            "--strategies",
            help="Strategies by commas, with keys of their own: fedavg,scaffold,mrmtl:pull=0.3.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The folder of the page, JSON and CSV.")],
    seeds: Annotated[
        int,
        typer.Option(
            "--seeds",
            min=1,
            max=1000,
            help="How often each is trained; with fewer than three a lead has no interval.",
        ),
    ] = 5,
    data: Data = None,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Trains a study with several strategies and seeds.

    All are compared on every hospital's test patients, with pooled records as a reference: in a
    simulation only.
    """
    from collegium.output.progress import on_screen
    from collegium.simulation.baselines.run import require_free
    from collegium.simulation.comparison.report import summarise, write_report
    from collegium.simulation.comparison.run import compare_strategies
    from collegium.simulation.settings import SimulationSettings
    from protocol.study.study_file import lines_of

    screen, asked = console(), [one.strip() for one in strategies.split(",")]
    require_free(out)
    with redirect_stdout(sys.stderr):
        chosen = read_study(study, seed)
        with lines_of(study):
            settings = SimulationSettings(data=data)
            watch = on_screen(screen)
            found = compare_strategies(chosen, study.parent, settings, watch, asked, seeds)
    summarise(found, write_report(found, out), screen)
    emit(found.to_json(), as_json)


@app.command()
@needs("silo")
def redteam(
    target: Annotated[
        str,
        typer.Argument(metavar="STUDY|RUN", help="A study document, or a run in the folder --out."),
    ],
    out: Annotated[
        Path, typer.Option("--out", help="Of a study: where the page goes. Of a run: its folder.")
    ],
    data: Data = None,
    beside: BesideIndex = None,
    to: PageTo = None,
    stand_in: StandIn = False,
    as_json: AsJson = False,
) -> None:
    """Attacks a study or a run, to test its privacy claim."""
    from collegium.redteam.attack import red_team_study
    from collegium.redteam.run import Places, red_team_run
    from protocol.errors import MessageRefused, WorkspaceRefused

    if Path(target).is_file() and (stand_in or beside is not None):
        raise MessageRefused(
            f"--beside and --stand-in are of a run, and {target} is a file: leave them out"
        )
    with redirect_stdout(sys.stderr):
        if Path(target).is_file():
            folder = Path(target).parent
            findings = red_team_study(read_study(Path(target)), folder, data, to or out, console())
        elif (out / "collegium.db").is_file():
            places = Places(out=out, data=data, beside=beside, to=to, stand_in=stand_in)
            findings = red_team_run(target, places, console())
        else:
            raise WorkspaceRefused(
                f"{target} is no study document, and --out {out} holds no run of that name: name "
                "a file, or a run with the folder that it is in"
            )
    emit(findings.to_json(), as_json)
    if findings.contradicted:
        raise typer.Exit(1)
