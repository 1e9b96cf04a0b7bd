"""What the cluster does in an operation: it deforms, fuses and compares volumes that it cannot see.

Each function runs in a worker process and finds everything in the shared folder. A worker opens the evaluator's keys
once and keeps the ciphertexts of its planes, so that a frame costs no more than its field asks for.
"""

from __future__ import annotations

import os
import resource
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, wraps
from pathlib import Path
from typing import ParamSpec, TypeAlias

import numpy as np

from tasks.common.errors import InputError
from tasks.common.values import Value
from tasks.encryption import envelope, keys
from tasks.encryption.approximate import Approximate
from tasks.encryption.regridding import budget, fusion, passes, stages
from tasks.encryption.regridding.blocks import Blocks, Index3, name_of, offset_of
from tasks.encryption.regridding.stages import Packed, Plane
from tasks.encryption.session import Session
from tasks.imaging import operation
from tasks.imaging.operation import ANSWER, SHRUNK, SMALL, SUMS, VOLUME, Account, Frame, Operation, Spent

P = ParamSpec("P")
# A plane after its passes, in envelopes by offset, and what that cost.
Resampled: TypeAlias = tuple[dict[str, bytes], Spent]
_WORK = "work"
_CIPHERTEXT = ".ct"


class Refusal(Value):
    """Why a frame was not answered."""

    reason: str


class Site:
    """An operation as a worker has it open."""

    def __init__(self, shared: Path) -> None:
        self.shared = shared
        self.operation: Operation = operation.read(shared)
        self.session = keys.open_evaluator(shared / "keys" / VOLUME)
        self._planes: dict[int, Plane] = {}
        self._small: tuple[Session, dict[Index3, Approximate]] | None = None

    def plane(self, place: int) -> Plane:
        """The ciphertexts of one offset along axis 0."""
        if place not in self._planes:
            own = [offset for offset in self.operation.blocks.offsets() if offset[0] == place]
            volume = _load(self.session, self.shared / VOLUME, own)
            self._planes[place] = Plane(volume, self.operation.blocks, budget.RESAMPLING, place)
        return self._planes[place]

    def small(self) -> dict[Index3, Approximate]:
        """The small volume, under keys of its own."""
        if self._small is None:
            session = keys.open_evaluator(self.shared / "keys" / SMALL)
            volume = _load(session, self.shared / SMALL, self.operation.small.offsets())
            self._small = session, volume
        return self._small[1]


@lru_cache(maxsize=1)
def opened(shared: Path) -> Site:
    """The site of a shared folder, kept for the frames to come."""
    return Site(shared)


def timed(function: Callable[P, None]) -> Callable[P, Spent]:
    """The same function, which says what it spent."""

    @wraps(function)
    def measured(*args: P.args, **kwargs: P.kwargs) -> Spent:
        start, cpu = time.perf_counter(), time.process_time()
        function(*args, **kwargs)
        return spent_since(start, cpu)

    return measured


def spent_since(start: float, cpu: float) -> Spent:
    """What this process spent since two readings of its clocks."""
    return Spent(
        seconds=time.perf_counter() - start, cpu_seconds=time.process_time() - cpu,
        memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, process=os.getpid(),
    )  # fmt: skip


def take_up(shared: Path, frame: Frame) -> None:
    """Check what came in and split the field into passes, packed for the workers.

    Raises:
        InputError: field or image are damaged, of another shape, not finite, or beyond the bound.
    """
    agreed = operation.read(shared)
    field, (image, seen) = frame.field(), frame.image()
    shape = agreed.blocks.shape
    if image.shape != shape or seen.shape != shape or not (np.isfinite(image).all() and abs(image).max() <= 1):
        raise InputError(f"the ultrasound image of frame {frame.number} is not one of {shape} voxels in [0, 1]")
    work = frame.folder / _WORK
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    _write_passes(work, VOLUME, passes.split(field, shape, agreed.bound), agreed.blocks)
    share = np.where(seen, agreed.share, 0.0)
    np.save(work / "gain.npy", agreed.blocks.pack(1 - share).astype(np.float32))
    np.save(work / "image.npy", agreed.blocks.pack(share * image).astype(np.float32))
    small = agreed.small.shape
    split = passes.split(shrunk(field) / SHRUNK, small, agreed.small_bound)
    counted = shrunk(seen.astype(float)) == 1
    _write_passes(work, SMALL, split, agreed.small)
    np.save(work / "counted.npy", agreed.small.pack(counted.astype(np.float32)))
    np.save(work / "small.npy", agreed.small.pack(np.where(counted & split.inside, shrunk(image), 0.0)))


