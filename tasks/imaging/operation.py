"""What hospital and cluster agree on before an operation, and the folder that they share during it.

    operation.json             this description
    keys/volume, keys/small    the evaluator's keys, one set for the volume, one for the small volume that is compared
    volume/*.ct  small/*.ct    ciphertexts by offset
    frames/007/                what arrives during the operation: field.npy, ultrasound.npy, seen.npy, none of it secret
    frames/007/answer/         what the cluster made of it: volume/*.ct, sums/*.ct, account.json
    frames/007/refused.json    or why it made nothing of it
    over                       the operation is

Everything appears whole: it is written under another name and renamed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from tasks.common.errors import InputError
from tasks.common.store import atomic
from tasks.common.values import Value
from tasks.encryption.regridding.blocks import Blocks

DESCRIPTION, FRAMES, ANSWER, REFUSED, OVER = "operation.json", "frames", "answer", "refused.json", "over"
VOLUME, SMALL, SUMS = "volume", "small", "sums"
# The small volume has voxels of so many of the region's, each the mean of those.
SHRUNK = 2


class Operation(Value):
    """Sizes in voxels. bound: of the displacement along each axis. share: of ultrasound in the fused image, where seen.

    blocks, small: how the volume lies in ciphertexts, and the small one that is compared with ultrasound.
    """

    blocks: Blocks
    small: Blocks
    bound: float
    share: float

    @property
    def small_bound(self) -> float:
        """The bound in voxels of the small volume."""
        return self.bound / SHRUNK


class Spent(Value):
    """What a worker spent on a part of a frame. memory: the most that its process has held so far, in bytes."""

    seconds: float
    cpu_seconds: float
    memory: int
    process: int


class Account(Value):
    """What the cluster spent on a frame. seconds: from taking the field up to the answer."""

    seconds: float
    parts: tuple[Spent, ...]

    @property
    def cpu_seconds(self) -> float:
        """Of all workers."""
        return sum(part.cpu_seconds for part in self.parts)

    @property
    def memory(self) -> int:
        """Of all workers, in bytes."""
        return sum({part.process: part.memory for part in sorted(self.parts, key=lambda p: p.memory)}.values())


class Frame(Value):
    """What came in during the operation, by its number."""

    number: int
    folder: Path

    @classmethod
    def at(cls, shared: Path, number: int) -> Frame:
        """The frame of a number in the shared folder."""
        return cls(number=number, folder=shared / FRAMES / f"{number:03d}")

    def field(self) -> np.ndarray:
        """(3, x, y, z), in voxels of the region."""
        return _array(self.folder / "field.npy")

    def image(self) -> tuple[np.ndarray, np.ndarray]:
        """Ultrasound in [0, 1] and where it sees, (x, y, z)."""
        return _array(self.folder / "ultrasound.npy"), _array(self.folder / "seen.npy").astype(bool)

    @property
    def finished(self) -> bool:
        """Whether there is an answer, or a refusal."""
        return (self.folder / ANSWER).is_dir() or (self.folder / REFUSED).is_file()


def frames(shared: Path) -> Iterator[Frame]:
    """What came in so far, in order."""
    names = sorted(p.name for p in (shared / FRAMES).glob("[0-9]*") if p.is_dir())
    return (Frame.at(shared, int(name)) for name in names)


def read(shared: Path) -> Operation:
    """The description in a shared folder.

    Raises:
        InputError: there is none, or it is damaged.
    """
    try:
        return Operation.model_validate(json.loads((shared / DESCRIPTION).read_text()))
    except OSError as error:
        raise InputError(f"{shared} holds no operation ({error.strerror})") from None
    except (ValueError, ValidationError):
        raise InputError(f"{shared / DESCRIPTION} is damaged") from None


def write(operation: Operation, shared: Path) -> None:
    """Write the description, which says that everything else is there."""
    write_json(operation, shared / DESCRIPTION)


def write_json(value: Value, path: Path) -> None:
    """A small value, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(value.model_dump_json(indent=2) + "\n")


def _array(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except OSError as error:
        raise InputError(f"{path.name} of frame {path.parent.name} cannot be read ({error.strerror})") from None
    except (ValueError, EOFError):
        raise InputError(f"{path.name} of frame {path.parent.name} is damaged") from None
