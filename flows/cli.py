"""The `secured` command."""

from __future__ import annotations

import inspect
import os
import sys

import typer
from rich.console import Console
from rich.markup import escape

from flows.commands import (
    comparing,
    encryption,
    encryption_runs,
    fairness,
    imaging,
    keys,
    machine,
    mpc,
    neurosurgery,
    policies,
    runs,
    sets,
    single,
    synthetic,
)
from tasks.common.errors import RunFailed, SecuredError, StorageError

app = typer.Typer(
    name="secured",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Share health data without giving patients away.\n\n"
        "Begin with [bold]secured policy draft TABLE > policy.yaml[/], review the roles it guessed, then "
        "[bold]secured run data-flow --policy policy.yaml[/]. "
        "Parts of the flow are commands of their own: anonymize, assess, synthesize, compare, unbias. "
        "Computing on data that stay encrypted: [bold]secured he[/]; on what several have: [bold]secured mpc[/].\n\n"
        "Exit codes: 2 wrong usage, 10 unreadable input, 11 table, 12 policy, 13 hierarchy, 14 parameters, 15 key "
        "refused, 16 ciphertext, 20 threshold not reached, 21 inconclusive, 22 conditions not reached, 23 privacy "
        "budget exhausted, 24 would decrypt to something wrong, 25 a party failed, 30 storage, 40 something missing, "
        "50 a fault of ours, 130 interrupted."
    ),
)
runs.app.command("encrypted-job")(encryption_runs.encrypted_job)
runs.app.command("encrypted-evaluation")(encryption_runs.encrypted_evaluation)
runs.app.command("encrypted-tree")(encryption_runs.encrypted_tree)
runs.app.command("neurosurgery")(neurosurgery.neurosurgery)
app.add_typer(runs.app, name="run")
app.add_typer(policies.app, name="policy")
app.add_typer(keys.app, name="key")
app.add_typer(encryption.app, name="he")
app.add_typer(mpc.app, name="mpc")
app.command("anonymize")(single.anonymize)
app.command("anonymize-set")(sets.anonymize_set)
app.command("assess")(single.assess)
app.command("synthesize")(synthetic.synthesize)
app.command("synthesize-set")(sets.synthesize_set)
app.command("compare")(comparing.compare)
app.command("unbias")(fairness.unbias)
app.command("dicom")(imaging.dicom)
app.command("doctor")(machine.doctor)
app.command("serve")(machine.serve)


def let_paragraphs_flow(commands: typer.Typer) -> None:
    """Have help texts wrap at the terminal's width, not where lines of the docstring end."""
    for command in commands.registered_commands:
        if command.callback is not None:
            paragraphs = (inspect.getdoc(command.callback) or "").split("\n\n")
            command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    for group in commands.registered_groups:
        if group.typer_instance is not None:
            let_paragraphs_flow(group.typer_instance)


let_paragraphs_flow(app)


def main() -> None:
    """Run the command; turn errors into a sentence and an exit code."""
    try:
        app()
    except SecuredError as error:
        _fail(str(error), error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if os.environ.get("SECURED_DEBUG") == "1":
            raise
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"{place}{error.strerror or type(error).__name__}", StorageError.exit_code)
    except Exception as error:
        if os.environ.get("SECURED_DEBUG") == "1":
            raise
        # The message of a library's error may hold a patient's value, so only its kind is shown.
        _fail(
            f"{type(error).__name__}, which is a fault of SECURED, not yours; SECURED_DEBUG=1 shows the whole error, "
            "which may contain patients' data",
            RunFailed.exit_code,
        )


def _fail(message: str, code: int) -> None:
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"[bold red]error:[/] {escape(message)}")
    sys.exit(code)


if __name__ == "__main__":
    main()
