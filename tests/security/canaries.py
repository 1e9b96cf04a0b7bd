"""Patients who do not exist, planted so that any trace of them is a leak, and the search for such traces."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tests.conftest import CHOP_TABLE

COUNT = 40
# A gender of their own for each, so that nobody shares it and no release may show it.
FIRST_NAME, LAST_NAME, GENDER, TEST = "Canaryann", "Zwitserloot", "canarygender", "canarytest"
SUBJECT = 770_077_431_200  # 770077431200 and up: no other number in the table has twelve digits
AGE, DAY, THRESHOLD, HOURS, RARE_HOURS = 83.31337, 66.61613, 33.777771, 12.3456789, 98.7654321
# What all subjects begin with is looked for, since a mask may leave it; so long that no clock shows it by chance.
WORDS = (FIRST_NAME, LAST_NAME, GENDER, TEST, "7700774312", *(f"{n}" for n in (AGE, DAY, THRESHOLD, HOURS, RARE_HOURS)))


def plant(path: Path) -> Path:
    """The CHOP table with canary patients in it, as Parquet."""
    frame = pd.read_parquet(CHOP_TABLE)
    canaries = frame.query("result != 'invalid'").sample(COUNT, random_state=1).assign(
        subject_id=[SUBJECT + n for n in range(COUNT)], fake_first_name=FIRST_NAME, fake_last_name=LAST_NAME,
        gender=[f"{GENDER}{n}" for n in range(COUNT)], test_id=TEST, age=AGE, pan_day=DAY, ct_result=THRESHOLD,
        rec_ver_tat=HOURS, col_rec_tat=RARE_HOURS,
    )  # fmt: skip
    frame = pd.concat([frame.astype({"pan_day": float}), canaries]).sample(frac=1, random_state=2)
    frame.to_parquet(path, index=False)
    return path


def traces(folder: Path, but_not: set[Path] = frozenset(), more: Sequence[tuple[str, bytes]] = ()) -> list[str]:
    """Every file under a folder that holds a canary, in any form that it might have been written in.

    more: what else is looked for, with a name for each.
    """
    wanted = [*needles(), *more]
    found = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.resolve() not in but_not):
        for form in _forms(path):
            found += [f"{path}: {word}" for word, needle in wanted if needle in form]
    return found


def in_text(text: str) -> list[str]:
    """The canaries in a text."""
    return [word for word in WORDS if word.lower() in text.lower()]


def needles() -> list[tuple[str, bytes]]:
    """The canaries as texts, doubles and integers, with a name for each."""
    texts = [(word, word.lower().encode(code)) for word in WORDS for code in ("utf-8", "utf-16-le")]
    numbers = [(f"{n} as a double", struct.pack("<d", n)) for n in (AGE, DAY, THRESHOLD, HOURS, RARE_HOURS)]
    subjects = [(f"{SUBJECT + n} as an integer", struct.pack("<q", SUBJECT + n)) for n in range(COUNT)]
    return texts + numbers + subjects


def _forms(path: Path) -> list[bytes]:
    """The bytes of a file, in lower case too, and what they hide if they are compressed."""
    raw = path.read_bytes()
    forms = [raw, raw.lower()]
    if raw[:4] == b"PAR1":
        table = pq.read_table(path)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:  # uncompressed: every value as it is
            writer.write_table(table)
        plain = sink.getvalue().to_pybytes()
        text = "\n".join(str(value) for column in table.columns for value in column.unique().to_pylist())
        forms += [plain, text.lower().encode()]
    for unpack in (gzip.decompress, zlib.decompress):
        try:
            forms.append(unpack(raw).lower())
        except (OSError, zlib.error, EOFError):
            continue
    return forms
