"""`secured key`: the secret that pseudonyms, shifted dates and new UIDs are derived from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from flows.commands.terminal import JsonOption, QuietOption, console, write_json
from tasks.common import key_file

app = typer.Typer(
    no_args_is_help=True,
    help="Make and check the secret key that pseudonyms, shifted dates and new UIDs are derived from.",
)

KeyOption = Annotated[
    Path, typer.Option("--key", "-k", help="The owner's key file; `secured key new` makes one.", show_default=False)
]


@app.command("new")
def new(
    file: Annotated[Path, typer.Argument(help="Where to write it; nothing may be there.", show_default=False)],
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Make a key file that only you can read. Whoever has it can tell whose pseudonym is whose, so keep it with the
    original data, never with a release, and keep a copy: without it no later table can be joined to an earlier one.

    It cannot lie in SECURED_HOME. Only its fingerprint is ever shown or recorded.

    Example: [bold]secured key new ~/keys/study.key[/]
    """
    fingerprint = key_file.new(file).fingerprint
    write_json(json, {"key": str(file), "fingerprint": fingerprint})
    if not quiet:
        console.print(f"wrote {escape(str(file))}, fingerprint {fingerprint}", soft_wrap=True)


@app.command("fingerprint")
def fingerprint(
    file: Annotated[Path, typer.Argument(help="A key file.", show_default=False)], json: JsonOption = None
) -> None:
    """Print the fingerprint of a key, which accounts of releases name, and check that its file is private.

    Two releases with one fingerprint can be joined by their pseudonyms. Exit code 10 if others can read the file.

    Example: [bold]secured key fingerprint ~/keys/study.key[/]
    """
    found = key_file.read(file).fingerprint
    write_json(json, {"key": str(file), "fingerprint": found})
    typer.echo(found)
