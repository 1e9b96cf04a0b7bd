"""`secured run neurosurgery`: image-guided surgery on an encrypted volume."""

from __future__ import annotations

import importlib.util
import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from flows.commands.terminal import JsonOption, QuietOption, console, progress_console, write_json
from tasks.common import processes, settings
from tasks.common.errors import InputError, MissingPart
from tasks.common.folders import require_new

if TYPE_CHECKING:
    from tasks.imaging.record import Planned, Record

_LEAST_SIZE = 16


def neurosurgery(
    volume: Annotated[Path, typer.Argument(help="The volume: NIfTI, or a DICOM series in a folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A new folder for both sides.", show_default=False)],
    reference: Annotated[
        Path | None, typer.Option(help="Register it to this volume first.", show_default=False)
    ] = None,
    centre: Annotated[
        str, typer.Option(help="Centre of the region, `x,y,z` in mm (RAS+); empty: of what is bright.")
    ] = "",
    size: Annotated[str, typer.Option(help="Size of the region, `x,y,z` in voxels.")] = "64,64,64",
    shift: Annotated[float, typer.Option(help="How far the simulated brain shifts, in mm.")] = 20.0,
    bound: Annotated[float, typer.Option(help="The largest displacement that the keys allow, in mm.")] = 20.0,
    frames: Annotated[int, typer.Option(min=1, help="How many fields come.")] = 50,
    period: Annotated[float, typer.Option(min=0.0, help="Seconds between fields.")] = 5.0,
    deadline: Annotated[float, typer.Option(min=0.1, help="Seconds from a field to its picture.")] = 5.0,
    share: Annotated[float, typer.Option(min=0.0, max=0.9, help="Of ultrasound in the fused picture.")] = 0.3,
    seed: Annotated[int, typer.Option(help="Seed of the simulation.")] = 1,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Guide an operation: a cluster deforms an encrypted volume as a field asks, every few seconds.

    OUT/hospital belongs to the hospital: pictures, numbers and report. OUT/cluster is what the cluster has:
    ciphertexts, its keys, fields and ultrasound, which are simulated.

    Example: [bold]secured run neurosurgery colin27.nii.gz --reference mni152.nii.gz --out operation[/]
    """
    where = settings.load()
    where.ensure_writable()
    require_new(out)
    _require_parts()
    for path in (volume, *([reference] if reference else [])):
        if not path.exists():
            raise InputError(f"there is no volume at {path}")
    planned = _planned(
        volume=volume.absolute(), reference=reference.absolute() if reference else None, out=out.absolute(),
        cache=where.home / "registered", centre_mm=_three(centre, "--centre") if centre else None,
        size=tuple(round(n) for n in _three(size, "--size")), most_mm=shift, bound_mm=bound, frames=frames,
        period=period, deadline=deadline, share=share, seed=seed,
    )  # fmt: skip
    record = _run(planned, quiet=quiet)
    write_json(json, record.model_dump(mode="json"))
    _tell(planned, record)


def _require_parts() -> None:
    for name in ("Pyfhel", "nibabel", "SimpleITK"):
        if importlib.util.find_spec(name) is None:
            raise MissingPart(f"this needs {name}, which is not installed; install secured[encryption,imaging]")


def _planned(*, out: Path, **rest: object) -> Planned:
    from tasks.imaging.hospital import require_region
    from tasks.imaging.record import Planned

    size = rest["size"]
    assert isinstance(size, tuple)
    if min(size) < _LEAST_SIZE or any(n % 2 for n in size):
        raise InputError(f"--size {size}: every side needs an even number of voxels, {_LEAST_SIZE} at least")
    private, shared = out / "hospital", out / "cluster"
    planned = Planned.model_validate({**rest, "private": private, "shared": shared})
    require_region(planned)
    private.mkdir(parents=True, mode=0o700)
    shared.mkdir()
    (private / "planned.json").write_text(planned.model_dump_json(indent=2))
    return planned


def _run(planned: Planned, *, quiet: bool) -> Record:
    from flows import runtime

    where = settings.load()
    processes.end_orphans(where.processes)
    if not quiet and progress_console.is_terminal:
        progress_console.print("[dim]starting a Prefect server, Dask workers and the hospital's process[/]")
    with runtime.interruptible() as listen, runtime.prefect_server(where):
        from flows.neurosurgery import neurosurgery as whole_flow
        from tasks.imaging.record import Record

        def note(flow: Any, flow_run: Any, state: Any) -> None:  # noqa: ARG001 - the names of a Prefect hook
            listen()
            processes.note_children(where.processes)

        path = whole_flow.with_options(on_running=[note])(str(planned.private / "planned.json"))
        return Record.model_validate(json_module.loads(Path(path).read_text()))


def _three(text: str, option: str) -> tuple[float, float, float]:
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{option} {text!r}: three numbers are needed, as in 64,64,64") from None
    return x, y, z


def _tell(planned: Planned, record: Record) -> None:
    from tasks.imaging import hospital, report

    console.print(f"\n[bold]{escape(report.headline(record))}[/]")
    worst = report.worst(record.answered)
    console.print(
        f"{record.voxels_per_core_second:,.0f} voxels a second on each core; RMS error of the worst picture "
        f"{100 * worst['whole.rms']:.2f} %, by encryption {100 * worst['encryption.rms']:.4f} %"
    )
    console.print(f"\nreport   {escape(str(planned.private / hospital.REPORT))}", soft_wrap=True)
    console.print(f"cluster  {escape(str(planned.shared))}", soft_wrap=True)
