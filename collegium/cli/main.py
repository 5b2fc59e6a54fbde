"""The ``collegium`` command.

The answer to a question and all JSON go to stdout, other words to stderr.
Exit codes: 0 done; 2 something has to be mended first, and the message says
what; 1 a run failed on its way; 130 stopped by the person at the keyboard. The
audit commands tell tampering (2) from wrong usage (64) and not found (66).
Everything heavy is imported inside the commands, so that help is immediate.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, redirect_stdout
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from collegium.cli.coordinator import app as coordinator_app
from collegium.cli.coordinator_service import app as service_app
from collegium.cli.silo.hospital import app as silo_app
from collegium.extras import needs
from collegium.output.console import answers, console, emit
from protocol.errors import FederationError, QuorumLost
from silos.config.folder import is_hospital

app = typer.Typer(
    name="collegium",
    help="Hospitals train a model together; patient records, keys and the last word on privacy "
    "stay inside each hospital.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
runs_app = typer.Typer(help="What was run.", no_args_is_help=True)
audit_app = typer.Typer(help="The tamper-evident log.", no_args_is_help=True)
report_app = typer.Typer(help="Reports for the compliance officer.", no_args_is_help=True)
study_app = typer.Typer(help="Study documents.", no_args_is_help=True)
app.add_typer(runs_app, name="runs")
app.add_typer(audit_app, name="audit")
app.add_typer(report_app, name="report")
app.add_typer(study_app, name="study")
app.add_typer(silo_app, name="silo")
coordinator_app.add_typer(service_app)
app.add_typer(coordinator_app, name="coordinator")

Out = Annotated[Path, typer.Option("--out", help="The folder that holds the runs.")]
Folder = Annotated[
    Path,
    typer.Option(
        "--out",
        "--home",
        help="The folder that holds the runs: a simulation's, a coordinator's, a hospital's own.",
    ),
]
Key = Annotated[
    str | None,
    typer.Option("--key", help="The log's public key that you trust: hexadecimal, or a file."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")]
Data = Annotated[
    Path | None, typer.Option("--data", help="Folder that holds the records the study names.")
]
Budget = Annotated[
    float | None,
    typer.Option(
        "--budget",
        help="Each simulated hospital's life-long privacy budget (epsilon). "
        "Default: 10, or what the study or sweep needs if that is more.",
    ),
]
TestNoise = Annotated[
    bool,
    typer.Option(
        "--test-noise",
        help="Repeatable noise derived from the seed, for tests: no privacy is claimed.",
    ),
]


def _known_runs(context: typer.Context, incomplete: str) -> list[str]:
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


class ReportForm(StrEnum):
    """What a report can be written as."""

    html = "html"
    json = "json"
    csv = "csv"


Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="A run's name, or its beginning.", autocompletion=_known_runs
    ),
]
StudyFile = Annotated[Path, typer.Argument(metavar="STUDY", help="A study document (YAML).")]


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        sys.stdout.write(f"collegium {version('collegium')}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Says which version."),
    ] = False,
) -> None:
    pass


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
    from collegium.demos.demo import run_demo
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
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Replaces the study's model seed.")
    ] = None,
    split_seed: Annotated[
        int | None,
        typer.Option(
            "--split-seed", min=0, help="Replaces the study's split seed: others are tested on."
        ),
    ] = None,
    budget: Budget = None,
    test_noise: TestNoise = False,
    workers: Annotated[
        int,
        typer.Option("--workers", min=1, help="Processes that compute gradients in each hospital."),
    ] = 1,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes",
            min=1,
            help="Processes that hold the hospitals; several may share one. By default one a core.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Runs a study with every hospital simulated on this machine."""
    from collegium.output.progress import on_screen
    from collegium.output.summary import summarise
    from collegium.simulation.settings import Settings, usual_processes
    from collegium.simulation.simulate import simulate_study
    from coordinator.database.workspace import Workspace

    screen = console()
    settings = Settings(
        data=data,
        budget=budget,
        test_noise=test_noise,
        workers=workers,
        processes=processes or usual_processes(),
    )
    with redirect_stdout(sys.stderr):
        read = _study(study, seed)
        chosen = read if split_seed is None else read.with_split(split_seed)
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
    from collegium.demos.network_demo import network_demo as run_network
    from collegium.output.summary import summarise
    from collegium.studies.bundled import bundled_study
    from coordinator.database.workspace import Workspace
    from protocol.errors import CohortRefused

    screen, bundled = console(), bundled_study("heart-disease")
    document, records = (study, data) if study else (bundled.document, data or bundled.data)
    if records is None:
        raise CohortRefused("--data is missing: name the folder that holds the study's records")
    read = _study(document, None)
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
    splits: Annotated[
        bool,
        typer.Option(
            "--splits",
            help="Each seed splits the patients anew into training and test, so that intervals "
            "contain the variance of the split.",
        ),
    ] = False,
    modes: Annotated[
        str | None,
        typer.Option(
            "--modes",
            help="Compares modes of privacy: local,distributed,pooled (all records in one place, "
            "simulation only). Default: each study's own.",
        ),
    ] = None,
    data: Data = None,
    budget: Budget = None,
    as_json: AsJson = False,
) -> None:
    """Compares epsilons, seeds and modes: utility against privacy."""
    from collegium.output.progress import on_screen
    from collegium.output.summary import show_sweep
    from collegium.simulation.settings import Settings
    from collegium.simulation.sweep import (
        Grid,
        parse_epsilons,
        parse_modes,
        parse_seeds,
        sweep_studies,
    )
    from coordinator.database.workspace import Workspace

    screen = console()
    settings = Settings(data=data, budget=budget, test_noise=False)
    grid = Grid(
        epsilons=parse_epsilons(epsilon),
        seeds=parse_seeds(seeds),
        modes=parse_modes(modes) if modes is not None else (),
        splits=splits,
    )
    documents = [(_study(path, None), path.parent) for path in studies]
    with redirect_stdout(sys.stderr):
        run_ids = sweep_studies(documents, out, grid, settings, on_screen(screen))
    found = show_sweep(Workspace(out), [read for read, _ in documents], run_ids, screen)
    if grid.warning:
        screen.print(f"  {grid.warning}", markup=False, soft_wrap=True)
    emit(found, as_json)


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
    beside: Annotated[
        Path | None,
        typer.Option(
            "--beside",
            help="Of a run whose split stands in an index file: the folder with that file.",
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="Of a run: where the page goes. Default: OUT/redteam/RUN."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Attacks a study or a run: is its privacy contradicted?"""
    from collegium.redteam.attack import red_team_study
    from collegium.redteam.run import Places, red_team_run
    from protocol.errors import WorkspaceRefused

    with redirect_stdout(sys.stderr):
        if Path(target).is_file():
            folder = Path(target).parent
            findings = red_team_study(
                _study(Path(target), None), folder, data, to or out, console()
            )
        elif (out / "collegium.db").is_file():
            places = Places(out=out, data=data, beside=beside, to=to)
            findings = red_team_run(target, places, console())
        else:
            raise WorkspaceRefused(
                f"{target} is no study document, and --out {out} holds no run of that name: name "
                "a file, or a run with the folder that it is in"
            )
    emit(findings.to_json(), as_json)
    if findings.contradicted:
        raise typer.Exit(1)


@runs_app.command("list")
def runs_list(out: Folder, as_json: AsJson = False) -> None:
    """Lists the runs in a folder."""
    if is_hospital(out):
        from collegium.verification import own_folder

        emit(own_folder.list_runs(out, answers(as_json)), as_json)
    else:
        from collegium.output.run_list import list_runs

        emit(list_runs(out, answers(), as_json=as_json), as_json)
    _tell_unverified(out)


@runs_app.command("show")
def runs_show(run: Run, out: Folder, as_json: AsJson = False) -> None:
    """Shows one run whole."""
    if is_hospital(out):
        from collegium.verification import own_folder

        emit(own_folder.show_run(out, run, answers(as_json)), as_json)
    else:
        from collegium.output.summary import show_run

        emit(show_run(out, run, answers(), as_json=as_json), as_json)
    _tell_unverified(out)


@audit_app.command("verify")
def audit_verify(
    out: Folder,
    key: Key = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(
            "--checkpoint",
            metavar="FILE",
            help="A signed head of the log that somebody else kept; repeatable.",
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="A report: is it the one of these records?")
    ] = None,
    hospital: Annotated[
        Path | None,
        typer.Option("--hospital", help="A hospital's own folder: it is held to the log."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Checks log, records, files and hospitals; writes nothing.

    It also says what it cannot check.

    Exit codes: 0 verified; 2 tampered with or damaged; 64 wrong usage; 66 not found; 75 a run is
    at work and what was looked at changed meanwhile.
    """
    from collegium.verification.inputs import AuditInputs
    from collegium.verification.verify import require_sound, verify

    given = AuditInputs(key=key, checkpoints=checkpoint or (), report=report, hospital=hospital)
    with _auditing(as_json):
        found = verify(out, given, answers(as_json))
    emit(found, as_json)
    require_sound(found, out, given)
    if not found["verified"]:
        raise typer.Exit(_UNSETTLED)


@audit_app.command("recompute")
def audit_recompute(
    wanted: Annotated[
        str, typer.Argument(metavar="ROUND", help="A training round's number, or: evaluation.")
    ],
    out: Out,
    run: Annotated[
        str | None,
        typer.Option(
            "--run", help="Which run; the newest when left out.", autocompletion=_known_runs
        ),
    ] = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Computes a kept round's sum again. From what the hospitals sent, bit by bit."""
    from collegium.verification.verify import recompute_round

    with _auditing(as_json):
        found = recompute_round(out, wanted, run, answers(as_json), key=key)
    emit(found, as_json)


@report_app.command("export")
def report_export(
    run: Run,
    to: Annotated[Path, typer.Option("--to", help="The file to write.")],
    out: Folder,
    form: Annotated[
        ReportForm,
        typer.Option("--format", help="A page, one JSON value, or a line for each value."),
    ] = ReportForm.html,
) -> None:
    """Writes a run's report. It holds privacy statement, run record and audit entries."""
    if is_hospital(out):
        from collegium.verification import own_folder

        own_folder.export_report(out, run, form.value, to, console())
        return
    from collegium.output.summary import export_report

    export_report(out, run, form.value, to, console())


@report_app.command("chart")
def report_chart(
    to: Annotated[Path, typer.Option("--to", help="The SVG file to write.")], out: Out
) -> None:
    """Draws utility against epsilon over all runs of the newest study."""
    from collegium.output.summary import export_chart

    export_chart(out, to, console())


@study_app.command("check")
def study_check(
    study: StudyFile,
    data: Data = None,
    budget: Annotated[
        float, typer.Option("--budget", help="A hospital's life-long epsilon, to show its share.")
    ] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Checks a study and says what it promises. With --data, checks every site's records too."""
    from collegium.studies.preflight import check_records, describe_study, finds_records

    checked = _study(study, None)
    screen = answers(as_json)
    promise = describe_study(checked, screen, budget)
    if finds_records(checked, data):
        promise |= check_records(checked, study.parent, data, screen)
    emit(promise, as_json)


@study_app.command("new")
def study_new(
    to: Annotated[Path, typer.Option("--to", help="The file to write.")],
    name: Annotated[str, typer.Option("--name", help="The study's name.")] = "my-study",
    title: Annotated[str | None, typer.Option("--title", help="One line for people.")] = None,
    purpose: Annotated[
        str | None, typer.Option("--purpose", help="What for: hospitals' policies read it.")
    ] = None,
    sites: Annotated[
        str | None, typer.Option("--sites", help="The hospitals, for example st-mary,charite,ucsf.")
    ] = None,
    epsilon: Annotated[float, typer.Option("--epsilon", help="What each patient may pay.")] = 1.0,
) -> None:
    """Writes a commented study document, to be filled in."""
    from collegium.studies.template import study_template, write_study

    given = {"title": title, "purpose": purpose, "sites": sites and sites.split(",")}
    chosen: dict[str, Any] = {key: value for key, value in given.items() if value}
    write_study(to, study_template(name, epsilon=epsilon, **chosen))
    console().print(
        f"made   {to}: a valid study about nobody; fill it in, then collegium study check {to}",
        markup=False,
        soft_wrap=True,
    )


@study_app.command("copy")
def study_copy(
    name: Annotated[str, typer.Argument(metavar="NAME", help="heart-disease or breast-cancer.")],
    to: Annotated[Path, typer.Option("--to", help="The new folder to write.")],
) -> None:
    """Writes a bundled study to a new folder. Its records go with it, to be changed there."""
    from collegium.studies.bundled import bundled_study

    bundled = bundled_study(name)
    made = bundled.copy_to(to)
    check = f"collegium study check {made} --data {to}"
    console().print(
        f"made   {made}: {bundled.study.title}\nrecords: {bundled.source}\nnext: {check}",
        markup=False,
        soft_wrap=True,
    )


@study_app.command("register")
def study_register(
    study: StudyFile,
    home: Annotated[Path, typer.Option("--home", help="The coordinator's folder.")],
    as_json: AsJson = False,
) -> None:
    """Registers a study with the coordinator, so that it can be run."""
    from collegium.studies.registration import register_study

    read, new = register_study(study, home)
    said = "registered" if new else "was registered before"
    console().print(f"{said}  {read.name}, digest {read.digest}", markup=False, soft_wrap=True)
    emit({"name": read.name, "digest": read.digest, "new": new}, as_json)


@study_app.command("schema")
def study_schema() -> None:
    """Writes the JSON Schema of a study, for editors."""
    from protocol.study.study import Study

    schema = Study.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "A Collegium study"
    sys.stdout.write(json.dumps(schema, indent=2, sort_keys=True) + "\n")


@study_app.command("plan")
def study_plan(
    study: Annotated[
        Path | None, typer.Argument(metavar="[STUDY]", help="Compares this study's own settings.")
    ] = None,
    patients: Annotated[
        str | None, typer.Option("--patients", help="Training patients, for example 2000,500,300.")
    ] = None,
    epsilon: Annotated[
        float | None, typer.Option("--epsilon", help="What a patient may pay.")
    ] = None,
    delta: Annotated[
        float | None, typer.Option("--delta", help="Default: min(1e-6, 1 in 10 x patients).")
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, max=10_000, help="Steps. Default: 60.")
    ] = None,
    inputs: Annotated[
        int | None,
        typer.Option("--inputs", min=1, help="Without a study: numbers per record. Default: 20."),
    ] = None,
    prevalence: Annotated[
        float | None, typer.Option("--prevalence", help="The share of patients who are ill.")
    ] = None,
    auroc: Annotated[
        float | None, typer.Option("--auroc", help="What published models reach. Default: 0.8.")
    ] = None,
    colluders: Annotated[
        int | None, typer.Option("--colluders", min=0, help="Hospitals that may collude.")
    ] = None,
    budget: Annotated[
        float, typer.Option("--budget", help="A hospital's life-long epsilon, to show its share.")
    ] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Advises mode, steps, learning rate, clip and start.

    It also says what they should reach.
    """
    from collegium.studies.planning import plan_study
    from collegium.studies.question import PlanOptions

    options = PlanOptions(
        patients=patients, epsilon=epsilon, delta=delta, steps=steps, inputs=inputs,
        prevalence=prevalence, auroc=auroc, colluders=colluders, budget=budget,
    )  # fmt: skip
    read = None if study is None else _study(study, None)
    emit(plan_study(read, options, answers(as_json)), as_json)


@silo_app.command("budget")
def silo_budget(
    out: Annotated[
        Path | None, typer.Option("--out", help="A simulation's folder: its hospitals.")
    ] = None,
    home: Annotated[Path | None, typer.Option("--home", help="A hospital's own folder.")] = None,
    site: Annotated[
        str | None, typer.Option("--site", help="With --out: one hospital; default: all.")
    ] = None,
    study: Annotated[
        Path | None, typer.Option("--study", help="Foretells what this study would cost.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Shows what a hospital's patients have spent, reserved and left."""
    from collegium.verification.budget import show_budgets, show_own_budget
    from protocol.errors import WorkspaceRefused

    read, screen = None if study is None else _study(study, None), answers(as_json)
    if (out is None) == (home is None):
        raise WorkspaceRefused("name --home, a hospital's own folder, or --out, a simulation's")
    if home is not None:
        emit(show_own_budget(home, read, screen), as_json)
    elif out is not None:
        emit(show_budgets(out, site, read, screen), as_json)


@app.command()
@needs("dashboard")
def dashboard(
    out: Out, port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 8501
) -> None:
    """Opens the dashboard on a folder of runs."""
    from collegium.output.summary import open_dashboard

    open_dashboard(out, port, console())


def _all_need(extra: str, group: typer.Typer) -> None:
    """Has every command of a group, and of the groups in it, refuse where the extra is missing."""
    for command in group.registered_commands:
        if command.callback is not None:
            command.callback = needs(extra)(command.callback)
    for inner in group.registered_groups:
        if inner.typer_instance is not None:
            _all_need(extra, inner.typer_instance)


_all_need("silo", silo_app)
_all_need("coordinator", coordinator_app)


@contextmanager
def _auditing(as_json: bool) -> Iterator[None]:
    """Lets a nightly job tell tampering from a wrong folder or option; JSON always answers."""
    from protocol.errors import MessageRefused, PolicyRefused, WorkspaceRefused

    try:
        yield
    except FederationError as error:
        emit({"verified": False, "error": str(error)}, as_json)
        code = {WorkspaceRefused: _NOT_FOUND, MessageRefused: _USAGE, PolicyRefused: _NOT_FOUND}
        for kind, number in code.items():
            if isinstance(error, kind):
                _complain(str(error))
                raise typer.Exit(number) from error
        raise


def _study(path: Path, seed: int | None) -> Any:
    from protocol.study.study_file import read_study_file

    study = read_study_file(path)
    return study if seed is None else study.with_seed(seed)


def _tell_unverified(out: Path) -> None:
    """Says beside figures that nobody has compared them with the log; that takes longer."""
    folder = "--home" if is_hospital(out) else "--out"
    console().print(
        f"not verified: collegium audit verify {folder} {out} checks these figures against the "
        "signed log",
        markup=False,
        soft_wrap=True,
    )


def _complain(what: str) -> None:
    console().print(f"collegium: {what}", style="red", markup=False, soft_wrap=True)


def _tell_usage(error: Any) -> None:
    """Says what was typed wrongly like every other refusal; help where a group stands alone."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return
    _complain(error.format_message().replace("Value error, ", ""))
    path = error.ctx.command_path if error.ctx else "collegium"
    console().print(f"{path} -h says what it takes", markup=False, soft_wrap=True)


_INTERRUPTED = 130
#: What typer raises where a command line cannot be read.
_WRONG_USAGE: type[Exception] = typer.BadParameter.__mro__[1]
#: Of the audit commands, as sysexits.h has them: 2 is kept for what was tampered with.
_USAGE, _NOT_FOUND, _UNSETTLED = 64, 66, 75


def main(run: Callable[..., Any] = app) -> None:
    """Runs the command; turns refusals into one or two lines and an exit code."""
    os.umask(0o077)  # what it writes is for its own user alone
    try:
        sys.exit(run(standalone_mode=False) or 0)
    except _WRONG_USAGE as error:
        _tell_usage(error)
        if sys.argv[1:2] == ["audit"]:
            emit({"verified": False, "error": "wrong usage"}, "--json" in sys.argv)
            sys.exit(_USAGE)
        sys.exit(2)
    except typer.Abort:
        sys.exit(1)
    except QuorumLost as error:
        _complain(f"the run failed: {error}")
        sys.exit(1)
    except FederationError as error:
        _complain(str(error))
        sys.exit(2)
    except SystemExit as ended:
        if ended.code == _INTERRUPTED:  # typer turns Ctrl-C into this
            console().print("collegium: stopped; what was finished is kept", style="yellow")
        raise
    except BrokenPipeError:
        sys.exit(141)
