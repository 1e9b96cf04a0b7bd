"""`secured dicom`: headers of medical images without what identifies a patient."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table as Grid

from flows.commands.keys import KeyOption
from flows.commands.terminal import JsonOption, QuietOption, bar, console, progress_console, write_json
from tasks.common import key_file
from tasks.common.errors import InputError, TableError

if TYPE_CHECKING:
    from tasks.anonymization.dicom import Method
    from tasks.anonymization.dicom_files import Account

_NAMED_FILES = 20


ProfileOption = Annotated[
    list[str] | None,
    typer.Option(
        help="An option of the profile, may be repeated: clean-descriptors, shift-dates, retain-patient, "
        "retain-device, retain-uids, retain-institution.",
        show_default=False,
    ),
]
ProjectOption = Annotated[
    str, typer.Option(help="The name of the policy whose tables are to be joined with the images.")
]
PersonOption = Annotated[str, typer.Option(help="The column of such tables whose pseudonyms are patient IDs.")]
DaysOption = Annotated[int, typer.Option(min=1, max=3650, help="With shift-dates: the largest offset in days.")]
WeekdayOption = Annotated[bool, typer.Option(help="With shift-dates: offsets are whole weeks.")]
ReviewedOption = Annotated[
    str | None,
    typer.Option(help="Take files that may have text in their pixels, and why; recorded.", show_default=False),
]


def dicom(
    folder: Annotated[Path, typer.Argument(help="A folder of DICOM files.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="A new folder for the results.", show_default=False)],
    key: KeyOption,
    profile: ProfileOption = None,
    project: ProjectOption = "dicom",
    person: PersonOption = "PatientID",
    shift_days: DaysOption = 364,
    keep_weekday: WeekdayOption = True,
    pixels_reviewed: ReviewedOption = None,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """De-identify the headers of DICOM files by the standard's Basic Application Level Confidentiality Profile (PS3.15,
    Annex E). Pixels are not changed.

    Patient IDs become keyed pseudonyms and UIDs are replaced, the same for the same, so studies stay together; names,
    numbers, dates, free text, private attributes, overlays and icons go. Ultrasound, screen captures and other images
    that may have names in their pixels are refused until somebody looked at them. Files keep no old name; refused ones
    are listed with reasons, the others are written, and the exit code is then 11. Faces in head scans stay.

    The results are pseudonymous, and so personal data, as long as the key exists.

    Example: [bold]secured dicom scans --out shared-scans --key study.key --profile shift-dates[/]
    """
    from tasks.anonymization import dicom_files

    method = _method(key, profile or [], project, person, shift_days, keep_weekday)
    if pixels_reviewed is not None and not pixels_reviewed.strip():
        raise InputError("--pixels-reviewed: say who looked at the pixels, or why there is no text in them")
    with bar(quiet) as progress:
        progress.say("de-identifying")
        account, refused = dicom_files.deidentify_folder(folder, out, method, pixels_reviewed, progress.at)
    write_json(json, {"out": str(out), **account.model_dump(mode="json")})
    if not quiet:
        _show(account, out)
    if refused:
        _show_refused(refused, folder)
        rest = "the others were written" if account.written else "nothing was written"
        raise TableError(f"{len(refused)} of {account.files} files were refused for the reasons above; {rest}")


def _method(key: Path, profile: list[str], project: str, person: str, days: int, keep_weekday: bool) -> Method:
    from tasks.anonymization.dicom import Method
    from tasks.anonymization.dicom_profile import Option
    from tasks.common.transformation_forms import Shift

    known = [option.value for option in Option]
    if unknown := [name for name in profile if name not in known]:
        raise InputError(f"--profile {unknown[0]}: there is no such option; known are {', '.join(known)}")
    if keep_weekday and days < 7:
        raise InputError("--shift-days: whole weeks need 7 or more; add --no-keep-weekday for less")
    options = frozenset(Option(name) for name in profile)
    return Method(key_file.read(key), project, person, options, Shift(days=days, keep_weekday=keep_weekday))


def _show(account: Account, out: Path) -> None:
    console.print(
        f"wrote {account.written:,} of {account.files:,} files to {escape(str(out))}: {account.patients:,} patients, "
        f"{account.studies:,} studies, {account.series:,} series, by {account.standard}",
        soft_wrap=True,
    )
    grid = Grid(box=None, header_style="dim")
    grid.add_column("attributes")
    grid.add_column("", justify="right")
    for action, count in account.attributes.items():
        grid.add_row(action, f"{count:,}")
    console.print(grid)


def _show_refused(refused: dict[Path, str], folder: Path) -> None:
    for place, reason in list(refused.items())[:_NAMED_FILES]:
        progress_console.print(f"refused {escape(str(place.relative_to(folder)))}: {escape(reason)}", soft_wrap=True)
    if len(refused) > _NAMED_FILES:
        progress_console.print(f"and {len(refused) - _NAMED_FILES} more; --json lists all by their SHA-256")
