"""What an operation was like, in numbers; the report is made of it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from tasks.common.values import Value


class Planned(Value):
    """What the hospital was asked to do.

    volume: DICOM or NIfTI. reference: what it is registered to first, if anything. centre_mm: of the region (RAS+), or
    that of what is bright. size: of the region in voxels. most_mm: how far the simulated brain shifts. bound_mm: what
    the keys allow. period and deadline: seconds between fields, and from a field to its picture.
    """

    volume: Path
    reference: Path | None
    shared: Path
    private: Path
    cache: Path
    centre_mm: tuple[float, float, float] | None
    size: tuple[int, int, int]
    most_mm: float
    bound_mm: float
    frames: int
    period: float
    deadline: float
    share: float
    seed: int


class Outcome(StrEnum):
    """What became of a field."""

    IN_TIME = "in time"
    LATE = "late"
    SUPERSEDED = "superseded"  # the cluster had a later one when it came to it
    REFUSED = "refused"


class Errors(Value):
    """Differences as shares of the range of voxels, over those whose source lies in the region."""

    rms: float
    p99: float
    largest: float


class Seen(Value):
    """A field and its picture. seconds: from the field's arrival to the decrypted picture.

    encryption: against the same passes in plaintext. whole: against trilinear interpolation of the same field.
    correlation, and plainly: with ultrasound, from encrypted sums and in plaintext.
    """

    number: int
    largest_mm: float
    outcome: Outcome
    reason: str = ""
    seconds: float | None = None
    cluster_seconds: float | None = None
    cpu_seconds: float | None = None
    decrypt_seconds: float | None = None
    memory: int = 0
    answer_bytes: int = 0
    encryption: Errors | None = None
    whole: Errors | None = None
    correlation: float | None = None
    correlation_plainly: float | None = None


class Record(Value):
    """A whole operation. bytes are of files. first: the field of no shift that everything was opened with."""

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    period: float
    deadline: float
    bound_mm: float
    workers: int
    load: float
    encrypt_seconds: float
    keys_bytes: int
    volume_bytes: int
    frame_bytes: int
    stated_error: float
    first: Seen
    seen: tuple[Seen, ...]

    @property
    def voxels(self) -> int:
        """Of the region."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def answered(self) -> tuple[Seen, ...]:
        """Fields that came to a picture."""
        return tuple(each for each in self.seen if each.seconds is not None)

    @property
    def missed(self) -> float:
        """Share of fields whose picture was late or never came; fields that were refused do not count."""
        counted = [each for each in self.seen if each.outcome is not Outcome.REFUSED]
        return sum(each.outcome is not Outcome.IN_TIME for each in counted) / max(len(counted), 1)

    @property
    def voxels_per_core_second(self) -> float:
        """Deformed, fused and compared: the median over frames."""
        rates = sorted(self.voxels / each.cpu_seconds for each in self.answered if each.cpu_seconds)
        return rates[len(rates) // 2] if rates else 0.0
