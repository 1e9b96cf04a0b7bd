"""Risk by group of people and by person: for whoever answers for the data, never to be published.

A score says what the worst attack gains on average. Whom it gains it from is told here: each person attacked, and the
groups of people (by quasi-identifier and protected column) in which the attack gains most. Publishing either would
tell attackers whom to go for, and itself leak (arXiv 2312.05114); so it goes into a file that only its owner can read,
and into no score card, report or knowledge base.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.attacks import attack, space, targets
from tasks.attacks.adversary import Adversary, Goal, Method, declare
from tasks.attacks.assess import People
from tasks.attacks.risk import Interval, Stratum, Trials, excess_risk
from tasks.attacks.score import Scorecard
from tasks.attacks.targets import Targets
from tasks.common import reading
from tasks.common.policy import Kind, Policy
from tasks.common.seeds import generator
from tasks.common.values import Value

FEWEST_PEOPLE = 50  # of a group, on each side


class GroupRisk(Value):
    """What an attack gains from the people of a group: those whose `column` is `value`, or lies in that range."""

    column: str
    value: str
    people: int
    control: int
    risk: Interval


@dataclass(frozen=True)
class Inside:
    """groups: by falling risk; the first sets the score where a group does. people: one row for each person attacked,
    in the order of the targets, with `stands_out` (bool) and `success` (probability, float64), and `row` (int64, the
    first one is 1) where the rows of their table are known.
    """

    adversary: str
    groups: tuple[GroupRisk, ...]
    people: pa.Table

    def write(self, path: Path) -> None:
        """Write it as JSON that only its owner can read.

        Raises:
            OSError: the file cannot be written.
        """
        unfinished = path.with_name(f".{path.name}.unfinished")
        unfinished.unlink(missing_ok=True)
        content = _File(
            adversary=self.adversary,
            groups=self.groups,
            people={name: self.people[name].to_pylist() for name in self.people.column_names},
        )
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(content.model_dump_json(indent=1))
        unfinished.replace(path)


class _File(Value):
    adversary: str
    groups: tuple[GroupRisk, ...]
    people: dict[str, list[Any]]  # column by column, in which a place stands for the same person


_ONE_BY_ONE = {Goal.SINGLING_OUT, Goal.LINKABILITY, Goal.REIDENTIFICATION, Goal.INFERENCE, Goal.DISCLOSURE}
_BY_OWN_CHOICE = attack.BY_CLAIMS | {Method.CONFIDENT}  # of whom to attack


def look_at_worst(
    original: People,
    control: People,
    release: pa.Table,
    policy: Policy,
    card: Scorecard,
    row_numbers: np.ndarray,
    cores: int = 1,
) -> Inside | None:
    """The worst attack of a score card among those on one person after the other, on all of the card's people.

    See tasks.attacks.assess.assess for original, control and cores. row_numbers: where each row of the original stands
    in its file, int64 (rows,), the first one is 0. None: there is no such attack.
    """
    able = {
        adversary.name: adversary
        for adversary in declare(policy, release.column_names)
        if adversary.goal in _ONE_BY_ONE and adversary.method not in _BY_OWN_CHOICE
    }
    worst = max((f for f in card.attacks if f.name in able), key=lambda finding: finding.high, default=None)
    if worst is None:
        return None
    sides = (original, control)
    chosen = targets.choose(list(sides), policy.attacks.trials, policy, generator(policy.seed, "targets"), cores)
    released, untouched = (choice.of(rows) for choice, (rows, _) in zip(chosen, sides, strict=True))
    rounding = {name: column.round for name, column in policy.columns.items() if column.round is not None}
    rng = generator(policy.seed, "attack", worst.name)
    seen = look(able[worst.name], release, released, untouched, policy, rounding, rng)
    rows = pa.array(row_numbers[chosen[0].positions] + 1)
    return Inside(seen.adversary, seen.groups, seen.people.append_column("row", rows))


def look(
    adversary: Adversary,
    release: pa.Table,
    released_people: Targets,
    control: Targets,
    policy: Policy,
    rounding: dict[str, float],
    rng: np.random.Generator,
) -> Inside:
    """Attack again, by group and person; for adversaries who go for one person after the other.

    Groups of fewer than 50 people on a side are left out. The intervals of all groups hold together (Bonferroni).
    """
    sides = (released_people, control)
    found, untouched = (
        attack.succeed(adversary, release, side.rows, control.rows, policy, rounding, rng) for side in sides
    )
    protected = list(policy.fairness.protected) if policy.fairness else []
    columns = [n for n in dict.fromkeys([*policy.quasi, *protected]) if n in released_people.rows.column_names]
    cells = [cell for name in columns for cell in _cells(name, policy, [side.rows for side in sides])]
    each = 1 - (1 - policy.attacks.confidence) / max(len(cells), 1)
    groups = [
        GroupRisk(
            column=name,
            value=value,
            people=int(inside[0].sum()),
            control=int(inside[1].sum()),
            risk=excess_risk(_trials(found[inside[0]]), _trials(untouched[inside[1]]), each),
        )
        for name, value, inside in cells
    ]
    people = pa.table({"stands_out": released_people.outlier, "success": found})
    return Inside(adversary.name, tuple(sorted(groups, key=lambda group: -group.risk.value)), people)


def _cells(name: str, policy: Policy, sides: list[pa.Table]) -> list[tuple[str, str, list[np.ndarray]]]:
    """Column, value or range, and who has it on each side, bool (people,); only where enough people do."""
    if policy.columns[name].kind in {Kind.NUMERIC, Kind.DATE}:
        masks = _quarters([reading.floats(side[name]) for side in sides])
    else:
        values, codes = space.factorize(pa.chunked_array([c for side in sides for c in side[name].chunks]))
        parts = np.split(codes, [sides[0].num_rows])
        masks = {str(value): [part == code for part in parts] for code, value in enumerate(values)}
    return [(name, value, m) for value, m in masks.items() if min(int(part.sum()) for part in m) >= FEWEST_PEOPLE]


def _quarters(values: list[np.ndarray]) -> dict[str, list[np.ndarray]]:
    everyone = np.concatenate(values)
    known = everyone[~np.isnan(everyone)]
    edges = np.unique(np.quantile(known, [0, 0.25, 0.5, 0.75, 1])) if len(known) else np.zeros(0)
    places = [np.searchsorted(edges[1:-1], v, side="right") for v in values]
    return {
        f"{edges[n]:g} to {edges[n + 1]:g}": [(p == n) & ~np.isnan(v) for p, v in zip(places, values, strict=True)]
        for n in range(len(edges) - 1)
    }


def _trials(found: np.ndarray) -> Trials:
    squares = float((found**2).sum())
    one = Stratum(name="all", weight=1, trials=len(found), successes=float(found.sum()), squares=squares)
    return Trials(strata=(one,))
