"""The hospital's side of an operation, a process of its own: the only one that has a secret key or sees a voxel.

    python -m tasks.imaging.hospital PRIVATE/planned.json

It writes what the cluster may have into the shared folder, waits there for answers, and keeps pictures and numbers in
its private folder. Keys live as long as the operation; the passphrase that locks them is never written.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from tasks.common.errors import InputError, SecuredError
from tasks.common.seeds import generator
from tasks.encryption import approximate, envelope, keys
from tasks.encryption.regridding import budget, fusion, passes
from tasks.encryption.regridding.blocks import Blocks, name_of
from tasks.encryption.regridding.budget import Budget
from tasks.encryption.session import Session
from tasks.imaging import cluster, operation, registration, report, shift, volumes
from tasks.imaging.operation import ANSWER, SHRUNK, SMALL, SUMS, VOLUME, Account, Frame, Operation
from tasks.imaging.record import Errors, Outcome, Planned, Record, Seen
from tasks.imaging.volumes import Volume

RECORD, REPORT, FAILED = "record.json", "report.html", "failed.json"
SUPERSEDED = "superseded"
_POLL_SECONDS = 0.02
_WAIT_SECONDS = 600.0  # without any answer, the cluster is taken to be gone


class Hospital:
    """Volume, keys and what was seen so far. voxels are in [0, 1]."""

    def __init__(self, planned: Planned) -> None:
        self.planned = planned
        self.region, self.low, self.range = volumes.scaled(_region(planned))
        spacing = self.region.spacing
        slots = budget.RESAMPLING.parameters.slots
        bound = planned.bound_mm / min(spacing)
        small = tuple(n // SHRUNK for n in planned.size)
        self.agreed = Operation(
            blocks=Blocks.over(planned.size, slots, bound), bound=bound, share=planned.share,
            small=Blocks.over((small[0], small[1], small[2]), slots, bound / SHRUNK),
        )  # fmt: skip
        self.shift = shift.simulate(self.region, planned.most_mm, generator(planned.seed, "shift"))
        self._released: dict[int, float] = {}
        self.seen: dict[int, Seen] = {}
        self.last: dict[str, np.ndarray] = {}
        self._kept: dict[int, tuple[np.ndarray, dict[str, float]]] = {}
        self.stated_error = 0.0

    def begin(self) -> None:
        """Make keys, encrypt, and hand over what the cluster may have."""
        start, shared = time.perf_counter(), self.planned.shared
        agreed, voxels = self.agreed, self.region.voxels
        self._volume_keys = self._keys(VOLUME, budget.RESAMPLING, agreed.blocks, agreed.bound, sums=False)
        self._small_keys = self._keys(SMALL, budget.COMPARING, agreed.small, agreed.small_bound, sums=True)
        _encrypt(self._volume_keys, agreed.blocks, voxels, shared / VOLUME)
        _encrypt(self._small_keys, agreed.small, cluster.shrunk(voxels), shared / SMALL)
        (shared / operation.FRAMES).mkdir()
        operation.write(agreed, shared)
        self.encrypt_seconds = time.perf_counter() - start

    def operate(self) -> None:
        """Send fields as they come, and look at what comes back. The first field, of no shift, opens everything."""
        self.release(0)
        self._watch(until=lambda: 0 in self.seen)
        start, planned = time.monotonic(), self.planned
        for number in range(1, planned.frames + 1):
            due = start + (number - 1) * planned.period
            self._watch(until=lambda due=due: time.monotonic() >= due)  # type: ignore[misc]
            self.release(number)
        self._watch(until=lambda: len(self.seen) == planned.frames + 1)

    def end(self) -> None:
        """Tell the cluster, compare with plaintext, and keep pictures and numbers."""
        (self.planned.shared / operation.OVER).touch()
        for number in sorted(self._kept):
            self.compare(number)
        private = self.planned.private
        for name in ("before", "after", "fused", "error") if self.last else ():
            voxels = self.last[name]
            volumes.write(self.region.like(self.low + self.range * voxels), private / f"{name}.nii.gz")
        record = self._record()
        report.write(record, self.last, private / REPORT)
        operation.write_json(record, private / RECORD)

    def _keys(self, name: str, chosen: Budget, blocks: Blocks, bound: float, *, sums: bool) -> Session:
        passphrase, folder = secrets.token_urlsafe(32), self.planned.private / "keys" / name
        needs = budget.needs(chosen, blocks, bound, sums=sums)
        keys.make(folder, needs.parameters, passphrase, rotations=needs.rotations, products=needs.products)
        shutil.copytree(folder / "evaluator", self.planned.shared / "keys" / name)
        return keys.open_owner(folder / "owner", passphrase)

    def _field(self, number: int) -> np.ndarray:
        return self.shift.at(number / self.planned.frames)

    def _image(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        moved = _in_space(self.region.voxels, self._field(number))
        return shift.ultrasound(moved, generator(self.planned.seed, "ultrasound", str(number)))

    def release(self, number: int) -> None:
        """Let a field and what the probe sees come to the cluster."""
        frame = Frame.at(self.planned.shared, number)
        (image, seen), coming = self._image(number), frame.folder.with_name(f".{frame.folder.name}")
        coming.mkdir()
        for name, array in (("field", self._field(number)), ("ultrasound", image), ("seen", seen)):
            np.save(coming / f"{name}.npy", array)
        self._released[number] = time.monotonic()
        coming.rename(frame.folder)

    def _watch(self, until: Callable[[], bool]) -> None:
        quiet = time.monotonic()
        while not until():
            waiting = [number for number in self._released if number not in self.seen]
            finished = [n for n in waiting if Frame.at(self.planned.shared, n).finished]
            for number in finished:
                self.look(number)
            quiet = time.monotonic() if finished or not waiting else quiet
            if time.monotonic() - quiet > _WAIT_SECONDS:
                raise InputError(f"the cluster has not answered for {_WAIT_SECONDS:.0f} s; is it still running?")
            time.sleep(_POLL_SECONDS)

    def look(self, number: int) -> None:
        """Decrypt an answer. What is compared with plaintext is compared after the operation."""
        frame, deadline = Frame.at(self.planned.shared, number), self.planned.deadline
        most = float(np.linalg.norm(self._field(number) * np.reshape(self.region.spacing, (3, 1, 1, 1)), axis=0).max())
        refused = frame.folder / operation.REFUSED
        if refused.is_file():
            reason = str(json.loads(refused.read_text())["reason"])
            outcome = Outcome.SUPERSEDED if reason == SUPERSEDED else Outcome.REFUSED
            self.seen[number] = Seen(number=number, largest_mm=most, outcome=outcome, reason=reason)
            return
        start, answer = time.monotonic(), frame.folder / ANSWER
        fused = self._decrypted(answer / VOLUME)
        done = time.monotonic()
        sums = {name: self._sum(answer / SUMS / f"{name}.ct") for name in fusion.SUMS}
        self._kept[number] = fused, sums
        seconds, account = done - self._released[number], _account(answer)
        self.seen[number] = Seen(
            number=number, largest_mm=most, outcome=Outcome.IN_TIME if seconds <= deadline else Outcome.LATE,
            seconds=seconds, cluster_seconds=account.seconds, cpu_seconds=account.cpu_seconds, memory=account.memory,
            decrypt_seconds=done - start, answer_bytes=_size(answer),
        )  # fmt: skip

    def _decrypted(self, folder: Path) -> np.ndarray:
        blocks = self.agreed.blocks
        packed = np.zeros((*blocks.block, blocks.slots), dtype=np.float32)
        for offset in blocks.offsets():
            place = folder / f"{name_of(offset)}.ct"
            if place.is_file():  # it is left out where everything comes from outside the region
                ciphertext = envelope.load(self._volume_keys, place)
                packed[offset] = approximate.decrypt(ciphertext)[: blocks.slots]
                self.stated_error = max(self.stated_error, ciphertext.error)
        return blocks.unpack(packed)

    def _sum(self, place: Path) -> float:
        return float(approximate.decrypt(envelope.load(self._small_keys, place))[0])

    def compare(self, number: int) -> None:
        """What a picture should have been: the same passes, and interpolation in space, in plaintext."""
        fused, sums = self._kept.pop(number)
        field, voxels, agreed = self._field(number), self.region.voxels, self.agreed
        (image, seen), split = self._image(number), passes.split(field, agreed.blocks.shape, agreed.bound)
        share = np.where(seen, agreed.share, 0.0)
        updated = np.where(split.inside, (fused - share * image) / (1 - share), 0.0)
        plain, truth = passes.apply(voxels, split), np.where(split.inside, _in_space(voxels, field), 0.0)
        inside = split.inside
        compared = self._compared(number)
        found = compared.model_copy(
            update={"volume_sum": sums["sum"], "product": sums["product"], "volume_square": sums["square"]}
        )
        self.seen[number] = self.seen[number].model_copy(
            update={
                "encryption": _errors((updated - plain)[inside]), "whole": _errors((updated - truth)[inside]),
                "correlation": found.correlation, "correlation_plainly": compared.correlation,
            }
        )  # fmt: skip
        self.last = {
            "before": voxels, "after": updated, "fused": fused, "ultrasound": np.where(seen, image, 0.0),
            "error": np.abs(updated - truth), "inside": inside,
        }  # fmt: skip

    def _compared(self, number: int) -> fusion.Compared:
        (image, seen), small = self._image(number), self.agreed.small.shape
        split = passes.split(cluster.shrunk(self._field(number)) / SHRUNK, small, self.agreed.small_bound)
        moved = passes.apply(cluster.shrunk(self.region.voxels), split)
        return fusion.compare(moved, cluster.shrunk(image), split.inside & (cluster.shrunk(seen.astype(float)) == 1))

    def _record(self) -> Record:
        planned, shared = self.planned, self.planned.shared
        return Record(
            shape=planned.size, spacing=self.region.spacing, period=planned.period, deadline=planned.deadline,
            bound_mm=planned.bound_mm, workers=_workers(shared), load=os.getloadavg()[1],
            encrypt_seconds=self.encrypt_seconds, keys_bytes=_size(shared / "keys"),
            volume_bytes=_size(shared / VOLUME) + _size(shared / SMALL),
            frame_bytes=sum(p.stat().st_size for p in Frame.at(shared, 0).folder.glob("*.npy")),
            stated_error=self.stated_error, first=self.seen[0],
            seen=tuple(self.seen[number] for number in range(1, planned.frames + 1)),
        )  # fmt: skip


def require_region(planned: Planned) -> None:
    """Read the volumes and find the region in them, before anything is started.

    Raises:
        InputError: a volume cannot be used, or the region is not inside.
    """
    volume = volumes.read(planned.volume)
    volumes.scaled(_cut(volumes.read(planned.reference) if planned.reference else volume, planned))


def _region(planned: Planned) -> Volume:
    volume = volumes.read(planned.volume)
    if planned.reference is not None:
        volume = registration.aligned(volume, volumes.read(planned.reference), planned.cache)
    return _cut(volume, planned)


def _cut(volume: Volume, planned: Planned) -> Volume:
    bright = volume.voxels > volume.voxels.mean()
    centre = np.argwhere(bright).mean(0) if bright.any() else np.array(volume.voxels.shape) / 2
    if planned.centre_mm is not None:
        centre = (np.linalg.inv(volume.affine) @ [*planned.centre_mm, 1])[:3]
    start = np.rint(centre - np.array(planned.size) / 2).astype(int)
    if planned.centre_mm is None:
        start = np.clip(start, 0, np.maximum(np.array(volume.voxels.shape) - planned.size, 0))
    return volume.cut((int(start[0]), int(start[1]), int(start[2])), planned.size)


def _encrypt(owner: Session, blocks: Blocks, voxels: np.ndarray, folder: Path) -> None:
    packed = blocks.pack(voxels)
    for offset in blocks.offsets():
        slots = np.pad(packed[offset], (0, owner.slots - blocks.slots))
        envelope.save(approximate.encrypt(owner, slots, VOLUME, bound=1.0), folder / f"{name_of(offset)}.ct")


def _in_space(voxels: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Trilinear interpolation, the reference."""
    return ndimage.map_coordinates(voxels, np.indices(voxels.shape) + field, order=1, mode="nearest")


def _errors(difference: np.ndarray) -> Errors:
    size = np.abs(difference)
    return Errors(
        rms=math.sqrt(float((size.astype(np.float64) ** 2).mean())), p99=float(np.percentile(size, 99)),
        largest=float(size.max()),
    )  # fmt: skip


def _account(answer: Path) -> Account:
    return Account.model_validate(json.loads((answer / "account.json").read_text()))


def _workers(shared: Path) -> int:
    answers = shared.glob(f"{operation.FRAMES}/*/{ANSWER}/account.json")
    return max((len({part.process for part in _account(place.parent).parts}) for place in answers), default=0)


def _size(folder: Path) -> int:
    return sum(place.stat().st_size for place in folder.rglob("*") if place.is_file())


def main(planned: Path) -> int:
    """Run a whole operation; what a person can put right goes into `failed.json`."""
    plan = Planned.model_validate(json.loads(planned.read_text()))
    os.umask(0o077)
    try:
        hospital = Hospital(plan)
        hospital.begin()
        hospital.operate()
        hospital.end()
    except SecuredError as error:
        said: dict[str, Any] = {"kind": type(error).__name__, "message": str(error)}
        (plan.private / FAILED).write_text(json.dumps(said))
        (plan.shared / operation.OVER).touch()
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
