"""`secured he`: jobs on encrypted data, the owner's side and the evaluator's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table as Grid

from flows.commands import encryption_advice, encryption_keys, encryption_models, encryption_pooling
from flows.commands.encryption_keys import LockKeyOption, PassphraseOption, part_of, read_description, unlocking
from flows.commands.terminal import JsonOption, QuietOption, bar, console, write_json
from tasks.common.errors import InputError

if TYPE_CHECKING:
    from tasks.encryption.exchange import Record

app = typer.Typer(
    no_args_is_help=True,
    help=(
        "Have data computed on by somebody who cannot read them (homomorphic encryption).\n\n"
        "What suits a problem, and whether this is the tool for it, says [bold]advise[/].\n\n"
        "A job is described by a JSON file. Its owner makes keys for it ([bold]keys make[/]) and encrypts the data "
        "into a folder ([bold]encrypt[/]). Whoever has that folder and the evaluator's keys computes "
        "([bold]evaluate[/]). The owner decrypts what comes back ([bold]decrypt[/]). The folder has no plaintext and "
        "no secret key in it, and may be copied. With both on one machine, [bold]secured run encrypted-job[/] does it "
        "all, on Dask workers.\n\n"
        "Several hospitals bring data together with [bold]open[/] and [bold]contribute[/]; each sees only its own."
    ),
)
app.command("advise")(encryption_advice.advise)
app.add_typer(encryption_keys.app, name="keys")
app.command("model")(encryption_models.model)
app.command("open")(encryption_pooling.open_)
app.command("contribute")(encryption_pooling.contribute)

KeysOption = Annotated[
    Path, typer.Option("--keys", help="The folder of keys, or your role's part of it.", show_default=False)
]
FolderArgument = Annotated[Path, typer.Argument(help="The job's folder, that both sides share.", show_default=False)]


@app.command("encrypt")
def encrypt(
    job: Annotated[Path, typer.Argument(help="The job's description (JSON).", show_default=False)],
    data: Annotated[
        Path,
        typer.Argument(
            help="A table (CSV, Parquet) with the columns that the job names; or arrays, .npy or .npz.",
            show_default=False,
        ),
    ],
    keys: KeysOption,
    folder: Annotated[Path, typer.Option("--folder", help="The job's folder; made if need be.", show_default=False)],
    passphrase_file: PassphraseOption = None,
    key: LockKeyOption = None,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Owner: encrypt data for a job.

    The data have to be complete, since a ciphertext cannot hold a missing value. The same data a second time change
    nothing. Exit code 10, 11 or 24 if the data do not fit the job, for example a value beyond its range; 15 if the
    keys do not.

    Example: [bold]secured he encrypt job.json patients.csv --keys keys --folder exchange[/]
    """
    from tasks.encryption import owner_side, plaintexts
    from tasks.encryption.session import Role

    place = part_of(keys, Role.OWNER)
    assignment, task = owner_side.describe(read_description(job), place)
    values = plaintexts.read_for(task, data)
    lock = unlocking(passphrase_file, key)
    with bar(quiet) as progress:
        progress.say("encrypting")
        sent = owner_side.encrypt(folder, assignment, place, lock, values)
    _tell(folder, sent, json, quiet, "for the evaluator, in to-evaluator")


@app.command("evaluate")
def evaluate(folder: FolderArgument, keys: KeysOption, json: JsonOption = None, quiet: QuietOption = False) -> None:
    """Evaluator: compute on the ciphertexts.

    In this process and without any server, for example as a Slurm job. The keys cannot decrypt. What was interrupted
    goes on where it was: finished parts lie in the folder. To spread the parts over many workers, use [bold]secured
    run encrypted-evaluation[/].

    Exit code 15 if the keys are not the job's, 16 if a ciphertext is damaged or missing.

    Example: [bold]secured he evaluate exchange --keys keys/evaluator[/]
    """
    from tasks.encryption import evaluator_side
    from tasks.encryption.session import Role

    work = evaluator_side.take(folder, part_of(keys, Role.EVALUATOR))
    todo = evaluator_side.parts(work)
    done = []
    with bar(quiet) as progress:
        progress.say("computing on ciphertexts")
        for part in todo:
            done.append(evaluator_side.evaluate_part(work, part))
            progress.at(len(done), len(todo))
        answer = evaluator_side.combine(work, done)
    _tell(folder, answer, json, quiet, "for the owner, in from-evaluator")


@app.command("decrypt")
def decrypt(
    folder: FolderArgument,
    keys: KeysOption,
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="Where to write the result: .json, .npy (one array) or .npz.", show_default=False
        ),
    ],
    passphrase_file: PassphraseOption = None,
    key: LockKeyOption = None,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Owner: decrypt the answer into a file that only you can read.

    The result is neither shown nor kept anywhere else. Exit code 10 if there is no answer yet, 15 if the keys are
    others or do not open, 16 if the answer is damaged or incomplete, 24 if it is not what it says.

    Example: [bold]secured he decrypt exchange --keys keys --out result.json[/]
    """
    from tasks.encryption import owner_side, plaintexts
    from tasks.encryption.session import Role

    plaintexts.require_output(out, folder)
    lock = unlocking(passphrase_file, key)
    with bar(quiet) as progress:
        progress.say("decrypting")
        result = owner_side.decrypt(folder, part_of(keys, Role.OWNER), lock)
    plaintexts.write(result, out)
    write_json(json, {"out": str(out), "folder": str(folder)})
    if not quiet:
        console.print(f"wrote {escape(str(out))}, which only you can read", soft_wrap=True)


@app.command("inspect")
def inspect(
    file: Annotated[Path, typer.Argument(help="A ciphertext (.he).", show_default=False)], json: JsonOption = None
) -> None:
    """Say what a ciphertext is, without any key.

    Its scheme, whose keys, level, shape, how large its numbers may be and how far off: that much an evaluator knows as
    well. Exit code 16 if it is damaged, cut off, or no ciphertext.

    Example: [bold]secured he inspect exchange/to-evaluator/owner.000000.he[/]
    """
    from tasks.encryption import envelope

    try:
        header = envelope.read_header(file.read_bytes())
    except FileNotFoundError:
        raise InputError(f"there is no ciphertext at {file}") from None
    write_json(json, {"file": str(file), **header.model_dump(mode="json")})
    grid = Grid.grid(padding=(0, 2))
    approximate = header.scheme == "ckks"
    rows = {
        "scheme": header.scheme.upper(),
        "keys": header.keys,
        "level": str(header.level),
        **({"scale": f"{header.scale:g}"} if approximate else {}),
        "shape": " × ".join(map(str, header.shape)),
        "layout": header.layout,
        "largest": f"{header.bound:g} at most",
        "error" if approximate else "noise": f"{header.error:.3g}" + ("" if approximate else " of the modulus"),
        "bytes": f"{header.payload:,}",
    }
    for name, value in rows.items():
        grid.add_row(f"[dim]{name}[/]", escape(value))
    console.print(grid)


def _tell(folder: Path, record: Record, json: Path | None, quiet: bool, where: str) -> None:
    write_json(json, {"folder": str(folder), "bytes": record.bytes, **record.model_dump(mode="json")})
    if not quiet:
        many = "s" if len(record.messages) > 1 else ""
        console.print(
            f"{record.state}: {len(record.messages):,} ciphertext{many}, {record.bytes / 1e6:,.1f} MB, {where} "
            f"({record.seconds:,.1f} s)",
            soft_wrap=True,
        )