def first_passes(shared: Path, frame: Frame, place: int) -> Resampled:
    """A plane after the passes along axes 2 and 1, in envelopes, for whichever worker makes the last pass."""
    start, cpu = time.perf_counter(), time.process_time()
    made = opened(shared).plane(place).resampled(_packed(frame, VOLUME))
    content = {name_of(offset): envelope.pack(ciphertext) for offset, ciphertext in made.items()}
    return content, spent_since(start, cpu)


@timed
def last_pass(shared: Path, frame: Frame, lines: list[tuple[int, int]], planes: list[Resampled]) -> None:
    """Lines of the answer: deformed, and fused with the image."""
    site, wanted = opened(shared), set(lines)
    volume = {
        offset: envelope.unpack(site.session, content)
        for plane, _ in planes
        for name, content in plane.items()
        if (offset := offset_of(name))[1:] in wanted
    }
    packed, gain = _packed(frame, VOLUME), np.load(frame.folder / _WORK / "gain.npy", mmap_mode="r")
    made = stages.last_pass(volume, lines, packed, gain, site.operation.blocks, budget.RESAMPLING)
    image = np.load(frame.folder / _WORK / "image.npy", mmap_mode="r")
    _save(fusion.fused(made, image, np.ones(image.shape[:3])), frame.folder / _WORK / ANSWER / VOLUME)


@timed
def compare(shared: Path, frame: Frame) -> None:
    """The sums that say how similar the small volume, deformed, is to the image."""
    site = opened(shared)
    work, blocks = frame.folder / _WORK, site.operation.small
    deformed = stages.deformed(
        site.small(), _packed(frame, SMALL), np.load(work / "counted.npy"), blocks, budget.COMPARING
    )
    sums = fusion.sums(deformed, np.load(work / "small.npy"))
    target = work / ANSWER / SUMS
    target.mkdir(parents=True, exist_ok=True)
    for name, ciphertext in sums.items():
        envelope.save(ciphertext, target / f"{name}{_CIPHERTEXT}")


def answer(frame: Frame, account: Account) -> None:
    """Hand over what all workers made."""
    work = frame.folder / _WORK
    operation.write_json(account, work / ANSWER / "account.json")
    (work / ANSWER).rename(frame.folder / ANSWER)
    shutil.rmtree(work)


def refuse(frame: Frame, reason: str) -> None:
    """Say why there is no answer."""
    shutil.rmtree(frame.folder / _WORK, ignore_errors=True)
    operation.write_json(Refusal(reason=reason), frame.folder / operation.REFUSED)


def shrunk(volume: np.ndarray) -> np.ndarray:
    """Means of SHRUNK³ voxels each over the last three axes."""
    x, y, z = (n // SHRUNK for n in volume.shape[-3:])
    parts = volume.reshape(*volume.shape[:-3], x, SHRUNK, y, SHRUNK, z, SHRUNK)
    return parts.mean((-5, -3, -1))


def _write_passes(work: Path, name: str, split: passes.Passes, blocks: Blocks) -> None:
    packed = Packed.of(split, blocks)
    np.save(work / f"{name}-passes.npy", packed.displacements.astype(np.float32))
    np.save(work / f"{name}-inside.npy", packed.inside)


def _packed(frame: Frame, name: str) -> Packed:
    work = frame.folder / _WORK
    load = (np.load(work / f"{name}-{part}.npy", mmap_mode="r") for part in ("passes", "inside"))
    return Packed(*load)


def _load(session: Session, folder: Path, offsets: Iterable[Index3]) -> dict[Index3, Approximate]:
    return {offset: envelope.load(session, folder / f"{name_of(offset)}{_CIPHERTEXT}") for offset in offsets}


def _save(made: Mapping[Index3, Approximate], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for offset, ciphertext in made.items():
        envelope.save(ciphertext, folder / f"{name_of(offset)}{_CIPHERTEXT}")
