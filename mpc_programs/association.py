"""Pearson's chi-square of many variants against case or control status, over hospitals.

Of people who are split over hospitals each counts its own by variant, status and column: genotype (0, 1 or 2 copies of
an allele) or allele. On shares there are sums, and of each variant a few quotients that all are at most 1:

    chi2 = n sum over columns of (f - f_last) (u - v)

where f is the share of a column's people that are cases, and u and v are the column's share of cases and of controls.
That is Pearson's statistic, n (sum of a^2 / (R c) + b^2 / (S c) - 1) for a of R cases and b of S controls among c
people of a column, with u - v summing to 0; Yates' correction is not applied. Written so, it is off by n times a few
steps, whatever the table.

If one party has all genotypes and another has who is a case, of the same people in the same order, counts of cases are
inner products of the two. One of thousands of terms takes as many messages as one multiplication under replicated and
Shamir sharing; but every genotype has to be shared. None may be missing then. Nobody checks that a party's genotypes
and status are what they should be, as in every program.

A variant is shown if its cases, its controls and each column that is not empty have at least `minimum`: of a single
carrier the statistic would tell whether it is a case. Neither tables nor allele frequencies are opened, since those of
many variants tell who is a case (Homer et al. 2008).

Leakage: which variants are not shown, or have one column, which look alike; of genotypes, how many of them occur.
Statistics of very many variants tell something of who took part, if less than frequencies do. Whoever knows n, R and S
may try which tables have a statistic of so many digits. If all but one pool what they know, all this is of the other.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator
from scipy import stats

from mpc_programs import quotients
from mpc_programs.counts import totals
from tasks.common.errors import InputError, ParametersError
from tasks.mpc.formats import FixedPoint, Shape
from tasks.mpc.program import Given, Outputs, Program

_GENOTYPES = 3
_ALLELES = 2


class Association(Program):
    """variants: how many. by: what columns are. most_people: of one hospital. minimum: people, or alleles, in a row or
    column. linked_people: 0 where people are split over hospitals; else party 0 has genotypes and party 1 status of so
    many, and others help.

    Reads cases (columns, variants) and controls (columns, variants), counts; of linked people copies (variants, people)
    of an allele, 0, 1 or 2, and is_case (people,), 0 or 1. Writes statistic (variants,) and freedom (variants,), the
    columns that occur less one; 0 both if the variant is not shown.
    """

    kind: Literal["association"] = "association"
    variants: Annotated[int, Field(ge=1)]
    by: Literal["genotypes", "alleles"] = "genotypes"
    most_people: Annotated[int, Field(ge=1)]
    minimum: Annotated[int, Field(ge=1)] = 10
    linked_people: Annotated[int, Field(ge=0)] = 0
    format: FixedPoint = FixedPoint(bits=62, fraction=31)

    @model_validator(mode="after")
    def _possible(self) -> Association:
        if self.linked_people > self.most_people:
            raise ParametersError(f"{self.linked_people:,} linked people are more than {self.most_people:,}, the most")
        if 8 * self._most >= 2**self.format.fraction or self.minimum > self._most:
            raise ParametersError(
                f"tables of {self._most:,} are smaller than the minimum, {self.minimum:,}, or too large to divide by "
                f"with {self.format.fraction} bits behind the point"
            )
        return self

    @property
    def name(self) -> str:
        return self.kind

    @property
    def columns(self) -> int:
        """Of a variant's table."""
        return _GENOTYPES if self.by == "genotypes" else _ALLELES

    @property
    def _doubled(self) -> int:
        """What a person counts for."""
        return 2 if self.by == "alleles" else 1

    @property
    def _most(self) -> int:
        """In a table."""
        return self._doubled * (self.linked_people or self.parties * self.most_people)

    def counted(self, genotypes: np.ndarray, is_case: np.ndarray) -> dict[str, np.ndarray]:
        """A hospital's inputs from its rows: genotypes (variants, people), -1 where missing, and is_case (people,)."""
        found = {}
        for name, of in (("cases", is_case.astype(bool)), ("controls", ~is_case.astype(bool))):
            counts = np.stack([(genotypes[:, of] == copies).sum(axis=1) for copies in range(_GENOTYPES)])
            found[name] = counts if self.by == "genotypes" else np.stack([[2, 1, 0] @ counts, [0, 1, 2] @ counts])
        return found

    def inputs(self, party: int) -> dict[str, Shape]:
        if not self.linked_people:
            most = self._doubled * self.most_people
            counts = Shape(shape=(self.columns, self.variants), low=0, high=most, whole=True)
            return {"cases": counts, "controls": counts}
        found = {
            0: {"copies": Shape(shape=(self.variants, self.linked_people), low=0, high=2, whole=True)},
            1: {"is_case": Shape(shape=(self.linked_people,), low=0, high=1, whole=True)},
        }
        return found.get(party, {})

    def outputs(self) -> dict[str, Shape]:
        return {
            "statistic": Shape(shape=(self.variants,), low=0, high=self._most * (self.columns - 1)),
            "freedom": Shape(shape=(self.variants,), low=0, high=self.columns - 1, whole=True),
        }

    def error(self) -> float:
        """Of two differences of two quotients that are at most 1, multiplied and rounded, for each column but one."""
        return self.format.step * self._most * (self.columns - 1) * (4 * quotients.STEPS + 2)

    def largest(self) -> float:
        return 2 * self._most

    def checked_of(self, party: int, given: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """One party's inputs.

        Raises:
            InputError: as for every program, or a variant has more people than one hospital may have.
        """
        found = super().checked_of(party, given)
        people = sum((each.sum(axis=0) for each in found.values() if not self.linked_people), np.zeros(1))
        if (bad := int((people > self._doubled * self.most_people).sum())) > 0:
            raise InputError(f"party {party}: {bad:,} variants have more people than {self.most_people:,}, the most")
        return found

    def plainly(self, given: Given) -> Outputs:
        cases, controls = self._linked(given) if self.linked_people else _summed(given)
        columns, rows = cases + controls, np.stack([cases.sum(axis=0), controls.sum(axis=0)])
        is_shown = (rows.min(axis=0) >= self.minimum) & ((columns == 0) | (columns >= self.minimum)).all(axis=0)
        expected = rows[:, None] * columns / np.maximum(rows.sum(axis=0), 1)
        off = np.stack([cases, controls]) - expected
        statistic = (off**2 / np.where(expected > 0, expected, 1)).sum(axis=(0, 1))
        freedom = (columns > 0).sum(axis=0) - 1
        return {"statistic": np.where(is_shown, statistic, 0.0), "freedom": np.where(is_shown, freedom, 0)}

    def _carried(self, copies: np.ndarray) -> np.ndarray:
        """By column but the first, variant and person, for how many people or alleles one counts."""
        return np.stack([copies == 1, copies == 2] if self.by == "genotypes" else [copies]).astype(np.int64)

    def _linked(self, given: Given) -> tuple[np.ndarray, np.ndarray]:
        carried, is_case = self._carried(given[0]["copies"]), np.asarray(given[1]["is_case"])
        found = []
        for of in (is_case, 1 - is_case):
            counts = carried @ of
            found.append(np.concatenate([self._doubled * of.sum() - counts.sum(axis=0, keepdims=True), counts]))
        return found[0], found[1]

    def p_values(self, outputs: Outputs) -> np.ndarray:
        """By variant; NaN where it is not shown."""
        freedom = np.where(outputs["freedom"] > 0, outputs["freedom"], np.nan)
        return stats.chi2.sf(outputs["statistic"], freedom)

    def settings(self) -> dict[str, int]:
        return {
            "variants": self.variants,
            "columns": self.columns,
            "doubled": self._doubled,
            "most": self._most,
            "minimum": self.minimum,
            "linked_people": self.linked_people,
        }

    async def jointly(self, mpc: Any, own: dict[str, np.ndarray]) -> dict[str, Any]:
        cases, controls = self._jointly_linked(mpc, own) if self.linked_people else self._jointly_summed(mpc, own)
        rows = [mpc.np_sum(each, axis=0, keepdims=True) for each in (cases, controls)]
        counts = mpc.np_vstack((cases + controls, *rows))
        is_few, is_empty = counts < self.minimum, counts[: self.columns] < 1
        empty = mpc.np_sum(is_empty, axis=0)
        is_shown = (mpc.np_sum(is_few, axis=0) - empty) < 1
        unlike = self._unlike(mpc, cases, controls, counts + is_few)
        people = mpc.np_sum(counts[self.columns :], axis=0)
        return {"statistic": unlike * (people * is_shown), "freedom": (self.columns - 1 - empty) * is_shown}

    def _unlike(self, mpc: Any, cases: Any, controls: Any, below: Any) -> Any:
        """By variant, the statistic of one person. below: counts of columns, cases and controls, none of them 0."""
        last = self.columns - 1
        of_cases, of_controls = below[self.columns : self.columns + 1], below[self.columns + 1 :]
        found = quotients.quotient(
            mpc.np_vstack((cases, cases[:last], controls[:last])),
            mpc.np_vstack((below[: self.columns], *[of_cases] * last, *[of_controls] * last)),
        )
        shares, in_cases, in_controls = found[:last], found[last + 1 : 2 * last + 1], found[2 * last + 1 :]
        return mpc.np_sum((shares - found[last : last + 1]) * (in_cases - in_controls), axis=0)

    def _jointly_summed(self, mpc: Any, own: dict[str, np.ndarray]) -> tuple[Any, Any]:
        both = functools.reduce(operator.add, mpc.shared(np.vstack([own["cases"], own["controls"]]), whole=True))
        return both[: self.columns], both[self.columns :]

    def _jointly_linked(self, mpc: Any, own: dict[str, np.ndarray]) -> tuple[Any, Any]:
        shape = ((self.columns - 1) * self.variants, self.linked_people)
        copies, nobody = own.get("copies"), np.zeros(self.linked_people, dtype=np.int64)
        carried = np.zeros(shape, dtype=np.int64) if copies is None else self._carried(copies).reshape(shape)
        carried = mpc.shared(carried, whole=True)[0]
        is_case = mpc.shared(own.get("is_case", nobody), whole=True)[1]
        both = []
        for counts, all_of in (
            (carried @ is_case, mpc.np_sum(is_case)),
            (mpc.np_sum(carried, axis=1) - carried @ is_case, self.linked_people - mpc.np_sum(is_case)),
        ):
            others = counts.reshape((self.columns - 1, self.variants))
            first = self._doubled * all_of - mpc.np_sum(others, axis=0, keepdims=True)
            both.append(mpc.np_vstack((first, others)))
        return both[0], both[1]


def _summed(given: Given) -> tuple[np.ndarray, np.ndarray]:
    return totals(given, "cases"), totals(given, "controls")
