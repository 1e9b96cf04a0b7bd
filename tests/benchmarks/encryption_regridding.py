"""Regridding on encrypted voxels of MNI152: deformation beside the naive way, zoom, workers, and a whole operation.

Rates are voxels of the result for each second that the evaluator's process computed (CPU time of one thread), so that a
shared machine does not count; wall clock and load are said beside them. Fields are cubic B-splines with 32 voxels
between control points, scaled to 8 voxels along each axis.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client, LocalCluster
from scipy import ndimage

from tasks.encryption import approximate, envelope, keys
from tasks.encryption.approximate import Approximate
from tasks.encryption.job import Needs
from tasks.encryption.parameters import Parameters, Scheme
from tasks.encryption.regridding import budget, passes, stages
from tasks.encryption.regridding.blocks import Blocks, Index3
from tasks.encryption.regridding.zoom import Enlarge
from tasks.encryption.session import Session
from tasks.imaging import shift, steps, volumes
from tasks.imaging.hospital import Hospital
from tasks.imaging.operation import ANSWER, Account, Frame
from tasks.imaging.record import Planned
from tests.benchmarks import results
from tests.shared_data import FOLDER

PACKAGES = ("Pyfhel", "numpy", "SimpleITK", "nibabel")
BOUND, SIDE = 8.0, 64
_BETWEEN = 32.0
_CORNER = (66, 80, 60)  # of the region in MNI152, in voxels
_TIMES = 3
_TARGET_ERROR = 0.01
_NAIVE = Parameters(scheme=Scheme.CKKS, degree=8192, moduli_bits=(60, 60), scale_bits=32)
_NAIVE_SLICES = 8
_PASSPHRASE = "keys of a benchmark"  # noqa: S105 - they live as long as it does


def main() -> None:
    """Measure and record."""
    volume = region()
    field = bspline(volume.shape, 1)
    text = [f"Load while this ran: {os.getloadavg()[0]:.1f} to", deformations(volume, field), zooms(volume)]
    text += [workers(volume), operation()]
    text[0] += f" {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} cores."
    results.record("Encryption: regridding", "\n\n".join(text), PACKAGES)


def region() -> np.ndarray:
    """A cube of MNI152 in [0, 1]."""
    whole = volumes.read(FOLDER / "mri_mni152_t1_1mm.nii.gz")
    return volumes.scaled(whole.cut(_CORNER, (SIDE, SIDE, SIDE)))[0].voxels.astype(np.float64)


def bspline(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """A field that displaces by 8 voxels along each axis."""
    rng = np.random.default_rng(seed)
    bases = [shift._basis(n, _BETWEEN) for n in shape]
    weights = rng.uniform(-1, 1, (3, *(basis.shape[1] for basis in bases)))
    field = np.stack([np.einsum("xa,yb,zc,abc->xyz", *bases, part, optimize=True) for part in weights])
    return (BOUND * field / np.abs(field).max((1, 2, 3), keepdims=True)).astype(np.float32)


def deformations(volume: np.ndarray, field: np.ndarray) -> str:
    """Ours and the naive way on the same field, in turn."""
    ours, naive = Deformation(volume, field), Naive(volume, field)
    measured = [(ours.measure(), naive.measure(shared=False), naive.measure(shared=True)) for _ in range(_TIMES)]
    best, other, sharing = (max(column) for column in zip(*measured, strict=True))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    rows = [
        ("by blocks, three passes", f"{best:,.0f}", f"{best / other:.1f} x naive", ours.shifts()),
        (f"naive: slices, rotations and masks ({_NAIVE_SLICES} slices)", f"{other:,.0f}", "", naive.shifts()),
        ("the same, where slices share rotations", f"{sharing:,.0f}", f"{sharing / other:.1f} x naive", naive.shifts()),
    ]
    table = results.table(("B-spline, up to 8 voxels", "voxels/s/core", "ratio", "products a ciphertext"), rows)
    return (
        f"{table}\n\n{ours.errors()} Naive, against the same: {naive.error():.1e}. {memory:.1f} GiB at most, both "
        "sides in one process."
    )


class Deformation:
    """Ours: planes are loaded and rotated for the first pass beforehand, as in an operation."""

    def __init__(self, volume: np.ndarray, field: np.ndarray) -> None:
        self.volume, self.field = volume, field
        self.blocks = Blocks.over((SIDE, SIDE, SIDE), 4096, BOUND)
        self.owner, self.evaluator = opened(budget.needs(budget.RESAMPLING, self.blocks, BOUND, sums=False))
        packed = self.blocks.pack(volume)
        sent = {o: handed(self.evaluator, approximate.encrypt(self.owner, packed[o], bound=1.0)) for o in self.offsets}
        places = range(self.blocks.block[0])
        self.planes = [stages.Plane(sent, self.blocks, budget.RESAMPLING, place) for place in places]
        self.made: dict[Index3, Approximate] = {}
        self.measure()  # the rotations of the first pass are kept from here on

    @property
    def offsets(self) -> list[Index3]:
        """Of all ciphertexts."""
        return list(self.blocks.offsets())

    def measure(self) -> float:
        """Voxels a second of CPU time, from the field to ciphertexts."""
        start = time.process_time()
        self.split = passes.split(self.field, self.blocks.shape, BOUND)
        packed, between = stages.Packed.of(self.split, self.blocks), {}
        for plane in self.planes:
            between |= plane.resampled(packed)
        gain = np.ones((*self.blocks.block, self.blocks.slots))
        lines = stages.lines_of(self.blocks)
        self.made = stages.last_pass(between, lines, packed, gain, self.blocks, budget.RESAMPLING)
        return SIDE**3 / (time.process_time() - start)

    def shifts(self) -> str:
        """Products for each ciphertext of the result, in all passes."""
        moved = [self.blocks.pack_field(part) for part in self.split.displacements]
        counts = [[np.ptp(np.floor(part[o])) + 2 for o in self.offsets] for part in moved]
        return f"{sum(float(np.mean(part)) for part in counts):.0f}"

    def errors(self) -> str:
        """Against trilinear interpolation, and of encryption alone."""
        packed = np.zeros((*self.blocks.block, self.blocks.slots))
        for offset, ciphertext in self.made.items():
            packed[offset] = approximate.decrypt(handed(self.owner, ciphertext))
        found, inside = self.blocks.unpack(packed), self.split.inside
        linear, cubic = in_space(self.volume, self.field), in_space(self.volume, self.field, order=3)
        whole, linearly = np.abs(found - linear)[inside], np.abs(linear - cubic)[inside]
        alone = np.abs(found - passes.apply(self.volume, self.split))[inside]
        stated = max(ciphertext.error for ciphertext in self.made.values())
        within = f"{100 * (whole < _TARGET_ERROR).mean():.1f} % of voxels are within {percent(_TARGET_ERROR)}"
        return (
            f"Error of the range, over the {100 * inside.mean():.0f} % of voxels that come from the region, against "
            f"trilinear interpolation of the same field: {spread(whole)}; {within}. Trilinear interpolation itself is "
            f"off from a cubic one by {spread(linearly)}. By encryption alone: RMS {alone.std():.1e}, largest "
            f"{alone.max():.1e}; at most {stated:.1e} was stated."
        )


class Naive:
    """A slice a ciphertext. Each shift in space that occurs in a slice is a rotation and a mask of weights."""

    def __init__(self, volume: np.ndarray, field: np.ndarray) -> None:
        self.volume, self.field = volume, field
        middle = SIDE // 2
        self.places = range(middle - _NAIVE_SLICES // 2, middle + _NAIVE_SLICES - _NAIVE_SLICES // 2)
        self.masks = {place: self._masks(place) for place in self.places}
        steps_needed = {s for masks in self.masks.values() for _, s in masks if s}
        self.owner, self.evaluator = opened(Needs(parameters=_NAIVE, rotations=tuple(sorted(steps_needed))))
        needed = {source for masks in self.masks.values() for source, _ in masks}
        self.slices = {
            place: handed(self.evaluator, approximate.encrypt(self.owner, volume[place].ravel(), bound=1.0))
            for place in needed
        }
        self.made: dict[int, Approximate] = {}

    def measure(self, *, shared: bool) -> float:
        """Voxels a second of CPU time, making masks included. shared: whether slices share what was rotated."""
        start, rotated = time.process_time(), {}
        for place in self.places:
            rotated = rotated if shared else {}
            masks = self._masks(place)
            for source, turn in masks:
                if (source, turn) not in rotated:
                    own = self.slices[source]
                    rotated[source, turn] = own.rotate(turn) if turn else own
            self.made[place] = approximate.blend(
                [rotated[key] for key in masks], np.stack(list(masks.values())), 2.0**26
            )
        return SIDE**2 * len(self.places) / (time.process_time() - start)

    def shifts(self) -> str:
        """Products for each ciphertext of the result."""
        return f"{np.mean([len(masks) for masks in self.masks.values()]):.0f}"

    def error(self) -> float:
        """The largest, against trilinear interpolation."""
        wanted = in_space(self.volume, self.field)
        found = {place: approximate.decrypt(handed(self.owner, made)) for place, made in self.made.items()}
        return max(float(np.abs(values - wanted[place].ravel()).max()) for place, values in found.items())

    def _masks(self, place: int) -> dict[tuple[int, int], np.ndarray]:
        """Weights by source slice and rotation: those of the eight corners of each voxel's source."""
        top = SIDE - 1
        source = np.clip(np.indices((SIDE, SIDE, SIDE))[:, place] + self.field[:, place], 0, top)
        low = np.minimum(np.floor(source).astype(int), top - 1)
        share, slots = source - low, np.arange(SIDE**2)
        codes, weights = [], []
        for corner in itertools.product((0, 1), repeat=3):
            x, y, z = (low + np.reshape(corner, (3, 1, 1))).reshape(3, -1)
            codes.append(x * 4 * SIDE**2 + y * SIDE + z - slots + 2 * SIDE**2)
            weights.append(np.prod([s if c else 1 - s for c, s in zip(corner, share, strict=True)], axis=0).ravel())
        keys_found, which = np.unique(np.stack(codes), return_inverse=True)
        masks = np.zeros((len(keys_found), SIDE**2))
        np.add.at(masks, (which.reshape(8, -1), slots), np.stack(weights))
        used = masks.any(1)
        pairs = [(int(key // (4 * SIDE**2)), int(key % (4 * SIDE**2) - 2 * SIDE**2)) for key in keys_found[used]]
        return dict(zip(pairs, masks[used], strict=True))


def zooms(volume: np.ndarray) -> str:
    """Twice as fine along every axis: slices, and blocks."""
    rows = []
    for name, blocks in (
        ("one slice a ciphertext", Blocks(shape=(SIDE, SIDE, SIDE), grid=(1, SIDE, SIDE), block=(SIDE, 1, 1))),
        ("by blocks", Blocks(shape=(SIDE, SIDE, SIDE), grid=(16, 16, 16), block=(4, 4, 4))),
    ):
        job = Enlarge(blocks=blocks, factors=(2, 2, 2))
        owner, evaluator = opened(job.needs())
        sent = {key: handed(evaluator, value) for key, value in job.encrypt(owner, volume).items()}
        seconds, made = best_of(lambda job=job, evaluator=evaluator, sent=sent: job.evaluate(evaluator, sent))
        found = job.decrypt(owner, {key: handed(owner, value) for key, value in made.items()})
        error = np.abs(found - job.plainly(volume)).max()
        rows.append((name, f"{found.size / seconds / 1e6:.1f}", f"{error:.1e}"))
    return results.table(("zoom x2 along each axis", "M voxels/s/core", "largest error"), rows)


def workers(volume: np.ndarray) -> str:
    """One Dask worker and two, in turn, on the frames of an operation."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        hospital = begun(volume, folder)
        seconds: dict[int, list[float]] = {1: [], 2: []}
        busiest: dict[int, list[float]] = {1: [], 2: []}
        number = 0
        for _ in range(2):
            for count in seconds:
                with LocalCluster(
                    n_workers=count, threads_per_worker=1, dashboard_address=None, local_directory=name
                ) as cluster, Client(cluster) as client:  # fmt: skip
                    for repeat in range(_TIMES):
                        frame = arrived(hospital, number := number + 1)
                        start = time.perf_counter()
                        assert steps._answer(
                            client, sorted(client.scheduler_info()["workers"]), folder / "cluster", frame
                        )
                        if repeat:
                            seconds[count].append(time.perf_counter() - start)
                            busiest[count].append(longest_path(frame))
        rows = []
        for count, name in ((1, "one"), (2, "two")):
            wall, path = min(seconds[count]), min(busiest[count])
            gains = (min(seconds[1]) / wall, min(busiest[1]) / path)
            rows.append((name, f"{wall:.2f}", f"{gains[0]:.2f}", f"{path:.2f}", f"{gains[1]:.2f}"))
    head = (
        "Dask workers, 8 voxels, fused and compared too",
        "seconds a field",
        "x one",
        "CPU s of the longest path",
        "x one",
    )
    return results.table(head, rows)


def longest_path(frame: Frame) -> float:
    """CPU seconds from a field to its answer if no other process wanted a core: taking it up and the busiest worker."""
    account = Account.model_validate(json.loads((frame.folder / ANSWER / "account.json").read_text()))
    first, *others = account.parts
    busy = [sum(p.cpu_seconds for p in others if p.process == process) for process in {p.process for p in others}]
    return first.cpu_seconds + max(busy)


def begun(volume: np.ndarray, folder: Path) -> Hospital:
    """A hospital whose cluster folder is ready."""
    for part in ("hospital", "cluster"):
        (folder / part).mkdir()
    volumes.write(volumes.Volume(volume.astype(np.float32), np.eye(4)), folder / "v.nii.gz")
    hospital = Hospital(
        Planned(
            volume=folder / "v.nii.gz", reference=None, shared=folder / "cluster", private=folder / "hospital",
            cache=folder, centre_mm=None, size=(SIDE, SIDE, SIDE), most_mm=BOUND, bound_mm=BOUND, frames=1, period=1,
            deadline=1, share=0.3, seed=1,
        )
    )  # fmt: skip
    hospital.begin()
    return hospital


def arrived(hospital: Hospital, number: int) -> Frame:
    """A field of 8 voxels along each axis, as it comes to the cluster."""
    frame = Frame.at(hospital.planned.shared, number)
    frame.folder.mkdir()
    field = bspline((SIDE, SIDE, SIDE), 1)
    image, seen = shift.ultrasound(in_space(hospital.region.voxels, field), np.random.default_rng(1))
    for name, array in (("field", field), ("ultrasound", image), ("seen", seen)):
        np.save(frame.folder / f"{name}.npy", array)
    return frame


def operation(frames: int = 50, period: float = 5.0) -> str:
    """A whole operation on Colin27, registered to MNI152, with 20 mm of shift."""
    with tempfile.TemporaryDirectory() as name:
        out, made = Path(name) / "operation", Path(name) / "record.json"
        arguments = [
            "run", "neurosurgery", str(FOLDER / "mri_colin27_t1_brain_1mm.nii.gz"), "--reference",
            str(FOLDER / "mri_mni152_t1_1mm.nii.gz"), "--out", str(out), "--frames", str(frames),
            "--period", str(period), "--deadline", str(period), "--json", str(made), "--quiet",
        ]  # fmt: skip
        subprocess.run([sys.executable, "-m", "flows.cli", *arguments], check=True, stdout=subprocess.DEVNULL)
        record: dict[str, Any] = json.loads(made.read_text())
    from tasks.imaging import report
    from tasks.imaging.record import Record

    found = Record.model_validate(record)
    middle, worst = report.medians(found.answered), report.worst(found.answered)
    moved = (found.volume_bytes + found.keys_bytes, found.frame_bytes, middle["answer_bytes"])
    rows = [
        ("fields, and share missed", f"{len(found.seen)}, {percent(found.missed)}"),
        ("seconds to a picture, median", f"{middle['seconds']:.2f}"),
        ("of the cluster; decrypting", f"{middle['cluster_seconds']:.2f}; {middle['decrypt_seconds']:.2f}"),
        ("voxels/s/core, deformed, fused and compared", f"{found.voxels_per_core_second:,.0f}"),
        ("RMS, 99th percentile, largest error",
         ", ".join(percent(worst[f"whole.{name}"]) for name in ("rms", "p99", "largest"))),
        ("largest by encryption; stated", f"{worst['encryption.largest']:.1e}; {found.stated_error:.1e}"),
        ("correlation, from plaintext's", f"{worst['correlation']:.1e}"),
        ("MB before; each field; each answer", "; ".join(f"{size / 1e6:.1f}" for size in moved)),
        ("GB of all workers", f"{max(each.memory for each in found.answered) / 1e9:.2f}"),
        ("load", f"{found.load:.1f}"),
    ]  # fmt: skip
    plan = report.planned(found)
    assert plan is not None
    return (
        results.table((f"operation, {SIDE}³ voxels, up to 20 mm, deadline {period:g} s", ""), rows)
        + f"\n\n256 x 256 x 192 at 1 Hz: {plan.cores:,} cores that always compute, {plan.kept_bytes / 1e9:.1f} GB over "
        f"all workers, {plan.answer_bytes / 1e9:.2f} GB a frame; the stages have {plan.parts} parts."
    )


def opened(needs: Needs) -> tuple[Session, Session]:
    """An owner's and an evaluator's session."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "keys"
        keys.make(folder, needs.parameters, _PASSPHRASE, rotations=needs.rotations, products=needs.products)
        return keys.open_owner(folder / "owner", _PASSPHRASE), keys.open_evaluator(folder / "evaluator")


def handed(session: Session, ciphertext: Any) -> Any:
    """A ciphertext in another session, by way of its envelope."""
    return envelope.unpack(session, envelope.pack(ciphertext))


def in_space(volume: np.ndarray, field: np.ndarray, order: int = 1) -> np.ndarray:
    """Interpolation by splines of an order, 1 for trilinear; beyond the faces the last voxel counts."""
    places = [np.clip(p + f, 0, n - 1) for p, f, n in zip(np.indices(volume.shape), field, volume.shape, strict=True)]
    return ndimage.map_coordinates(volume, places, order=order)


def best_of(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of the fastest, and what it made."""
    found = []
    for _ in range(_TIMES):
        start = time.process_time()
        made = work()
        found.append((time.process_time() - start, made))
    return min(found, key=lambda pair: pair[0])


def spread(errors: np.ndarray) -> str:
    """How errors are spread, in words."""
    shares = np.sqrt((errors**2).mean()), np.percentile(errors, 99), errors.max()
    return "RMS {}, 99th percentile {}, largest {}".format(*map(percent, shares))


def percent(share: float) -> str:
    """Two digits."""
    return f"{100 * share:.2g} %"
