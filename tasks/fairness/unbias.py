"""Before and after: bias of a model trained on the rows as they are, and on the rows as they are made fair."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.common.errors import TableError
from tasks.common.fairness_forms import Labels, Mitigation
from tasks.common.policy import Downstream, Policy
from tasks.common.seeds import derive, generator
from tasks.common.values import Value
from tasks.fairness import measure, mitigate, thresholds
from tasks.fairness.cost import Cost, cost
from tasks.fairness.groups import LEAST_PEOPLE, Groups, group, group_of
from tasks.fairness.measure import Bias, Tested
from tasks.fairness.thresholds import Thresholds
from tasks.utility import downstream as model
from tasks.utility.downstream import Model

ORIGIN, WEIGHT = "origin", "weight"
_MOST_ADDED = 0.5  # rows that balancing may add, as a share of those there are
_FOLDS = 5

Why = Literal["left out", "one value", "too few people"]


class Unmeasured(Value):
    """A protected column by which bias cannot be measured.

    why: the release leaves the column out, or has one value of it in every row; or fewer than two groups have 30 people
    among those held out.
    """

    column: str
    why: Why


class Standing(StrEnum):
    """Where a difference stands to the policy's tolerance."""

    WITHIN = "within"  # by its upper bound
    ABOVE = "above"  # by its lower bound
    UNCLEAR = "unclear"  # too few people to tell


class Fairness(Value):
    """Bias before and after by each protected column and by all of them together, and what mitigation cost.

    mitigation: what was done. added: synthetic rows drawn for balance. labels: whether records can be trusted.
    """

    before: tuple[Bias, ...]
    after: tuple[Bias, ...]
    unmeasured: tuple[Unmeasured, ...]
    mitigation: tuple[Mitigation, ...]
    labels: Labels
    added: int
    thresholds: Thresholds | None
    cost: Cost
    tolerance: float

    def standing(self, bias: Bias) -> Standing:
        """Where demographic parity stands to the tolerance."""
        if bias.parity_difference.high <= self.tolerance:
            return Standing.WITHIN
        return Standing.ABOVE if bias.parity_difference.low > self.tolerance else Standing.UNCLEAR


@dataclass(frozen=True)
class Unbiased:
    """The rows with their origin (`anonymized` or `synthetic`) and weight, and the account of it."""

    table: pa.Table
    account: Fairness


@dataclass(frozen=True)
class _Training:
    """Rows to learn from, released ones first, and their weights, float64 (rows,)."""

    rows: pa.Table
    weights: np.ndarray


def require(release: pa.Table, test: pa.Table, policy: Policy, *, k: int) -> None:
    """Complain of protected columns that cannot be measured. The data flow tells of them and goes on.

    Raises:
        TableError: there is at least one.
    """
    assert policy.fairness is not None, "asked only where the policy protects a column"
    _, unmeasured = _measurable(release, test, policy, k)
    if unmeasured:
        raise TableError("; ".join(_complaint(one) for one in unmeasured))


def _complaint(unmeasured: Unmeasured) -> str:
    name = unmeasured.column
    return {
        "left out": f"the release has no column `{name}`, which the policy protects; take it from "
        "`fairness.protected`, or release it",
        "one value": f"every row of the release has the same value of `{name}`, which the policy protects; "
        f"take it from `fairness.protected`, or generalize it less (a larger `weight:` of that column)",
        "too few people": f"bias by `{name}` needs two groups of at least {LEAST_PEOPLE} people that the release "
        "has too, among those held out; hold more people out, or generalize the column into larger groups",
    }[unmeasured.why]


def unbias(
    release: pa.Table, synthetic: pa.Table, pool: pa.Table, test: pa.Table, policy: Policy, *, k: int, seed: int
) -> Unbiased:
    """Measure bias by the policy's protected columns, mitigate it as the policy says, measure again.

    pool: further synthetic rows to draw from; test: real people, in the release's vocabulary; k: people that share each
    combination of quasi-identifiers in the release. Columns that cannot be measured are told in the account.

    Raises:
        TableError: the target is not there, or has one value in the rows or among the tested people.
    """
    assert policy.fairness is not None, "asked only where the policy protects a column"
    assert policy.downstream is not None, "a policy with fairness has a downstream model"
    task, rules = policy.downstream, policy.fairness
    rows = pa.concat_tables([release, synthetic])
    for place, table in (("the release", release), ("the people held out", test)):
        _require_both(table, task, place)
    groups, unmeasured = _measurable(release, test, policy, k)
    columns = [name for name in rules.protected if _varies(release, name)]
    before = _Training(rows, np.ones(rows.num_rows))
    after = _mitigated(before, pool, columns, task, rules.mitigations, seed)
    was, now = (_test(training, release, test, policy, seed) for training in (before, after))
    chosen = None
    if "thresholds" in rules.mitigations and columns:
        chosen = _thresholds(after, release, columns, policy, seed)
        lot = generator(seed, "thresholds", "lot")
        now = replace(now, flagged=chosen.flag(now.scores, group_of(test, columns), lot))
    account = Fairness(
        before=_measured(was, groups, seed, k),
        after=_measured(now, groups, seed, k),
        unmeasured=unmeasured,
        mitigation=rules.mitigations if columns else (),
        labels=rules.labels,
        added=after.rows.num_rows - rows.num_rows,
        thresholds=chosen,
        cost=cost(was, now),
        tolerance=rules.tolerance,
    )
    return Unbiased(_told_apart(after, release.num_rows), account)


