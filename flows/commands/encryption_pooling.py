"""`secured he open` and `contribute`: data that several bring together, of which nobody sees another's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from flows.commands.encryption_keys import LockKeyOption, PassphraseOption, part_of, read_description, unlocking
from flows.commands.terminal import JsonOption, QuietOption, bar, console, write_json

JobArgument = Annotated[
    Path, typer.Argument(help="The job's description (JSON), which names its contributors.", show_default=False)
]
FolderOption = Annotated[Path, typer.Option("--folder", help="The job's folder; made if need be.", show_default=False)]


def open_(
    job: JobArgument,
    keys: Annotated[Path, typer.Option("--keys", help="The folder of your keys.", show_default=False)],
    folder: FolderOption,
    passphrase_file: PassphraseOption = None,
    key: LockKeyOption = None,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Owner: open a job for contributors, who each bring their part with [bold]contribute[/].

    For jobs on what several hospitals have: [bold]statistics[/] and [bold]aggregation[/]. Hand the description and the
    folder `auditor` of your keys to each of them, the opened folder and `evaluator` to whoever computes. Ciphertexts of
    contributors go to the evaluator and not to you, who could decrypt them one by one; you decrypt the answer, which is
    of all together.

    Example: [bold]secured he open job.json --keys keys --folder exchange[/]
    """
    from tasks.encryption import owner_side
    from tasks.encryption.session import Role

    place = part_of(keys, Role.OWNER)
    assignment, _ = owner_side.describe(read_description(job), place)
    owner_side.open_for_contributors(folder, assignment, place, unlocking(passphrase_file, key))
    names = assignment.job.get("contributors", ["owner"])
    write_json(json, {"folder": str(folder), "keys": assignment.keys, "contributors": names})
    if not quiet:
        console.print(f"opened {escape(str(folder))} for {escape(', '.join(names))}", soft_wrap=True)


def contribute(
    job: JobArgument,
    data: Annotated[
        Path,
        typer.Argument(
            help="Your table (CSV, Parquet) with the columns that the job names; or an array (.npy).",
            show_default=False,
        ),
    ],
    name: Annotated[str, typer.Option("--as", help="Who you are among the contributors.", show_default=False)],
    keys: Annotated[
        Path, typer.Option("--keys", help="The owner's public key: the folder `auditor`.", show_default=False)
    ],
    folder: FolderOption,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Contributor: encrypt your part of the data of a job, with the owner's public key.

    No passphrase is needed, and nothing can be decrypted with that key. Take the description from the owner, not from
    the evaluator. A second time replaces what you brought before. Exit code 10, 11 or 24 if the data do not fit the
    job; 15 if the keys are expired.

    An update of a model is an array of its numbers and, at the end, its weight, such as how many rows it was trained
    on.

    Example: [bold]secured he contribute job.json patients.csv --as north --keys auditor --folder exchange[/]
    """
    from tasks.encryption import contributors_side, plaintexts
    from tasks.encryption.session import Role

    place = part_of(keys, Role.AUDITOR)
    assignment, task = contributors_side.describe(read_description(job), place, name)
    values = plaintexts.read_for(task, data)
    with bar(quiet) as progress:
        progress.say("encrypting")
        record = contributors_side.contribute(folder, assignment, place, name, values)
    write_json(json, {"folder": str(folder), "bytes": record.bytes, **record.model_dump(mode="json")})
    if not quiet:
        where = f"contributed/{name}"
        console.print(
            f"encrypted: {len(record.messages):,} ciphertexts, {record.bytes / 1e6:,.1f} MB, for the evaluator, in "
            f"{escape(where)} ({record.seconds:,.1f} s)",
            soft_wrap=True,
        )
