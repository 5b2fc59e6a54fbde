"""The ``collegium`` command.

The answer to a question and all JSON go to stdout, other words to stderr.
Exit codes: 0 done; 2 something has to be mended first, and the message says
what; 1 a run failed on its way, or came to something else when it was
reproduced; 130 stopped by the person at the keyboard. The audit commands tell
tampering (2) from wrong usage (64) and not found (66), the alerts one that
nobody acknowledged (3).
Everything heavy is imported inside the commands, so that help is immediate.
"""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from collegium.cli.audit.exit_codes import USAGE
from collegium.cli.audit.log import app as audit_app
from collegium.cli.audit.timestamps import app as timestamps_app
from collegium.cli.coordinator.holds import app as hold_app
from collegium.cli.coordinator.incidents import app as incident_app
from collegium.cli.coordinator.members import app as coordinator_app
from collegium.cli.coordinator.people import app as people_app
from collegium.cli.coordinator.service import app as service_app
from collegium.cli.models.attacks import app as attacks_app
from collegium.cli.models.exports import app as exports_app
from collegium.cli.models.infer import app as infer_app
from collegium.cli.models.served import app as served_app
from collegium.cli.models.serving import app as serving_app
from collegium.cli.models.steps import app as steps_app
from collegium.cli.models.versions import app as models_app
from collegium.cli.models.weights import app as weights_app
from collegium.cli.monitoring.alerts import app as alerts_app
from collegium.cli.monitoring.calendars import app as monitor_app
from collegium.cli.runs.kit import app as kit_app
from collegium.cli.runs.listing import app as runs_app
from collegium.cli.runs.reports import app as report_app
from collegium.cli.runs.reproducing import app as reproducing_app
from collegium.cli.silo.hospital import app as silo_app
from collegium.cli.studies.documents import app as study_app
from collegium.cli.studies.simulations import app as simulations_app
from collegium.extras import needs
from collegium.output.console import complain, console, emit
from protocol.errors import FederationError, QuorumLost

app = typer.Typer(
    name="collegium",
    help="Hospitals train a model together; patient records, keys and the last word on privacy "
    "stay inside each hospital.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(simulations_app)
app.add_typer(runs_app)
app.add_typer(reproducing_app)
app.add_typer(kit_app, name="kit")
app.add_typer(report_app, name="report")
audit_app.add_typer(timestamps_app)
app.add_typer(audit_app, name="audit")
app.add_typer(alerts_app, name="alerts")
app.add_typer(study_app, name="study")
models_app.add_typer(steps_app)
models_app.add_typer(served_app)
models_app.add_typer(attacks_app)
models_app.add_typer(exports_app)
app.add_typer(models_app, name="models")
infer_app.add_typer(serving_app)
app.add_typer(infer_app, name="infer")
app.add_typer(monitor_app, name="monitor")
app.add_typer(weights_app, name="weights")
app.add_typer(silo_app, name="silo")
coordinator_app.add_typer(service_app)
coordinator_app.add_typer(hold_app, name="hold")
app.add_typer(coordinator_app, name="coordinator")
app.add_typer(people_app, name="people")
app.add_typer(incident_app, name="incident")


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
_all_need("coordinator", people_app)
_all_need("coordinator", incident_app)


def _tell_usage(error: Any) -> None:
    """Says what was typed wrongly like every other refusal; help where a group stands alone."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return
    complain(error.format_message().replace("Value error, ", ""))
    path = error.ctx.command_path if error.ctx else "collegium"
    console().print(f"{path} -h says what it takes", markup=False, soft_wrap=True)


_INTERRUPTED = 130
#: What typer raises where a command line cannot be read.
_WRONG_USAGE: type[Exception] = typer.BadParameter.__mro__[1]


def main(run: Callable[..., Any] = app) -> None:
    """Runs the command; turns refusals into one or two lines and an exit code."""
    os.umask(0o077)  # what it writes is for its own user alone
    try:
        sys.exit(run(standalone_mode=False) or 0)
    except _WRONG_USAGE as error:
        _tell_usage(error)
        if sys.argv[1:2] == ["audit"]:
            emit({"verified": False, "error": "wrong usage"}, "--json" in sys.argv)
            sys.exit(USAGE)
        sys.exit(2)
    except typer.Abort:
        sys.exit(1)
    except QuorumLost as error:
        complain(f"the run failed: {error}")
        sys.exit(1)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        complain(f"{Path(str(error.filename)).name[:40]}...: a name of a file is too long")
        sys.exit(2)
    except FederationError as error:
        complain(str(error))
        sys.exit(2)
    except SystemExit as ended:
        if ended.code == _INTERRUPTED:  # typer turns Ctrl-C into this
            console().print("collegium: stopped; what was finished is kept", style="yellow")
        raise
    except BrokenPipeError:
        sys.exit(141)
