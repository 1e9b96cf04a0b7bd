"""Count, sum, mean, variance and histograms of whole columns, exact, over rows that stay encrypted.

Each row becomes a record of integers: 1, and for every column its value, its square, and a 1 in its bin. Sums of these
are all that the statistics need, and sums are what integer schemes do without depth. A ciphertext holds many records
side by side: slot p·width + s of a row of slots is entry s of record p. Adding all ciphertexts and rotating by width,
2·width, ... leaves the total of entry s in every slot that held an entry s (Halevi, Shoup 2014/106, section 4.1).

Who learns what. The evaluator: the description, that is names, ranges and the most rows, since each contributor sends
as many ciphertexts as these fill. The owner of the keys, who decrypts: the totals over all contributors, which stand in
all slots in place of partial sums. The contributors, who may be several and need only the public key: nothing. Totals
of few people tell about people; who may see them is for the owner's policy, not for this job.
"""

from __future__ import annotations

import functools
import math
from fractions import Fraction
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from tasks.common.errors import InputError, ParametersError, WouldBeWrong
from tasks.common.values import Value
from tasks.encryption import exact
from tasks.encryption.ciphertext import Encrypted
from tasks.encryption.job import Messages, Needs
from tasks.encryption.jobs import fitting
from tasks.encryption.jobs.messages import (
    labelled,
    partial,
    require_keys,
    require_known,
    summed,
    take,
    taken,
)  # fmt: skip
from tasks.encryption.jobs.pooled import Contributions, Name, Pooled
from tasks.encryption.jobs.slots import doublings, folded
from tasks.encryption.noise import IntegerNoise
from tasks.encryption.parameters import Parameters, Scheme
from tasks.encryption.session import Session

# How far a value may be from a multiple of its unit by floating point, in units.
_OFF = 1e-6
# What no plain modulus holds.
_TOO_LARGE = 1 << 62