def _measured(tested: Tested, groups: list[Groups], seed: int, k: int) -> tuple[Bias, ...]:
    return tuple(measure.bias(tested, one, generator(seed, "bias", one.column), k=k) for one in groups)


def _require_both(table: pa.Table, task: Downstream, place: str) -> None:
    if task.target not in table.column_names:
        raise TableError(
            f"{place}: there is no column `{task.target}`, the target of `downstream:`, so no model can be measured"
        )
    labels = model.positives(table, task)
    if labels.all() or not labels.any():
        raise TableError(
            f"{place}: {'every' if len(labels) and labels.all() else 'no'} row has `{task.target}` = {task.positive}, "
            "but a model needs rows with and without it; correct `downstream:`, or take more rows"
        )


def _varies(release: pa.Table, name: str) -> bool:
    return name in release.column_names and len(release[name].unique()) > 1


def _measurable(
    release: pa.Table, test: pa.Table, policy: Policy, k: int
) -> tuple[list[Groups], tuple[Unmeasured, ...]]:
    """Groups by each column that has two of them, then by all such columns together; and the other columns."""
    assert policy.fairness is not None, "asked only where the policy protects a column"
    least, found, unmeasured = max(LEAST_PEOPLE, k), [], []
    for name in policy.fairness.protected:
        if not _varies(release, name):
            unmeasured.append(Unmeasured(column=name, why="one value" if name in release.column_names else "left out"))
            continue
        groups = group(test, release, [name], least=least)
        if len(groups.names) < 2:
            unmeasured.append(Unmeasured(column=name, why="too few people"))
        else:
            found.append(groups)
    if len(found) > 1:
        together = group(test, release, [groups.column for groups in found], least=least)
        found += [together] if len(together.names) > 1 else []
    return found, tuple(unmeasured)


def _mitigated(
    training: _Training,
    pool: pa.Table,
    columns: list[str],
    task: Downstream,
    mitigations: tuple[Mitigation, ...],
    seed: int,
) -> _Training:
    if not columns:
        return training
    rows = training.rows
    if "rows" in mitigations:
        most = int(_MOST_ADDED * rows.num_rows)
        chosen = mitigate.balancing_rows(rows, pool, columns, task, most, generator(seed, "balance"))
        rows = pa.concat_tables([rows, pool.take(pa.array(chosen))])
    balanced = "weights" in mitigations
    return _Training(rows, mitigate.weights(rows, columns, task) if balanced else np.ones(rows.num_rows))


def _fit(training: _Training, release: pa.Table, policy: Policy, seed: int) -> Model:
    assert policy.downstream is not None, "a policy with fairness has a downstream model"
    features = [name for name in policy.features if name in release.column_names]
    words = model.vocabulary(release, features, policy)
    return model.fit(training.rows, words, policy.downstream, derive(seed, "fairness"), training.weights)


def _test(training: _Training, release: pa.Table, test: pa.Table, policy: Policy, seed: int) -> Tested:
    assert policy.downstream is not None, "a policy with fairness has a downstream model"
    fitted = _fit(training, release, policy, seed)
    scores = fitted.scores(test)
    flagged = measure.flag(scores, fitted.prevalence, generator(seed, "flag"))
    return Tested(model.positives(test, policy.downstream), scores, flagged)


def _thresholds(training: _Training, release: pa.Table, columns: list[str], policy: Policy, seed: int) -> Thresholds:
    """Chosen on released rows, each scored by a model that learned from the other rows."""
    assert policy.fairness is not None, "asked only where the policy protects a column"
    assert policy.downstream is not None, "a policy with fairness has a downstream model"
    share = float(np.average(model.positives(training.rows, policy.downstream), weights=training.weights))
    fold = generator(seed, "thresholds", "folds").permutation(np.arange(training.rows.num_rows) % _FOLDS)
    fold[release.num_rows :] = -1  # synthetic rows are learned from, never scored
    scores = np.zeros(release.num_rows)
    for number in range(_FOLDS):
        kept, scored = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        part = _Training(training.rows.take(pa.array(kept)), training.weights[kept])
        scores[scored] = _fit(part, release, policy, seed).scores(release.take(pa.array(scored)))
    labels, groups = model.positives(release, policy.downstream), group_of(release, columns)
    return thresholds.choose(labels, scores, groups, columns=columns, share=share, equal=policy.fairness.equalize)


def _told_apart(training: _Training, released: int) -> pa.Table:
    origin = ["anonymized"] * released + ["synthetic"] * (training.rows.num_rows - released)
    table = training.rows.append_column(ORIGIN, pa.array(origin))
    return table.append_column(WEIGHT, pc.round(pa.array(training.weights), 6))
