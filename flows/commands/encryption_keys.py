"""`secured he keys`: keys by role, and what opens the secret one."""

from __future__ import annotations

import datetime
import json as json_format
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table as Grid

from flows.commands.terminal import JsonOption, QuietOption, bar, console, write_json
from tasks.common import key_file
from tasks.common.errors import InputError

if TYPE_CHECKING:
    from tasks.encryption.job import Needs
    from tasks.encryption.keys import Lock, Manifest
    from tasks.encryption.session import Role

app = typer.Typer(
    no_args_is_help=True,
    help=(
        "Make keys for one job, look at them, replace them.\n\n"
        "A folder of keys has a part for each role. [bold]owner[/] stays with whoever owns the data: it has the secret "
        "key, locked. [bold]evaluator[/] is handed to whoever computes and cannot decrypt: the public key, and the "
        "rotations and products that the job needs. [bold]auditor[/] has the public key alone."
    ),
)

PassphraseOption = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        help="A file with the passphrase in its first line, which only you can read (chmod 600). Without it and "
        "without --key you are asked.",
        show_default=False,
    ),
]
LockKeyOption = Annotated[
    Path | None,
    typer.Option(
        "--key", "-k", help="Your key file in place of a passphrase; `secured key new` makes one.", show_default=False
    ),
]
ExpiresOption = Annotated[
    datetime.datetime | None,
    typer.Option(formats=["%Y-%m-%d"], help="The last day on which the keys can be used.", show_default=False),
]


@app.command("make")
def make(
    folder: Annotated[Path, typer.Argument(help="A new folder for the keys.", show_default=False)],
    job: Annotated[Path | None, typer.Option(help="The job's description (JSON).", show_default=False)] = None,
    parameters: Annotated[
        Path | None,
        typer.Option(help="Or what the keys are for: JSON with parameters, rotations, products.", show_default=False),
    ] = None,
    expires: ExpiresOption = None,
    passphrase_file: PassphraseOption = None,
    key: LockKeyOption = None,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Make the keys that a job needs, and no others: its parameters, its rotations, products only if it has any.

    Give the folder `evaluator` to whoever computes; keep `owner` and its passphrase, and a copy of both: without them
    no answer can be read. Nothing is overwritten. Exit code 14 if the parameters would be insecure.

    Example: [bold]secured he keys make keys --job job.json --expires 2027-12-31[/]
    """
    from tasks.encryption import keys

    needs = _needs(job, parameters)
    lock = unlocking(passphrase_file, key, new=True)
    with bar(quiet) as progress:
        progress.say("making keys")
        manifest = keys.make(
            folder, needs.parameters, lock, rotations=needs.rotations, products=needs.products, expires=_day(expires)
        )
    _tell(folder, manifest, json, quiet)


@app.command("show")
def show(
    folder: Annotated[Path, typer.Argument(help="A folder of keys, or one role's part.", show_default=False)],
    json: JsonOption = None,
) -> None:
    """Say what keys are for, whose, until when, and how much room they take. Needs no passphrase.

    Expired keys are shown too. Exit code 10 if there are no keys.

    Example: [bold]secured he keys show keys[/]
    """
    found = _manifests(folder)
    sizes = {role: sum(p.stat().st_size for p in part_of(folder, role).iterdir()) for role in found}
    shown = {str(role): {**m.model_dump(mode="json"), "bytes": sizes[role]} for role, m in found.items()}
    write_json(json, {"keys": str(folder), "roles": shown})
    console.print(_grid(next(iter(found.values()))))
    for role in found:
        console.print(f"{role:<10} {sizes[role] / 1e6:,.1f} MB")


@app.command("renew")
def renew(
    old: Annotated[Path, typer.Argument(help="The folder of the keys that are replaced.", show_default=False)],
    folder: Annotated[Path, typer.Argument(help="A new folder for their successors.", show_default=False)],
    expires: ExpiresOption = None,
    passphrase_file: PassphraseOption = None,
    key: LockKeyOption = None,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Make new keys for the same job, which name those that they replace. The old ones have to open, and stay.

    Ciphertexts stay under the keys that they were made with: decrypt what is under way with the old keys, then encrypt
    again with the new ones.

    Example: [bold]secured he keys renew keys keys-2028 --expires 2028-12-31[/]
    """
    from tasks.encryption import keys
    from tasks.encryption.session import Role

    lock = unlocking(passphrase_file, key)
    with bar(quiet) as progress:
        progress.say("making keys")
        manifest = keys.renew(part_of(old, Role.OWNER), folder, lock, _day(expires))
    _tell(folder, manifest, json, quiet)


def unlocking(passphrase_file: Path | None, key: Path | None, *, new: bool = False) -> Lock:
    """What opens the secret key: of a file, or asked without echo. new: asked twice.

    Raises:
        InputError: both are given; none is, and nobody can be asked; or a file is readable by others.
    """
    from tasks.encryption.passphrase import read_passphrase

    if passphrase_file is not None and key is not None:
        raise InputError("--passphrase-file and --key: one of them opens the secret key, not both")
    if passphrase_file is not None:
        return read_passphrase(passphrase_file)
    if key is not None:
        return key_file.read(key)
    if not sys.stdin.isatty():
        raise InputError("the secret key is locked: give --passphrase-file or --key where nobody can be asked")
    return str(typer.prompt("Passphrase", hide_input=True, confirmation_prompt=new, err=True))


def part_of(folder: Path, role: Role) -> Path:
    """A role's part of a folder of keys; the folder itself where it is such a part."""
    inside = folder / role
    return inside if inside.is_dir() else folder


def _manifests(folder: Path) -> dict[Role, Manifest]:
    """What each part of a folder of keys says of itself, or the one part that the folder is."""
    from tasks.encryption import keys
    from tasks.encryption.session import Role

    found, refused = {}, InputError(f"there are no keys at {folder}; `secured he keys make` makes some")
    for role in Role:
        try:
            found[role] = keys.read_manifest(part_of(folder, role), role, expired=True)
        except InputError as error:
            refused = error
    if not found:
        raise refused
    return found


def _needs(job: Path | None, parameters: Path | None) -> Needs:
    from pydantic import ValidationError

    from tasks.encryption.job import Needs

    if (job is None) == (parameters is None):
        raise InputError("say what the keys are for: --job, or else --parameters")
    if job is not None:
        from tasks.encryption.jobs import kinds

        return kinds.read(read_description(job)).needs()
    assert parameters is not None, "one of them is given"
    try:
        return Needs.model_validate(read_description(parameters))
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, each["loc"])) for each in error.errors())
        raise InputError(
            f"{parameters}: {wrong} cannot be read; it is JSON with parameters, rotations, products"
        ) from None