class Column(Value):
    """A column of fixed-point numbers.

    lowest, highest: of its values. decimals: after the point; values are multiples of 10**-decimals. edges: of the bins
    of its histogram, growing; a bin holds its lower edge, the last one also its upper, as in numpy.histogram.
    """

    name: str
    lowest: float
    highest: float
    decimals: Annotated[int, Field(ge=0, le=9)] = 0
    edges: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _possible(self) -> Column:
        if not self.lowest < self.highest or not math.isfinite(self.highest - self.lowest):
            raise ParametersError(f"column '{self.name}' needs a lowest value below its highest")
        if len(self.edges) == 1 or list(self.edges) != sorted(set(self.edges)):
            raise ParametersError(f"the edges of the bins of column '{self.name}' have to grow, and are two at least")
        self.units(np.array([self.lowest, self.highest, *self.edges]))
        return self

    @property
    def bins(self) -> int:
        """How many bins the histogram has."""
        return max(0, len(self.edges) - 1)

    @property
    def centre(self) -> int:
        """The middle of the range in units, from which values are counted so that squares stay small."""
        low, high = self.units(np.array([self.lowest, self.highest]))
        return int((low + high) // 2)

    @property
    def reach(self) -> int:
        """How far values are from the centre at most, in units."""
        low, high = self.units(np.array([self.lowest, self.highest]))
        return max(int(high) - self.centre, self.centre - int(low))

    def units(self, values: np.ndarray) -> np.ndarray:
        """Values as integers, int64, in units of 10**-decimals.

        Raises:
            InputError: there are values with more decimals than the column has, missing or infinite ones.
        """
        scaled = np.asarray(values, dtype=np.float64) * 10.0**self.decimals
        if not np.all(np.isfinite(scaled)):
            raise InputError(f"column '{self.name}' has {int((~np.isfinite(scaled)).sum())} missing or infinite values")
        whole = np.rint(scaled)
        if np.any(np.abs(scaled - whole) > _OFF) or np.any(np.abs(whole) >= 2.0**53):
            raise InputError(f"column '{self.name}' has values with more than {self.decimals} decimals")
        return whole.astype(np.int64)

    def entries(self, values: np.ndarray) -> np.ndarray:
        """The record's entries, (rows, 2 + bins) integers: distance from the centre, its square, and the bin.

        Raises:
            InputError: as `units`, or values are out of range.
        """
        units = self.units(values)
        low, high = self.units(np.array([self.lowest, self.highest]))
        if outside := int(((units < low) | (units > high)).sum()):
            raise InputError(f"column '{self.name}' has {outside} values outside {self.lowest:g} to {self.highest:g}")
        away = units - self.centre
        if not self.edges:
            return np.stack([away, away**2], axis=1)
        edges = self.units(np.array(self.edges))
        bins = np.searchsorted(edges, units, side="right") - 1
        bins[units == edges[-1]] = self.bins - 1
        return np.column_stack([away, away**2, bins[:, None] == np.arange(self.bins)])


class Statistics(Pooled):
    """Count, sum, mean, variance and histogram of each column, over the rows of all contributors.

    rows: the most that one contributor brings. contributors: each encrypts with the public key alone. Data are arrays
    (rows, columns), one for each contributor by name. Results by name:

        count       of rows, int
        units       exact sums, int64 (columns,), in units of 10**-decimals
        sum, mean   float64 (columns,), the exact values rounded once
        variance    of a sample, divided by count - 1; the exact value rounded once
        histogram NAME   int64 (bins,)
    """

    kind: Literal["statistics"] = "statistics"
    columns: Annotated[tuple[Column, ...], Field(min_length=1)]
    rows: Annotated[int, Field(ge=1)]
    contributors: Annotated[tuple[Name, ...], Field(min_length=1)] = ("owner",)
    scheme: Literal[Scheme.BFV, Scheme.BGV] = Scheme.BFV

    @model_validator(mode="after")
    def _possible(self) -> Statistics:
        if len({column.name for column in self.columns}) < len(self.columns):
            raise ParametersError("each column is named once")
        return self

    def needs(self) -> Needs:
        parameters = self._parameters
        return Needs(parameters=parameters, rotations=doublings(self._width, parameters.slots // 2))

    def contributed(self, session: Session, contributor: str, data: np.ndarray) -> dict[str, Encrypted]:
        require_keys(self, session)
        records = self._records(data)
        people, made = self._people, {}
        for block, name in enumerate(self._names(contributor)):
            slots = np.zeros((people, 2, self._width), dtype=np.int64)
            chosen = records[block * people : (block + 1) * people]
            slots[: len(chosen)] = chosen
            values = np.ascontiguousarray(slots.transpose(1, 0, 2)).reshape(-1)
            made[name] = labelled(self, name, exact.encrypt(session, values, bound=self._largest))
        return made

    def evaluate(self, evaluator: Session, messages: Messages) -> dict[str, Encrypted]:
        require_keys(self, evaluator)
        names = require_known(messages, self._all_names())
        total = take(self, messages, names[0])
        for name in names[1:]:
            total = total + take(self, messages, name)
        return {"sum": partial(self, "sum", names, total)}

    def combine(self, evaluator: Session, made: list[dict[str, Encrypted]]) -> dict[str, Encrypted]:
        require_keys(self, evaluator)
        total = summed(self, "sum", made, self._all_names())
        return {"totals": labelled(self, "totals", folded(total, self.needs().rotations))}

    def decrypt(self, owner: Session, messages: Messages) -> dict[str, Any]:
        require_keys(self, owner)
        (totals,) = taken(self, messages, ["totals"])
        slots = exact.decrypt(totals).reshape(2, self._people, self._width)
        if np.any(slots != slots[:, :1]):
            raise WouldBeWrong("the slots of the answer differ, so that it is not a total; it was not made rightly")
        return self._results(slots[:, 0].reshape(-1)[: self._entries])

    def plainly(self, data: Contributions) -> dict[str, Any]:
        columns = 2 * self._width
        totals = np.zeros(columns, dtype=np.int64)
        for rows in self.by_contributor(data).values():
            totals += self._records(rows).reshape(-1, columns).sum(axis=0)
        return self._results(totals[: self._entries])

    def parts(self, names: list[str]) -> list[list[str]]:
        return [names[start : start + 64] for start in range(0, len(names), 64)]

    # The record and where it lies.

    @property
    def _entries(self) -> int:
        return 1 + sum(2 + column.bins for column in self.columns)

    @property
    def _width(self) -> int:
        """Slots of a record in each of the two rows: a power of two, so that records lie on a circle."""
        return 1 << max(0, math.ceil(self._entries / 2) - 1).bit_length()

    @property
    def _people(self) -> int:
        return self._parameters.slots // 2 // self._width

    @property
    def _largest(self) -> int:
        """Of an entry."""
        return max(column.reach**2 for column in self.columns)

    @property
    def _parameters(self) -> Parameters:
        return _parameters(self.scheme, self._width, self._largest, self.rows, len(self.contributors))

    def _names(self, contributor: str) -> list[str]:
        blocks = math.ceil(self.rows / self._people)
        return [f"{contributor}.{block:06d}" for block in range(blocks)]

    def _all_names(self) -> list[str]:
        return [name for contributor in self.contributors for name in self._names(contributor)]

    def _records(self, rows: np.ndarray) -> np.ndarray:
        rows = np.asarray(rows)
        if rows.ndim != 2 or rows.shape[1] != len(self.columns) or rows.dtype.kind not in "biuf":
            raise InputError(f"the rows have to be a table of {len(self.columns)} columns of numbers")
        if not 1 <= len(rows) <= self.rows:
            raise InputError(f"{len(rows):,} rows were given; the job is for 1 to {self.rows:,}")
        found = [column.entries(rows[:, k]) for k, column in enumerate(self.columns)]
        records = np.zeros((len(rows), 2 * self._width), dtype=np.int64)
        records[:, : self._entries] = np.column_stack([np.ones(len(rows), dtype=np.int64), *found])
        return records.reshape(len(rows), 2, self._width)

    def _results(self, totals: np.ndarray) -> dict[str, Any]:
        count, *entries = (int(each) for each in totals)
        units, variance, at = [], [], 0
        histograms: dict[str, np.ndarray] = {}
        for column in self.columns:
            away, squares = entries[at : at + 2]
            histogram = entries[at + 2 : at + 2 + column.bins]
            at += 2 + column.bins
            units.append(away + count * column.centre)
            spread = Fraction(squares * count - away**2, count * (count - 1)) if count > 1 else None
            variance.append(math.nan if spread is None else float(spread / 100**column.decimals))
            if histogram:
                histograms[f"histogram {column.name}"] = np.array(histogram, dtype=np.int64)
        sums = [Fraction(each, 10**column.decimals) for each, column in zip(units, self.columns, strict=True)]
        return {
            "count": count,
            "units": np.array(units, dtype=np.int64),
            "sum": np.array([float(each) for each in sums]),
            "mean": np.array([float(each / count) for each in sums]),
            "variance": np.array(variance),
        } | histograms


@functools.lru_cache(maxsize=16)
def _parameters(scheme: Scheme, width: int, largest: int, rows: int, contributors: int) -> Parameters:
    def messages(slots: int) -> int:
        return contributors * math.ceil(rows / max(1, slots // 2 // width))

    def most(slots: int) -> int:
        people = slots // 2 // width
        return largest * messages(slots) * people if people else _TOO_LARGE

    def noise(of: IntegerNoise) -> float:
        total = of.encryption() * messages(of.degree)
        for _ in doublings(width, of.degree // 2):
            total = 2 * total + of.switch(0)
        return total

    return fitting.exact(scheme, most, noise)
