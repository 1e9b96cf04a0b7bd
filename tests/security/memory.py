"""The memory of a running process, as /proc shows it to whoever started it, and the search in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

_PAGE = 4096
_CHUNK = 1 << 26
_OVERLAP = 256  # longer than anything that is looked for
_PRESENT = np.uint64(0b11 << 62)  # in memory, or swapped out: bits of /proc/PID/pagemap


def found(pid: int, needles: Iterable[tuple[str, bytes]]) -> set[str]:
    """The names of the needles that are somewhere in the memory of a process."""
    left, names = dict(needles), set()
    for piece in _pieces(pid):
        names |= {name for name, needle in left.items() if needle in piece}
        left = {name: needle for name, needle in left.items() if name not in names}
    return names


def _pieces(pid: int) -> Iterator[bytes]:
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory, Path(f"/proc/{pid}/pagemap").open("rb") as pages:
        for start, end in _regions(pid):
            pages.seek(start // _PAGE * 8)
            entries = np.frombuffer(pages.read((end - start) // _PAGE * 8), dtype=np.uint64)
            there = np.concatenate([[False], (entries & _PRESENT) != 0, [False]])
            edges = np.flatnonzero(there[1:] != there[:-1]) * _PAGE + start
            for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
                for at in range(first, last, _CHUNK):
                    memory.seek(at)
                    yield memory.read(min(_CHUNK + _OVERLAP, last - at))


def _regions(pid: int) -> Iterator[tuple[int, int]]:
    """What a process may have written or mapped: all but the code and constants of libraries."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        place, rights, _, _, _, *name = line.split(maxsplit=5)
        library = bool(name) and (".so" in name[0] or name[0].startswith(("/usr/", "[v")))
        if rights[0] == "r" and (not library or (rights[1] == "w" and not name[0].startswith("[v"))):
            start, end = (int(bound, 16) for bound in place.split("-"))
            yield start, end