def read_description(path: Path) -> dict[str, Any]:
    """A JSON file with names in it.

    Raises:
        InputError: it is missing, or something else.
    """
    try:
        found = json_format.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"there is no description at {path}") from None
    except ValueError:
        raise InputError(f"{path} is no JSON") from None
    if not isinstance(found, dict):
        raise InputError(f"{path} is JSON, but describes nothing")
    return found


def _day(moment: datetime.datetime | None) -> datetime.date | None:
    return moment.date() if moment else None


def _tell(folder: Path, manifest: Manifest, json: Path | None, quiet: bool) -> None:
    write_json(json, {"keys": str(folder), **manifest.model_dump(mode="json")})
    if not quiet:
        console.print(f"wrote {escape(str(folder))}, fingerprint {manifest.fingerprint}", soft_wrap=True)
        console.print(_grid(manifest))
        console.print(f"[dim]hand over {escape(str(folder / 'evaluator'))}; keep the rest[/]", soft_wrap=True)


def _grid(manifest: Manifest) -> Grid:
    parameters = manifest.parameters
    grid = Grid.grid(padding=(0, 2))
    rows = {
        "fingerprint": manifest.fingerprint,
        "scheme": f"{parameters.scheme.upper()}, degree {parameters.degree:,}, {parameters.slots:,} slots",
        "modulus": f"{sum(parameters.moduli_bits)} bits, {parameters.levels} levels",
        "security": f"{parameters.security} bits",
        "rotations": f"{len(manifest.rotations)}",
        "products": "yes" if manifest.products else "no",
        "made": str(manifest.made),
        "valid until": str(manifest.expires or "no end"),
        **({"replaces": manifest.replaces} if manifest.replaces else {}),
    }
    for name, value in rows.items():
        grid.add_row(f"[dim]{name}[/]", value)
    return grid
