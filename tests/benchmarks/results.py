"""Where measurements are written: one section of results.md per benchmark, with the machine and the versions."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Sequence
from datetime import date
from importlib import metadata
from pathlib import Path

PAGE = Path(__file__).with_name("results.md")
_TITLE = """# Measured

Written by `make bench`: one section per benchmark, replaced when it runs again. Seconds are wall clock;
compare within a section, since machines differ and are shared.
"""


def record(title: str, text: str, packages: Iterable[str]) -> None:
    """Put a section into the page, in place of the one of the same title."""
    section = f"## {title}\n\n{machine()}; {versions(packages)}\n\n{text.strip()}\n"
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else _TITLE
    head, *sections = re.split(r"^(?=## )", page, flags=re.MULTILINE)
    named = {part.splitlines()[0]: part.strip() + "\n" for part in sections}
    named[f"## {title}"] = section
    PAGE.write_text("\n".join([head.strip() + "\n", *named.values()]), encoding="utf-8")


def machine() -> str:
    """Day, processor, cores, memory and Python of this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    cores = len(os.sched_getaffinity(0))
    return f"{date.today()}, {_processor()}, {cores} cores, {memory:.0f} GiB, Python {platform.python_version()}"


def _processor() -> str:
    names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return names[0] if names else platform.machine()


def versions(packages: Iterable[str]) -> str:
    """The versions of packages, in words."""
    return ", ".join(f"{name} {metadata.version(name)}" for name in packages)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; the first column is words, the others are figures."""
    lines = [" | ".join(head), " | ".join(["---", *["---:"] * (len(head) - 1)])]
    lines += [" | ".join(str(cell) for cell in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)
