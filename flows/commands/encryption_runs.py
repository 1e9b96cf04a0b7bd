"""`secured run encrypted-job` and `encrypted-evaluation`: jobs on ciphertexts as flows, on Dask workers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from flows.commands.encryption import FolderArgument, KeysOption
from flows.commands.encryption_keys import LockKeyOption, part_of, read_description
from flows.commands.runs import run_flow
from flows.commands.terminal import JsonOption, QuietOption, console, progress_console, write_json
from tasks.common import processes, settings
from tasks.common.errors import InputError

if TYPE_CHECKING:
    from tasks.hub.registration import Registration


def encrypted_job(
    job: Annotated[Path, typer.Option("--job", help="The job's description (JSON).", show_default=False)],
    table: Annotated[
        Path, typer.Option(help="A table (CSV, Parquet) with the job's columns; or .npy, .npz.", show_default=False)
    ],
    keys: KeysOption,
    folder: Annotated[Path, typer.Option(help="The job's folder; made if need be.", show_default=False)],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Where to write the result: .json, .npy or .npz.", show_default=False)
    ],
    passphrase_file: Annotated[
        Path | None,
        typer.Option(help="A file with the passphrase, which only you can read (chmod 600).", show_default=False),
    ] = None,
    key: LockKeyOption = None,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Encrypt a table, compute on the ciphertexts on Dask workers, decrypt the result, register how it was done.

    Owner and evaluator on one machine, to see how it goes: the owner's part still runs in processes of its own, and
    neither the flow nor a worker ever holds the table or the secret key. An interrupted run goes on where it was.

    Example: [bold]secured run encrypted-job --job job.json --table patients.csv --keys keys --folder exchange --out
    result.json --passphrase-file passphrase[/]
    """
    from flows import owners_commands
    from tasks.encryption import owner_side, plaintexts
    from tasks.encryption.session import Role

    lock = {"passphrase_file": _path(passphrase_file), "key_file": _path(key)}
    owners_commands.unlocking(**lock)
    plaintexts.require_output(out, folder)
    owner_side.describe(read_description(job), part_of(keys, Role.OWNER))
    if not table.is_file():
        raise InputError(f"there is no table at {table}")
    given = {"job": job, "table": table, "keys": keys, "folder": folder, "out": out}
    registration = _run("encrypted_job", {name: _path(path) for name, path in given.items()} | lock, quiet)
    write_json(json, {"out": str(out), "folder": str(folder), **_found(registration)})
    console.print(f"result   {escape(str(out))}, which only you can read", soft_wrap=True)
    _tell(registration)


def encrypted_evaluation(
    folder: FolderArgument, keys: KeysOption, json: JsonOption = None, quiet: QuietOption = False
) -> None:
    """Evaluator: do the job in a folder on Dask workers, on Slurm where SECURED_CLUSTER says so, and register it.

    What [bold]secured he evaluate[/] does in one process. The owner then decrypts with [bold]secured he decrypt[/].

    Example: [bold]secured run encrypted-evaluation exchange --keys keys/evaluator[/]
    """
    from tasks.encryption import evaluator_side
    from tasks.encryption.session import Role

    evaluator_side.take(folder, part_of(keys, Role.EVALUATOR))
    registration = _run("encrypted_evaluation", {"folder": _path(folder), "keys": _path(keys)}, quiet)
    write_json(json, {"folder": str(folder), **_found(registration)})
    console.print(f"answer   {escape(str(folder / 'from-evaluator'))}", soft_wrap=True)
    _tell(registration)


def encrypted_tree(
    model: Annotated[Path, typer.Argument(help="The fitted DecisionTreeClassifier (.skops).", show_default=False)],
    table: Annotated[
        Path,
        typer.Argument(help="The people: a table with the tree's columns; or .npy.", show_default=False),
    ],
    folder: Annotated[Path, typer.Option(help="A new folder for the job.", show_default=False)],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Where to write the decisions: .json, .npy or .npz.", show_default=False)
    ],
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Have a decision tree decide on people who stay encrypted (TFHE), on Dask workers.

    Comparisons are what other schemes cannot do. Decisions are the tree's own, each wrong with a chance of 1e-6; a
    person takes seconds. The owner's process has the secret key in memory alone, so that an interrupted job begins
    again in a new folder. Needs Concrete in an environment of its own; without it the error says how to make one.
    Trees of up to 15 thresholds a feature; save one with [bold]skops.io.dump(tree, "tree.skops")[/].

    Example: [bold]secured run encrypted-tree tree.skops patients.csv --folder exchange --out decisions.json[/]
    """
    from tasks.encryption import plaintexts
    from tasks.encryption.inference import files, tfhe
    from tasks.encryption.inference.tree import tree_plan

    tfhe.python()
    plaintexts.require_output(out, folder)
    if folder.exists():
        raise InputError(f"--folder {folder}: it exists; a tree job begins in a new folder")
    tree_plan(files.tree_from_skops(model))
    if not table.is_file():
        raise InputError(f"there is no table at {table}")
    given = {"model": model, "table": table, "folder": folder, "out": out}
    registration = _run("encrypted_tree", {name: _path(path) for name, path in given.items()}, quiet)
    write_json(json, {"out": str(out), "folder": str(folder), **_found(registration)})
    console.print(f"result   {escape(str(out))}, which only you can read", soft_wrap=True)
    _tell(registration)


def _run(flow: str, given: dict[str, str], quiet: bool) -> Registration:
    where = settings.load()
    where.ensure_writable()
    if (ended := processes.end_orphans(where.processes)) and not quiet:
        progress_console.print(f"[dim]ended {ended} processes that an interrupted run had left behind[/]")
    module = "flows.encrypted_tree" if flow == "encrypted_tree" else "flows.encrypted_job"
    registration: Registration = run_flow(module, flow, given, quiet=quiet)
    return registration


def _path(path: Path | None) -> str:
    return str(path.absolute()) if path else ""


def _found(registration: Registration) -> dict[str, Any]:
    return {"run_id": registration.run_id, "tracking_uri": registration.tracking_uri}


def _tell(registration: Registration) -> None:
    page = registration.page or f"{registration.tracking_uri}, run {registration.run_id}"
    console.print(f"MLflow   {escape(page)}", soft_wrap=True)
