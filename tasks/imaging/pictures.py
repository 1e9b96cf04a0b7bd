"""Slices of volumes as PNG (ISO 15948) in a page, and times as SVG; nothing but zlib is needed."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from tasks.imaging.record import Outcome, Seen

_TONES = {Outcome.IN_TIME: "good", Outcome.LATE: "bad", Outcome.SUPERSEDED: "unsure", Outcome.REFUSED: "unsure"}
_WIDTH, _HEIGHT, _LEFT = 640, 200, 44


def slices(voxels: np.ndarray, most: float, title: str, *, heat: bool = False) -> Markup:
    """The middle slices across the last axis and across the first, side by side; `most` is white, or hottest."""
    across = voxels[:, :, voxels.shape[2] // 2].T[::-1]
    along = voxels[voxels.shape[0] // 2].T[::-1]
    height = max(len(across), len(along))
    both = np.hstack([np.pad(part, ((0, height - len(part)), (0, 1))) for part in (across, along)])
    level = np.clip(np.rint(255 * both / most), 0, 255).astype(np.uint8)
    pixels = _heat(level) if heat else np.repeat(level[..., None], 3, axis=2)
    content = base64.b64encode(_png(pixels)).decode()
    return Markup('<img alt="{}" src="data:image/png;base64,{}">').format(title, content)


def times(seen: Sequence[Seen], deadline: float) -> Markup:
    """A bar for each field: seconds up to its picture, beside the deadline; those without one as a mark at the top."""
    top = 1.1 * max([deadline, *(each.seconds for each in seen if each.seconds is not None)])
    step = (_WIDTH - _LEFT) / max(len(seen), 1)

    def y(seconds: float) -> float:
        return _HEIGHT - 20 - (_HEIGHT - 40) * seconds / top

    bars = Markup("").join(
        Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>').format(
            _TONES[each.outcome], _LEFT + number * step, y(each.seconds or top), max(step - 2, 1),
            y(0) - y(each.seconds or top) if each.seconds is not None else 4,
            f"field {each.number}: {each.outcome}" + (f", {each.seconds:.2f} s" if each.seconds is not None else ""),
        )
        for number, each in enumerate(seen)
    )  # fmt: skip
    line = Markup('<line class="threshold" x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/>').format(
        _LEFT, _WIDTH, y(deadline)
    )
    labels = Markup("").join(
        Markup('<text class="axis" x="{}" y="{:.1f}" text-anchor="end">{:.1f} s</text>').format(_LEFT - 6, y(s) + 4, s)
        for s in (0.0, deadline)
    )
    title = f"Seconds from a field to its picture; the dashed line is the deadline of {deadline:g} s"
    return Markup(
        '<svg class="picture" viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>{}</svg>'
    ).format(_WIDTH, _HEIGHT, title, title, labels + bars + line)


def _heat(level: np.ndarray) -> np.ndarray:
    """Black, red, yellow, white."""
    value = level.astype(int)
    bands = [np.clip(3 * value - 255 * band, 0, 255) for band in range(3)]
    return np.stack(bands, axis=2).astype(np.uint8)


def _png(pixels: np.ndarray) -> bytes:
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in np.ascontiguousarray(pixels))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (b"IHDR", head), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")
    made = b"".join(struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + made
