"""Do synthetic rows keep what the release says: columns, pairs of columns, the downstream question, clinical answers.

A quality average is easily won by rows that are useless: shuffling every column keeps all marginals. Synthetic rows are
therefore compared with that floor, and pass only above it where it counts.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tasks.common.policy import Policy
from tasks.common.seeds import derive, generator
from tasks.common.utility_forms import Downstream
from tasks.common.values import Value
from tasks.utility import clinical, propensity, roc
from tasks.utility import downstream as model
from tasks.utility.clinical import Clinical
from tasks.utility.downstream import Estimate, Family
from tasks.utility.propensity import Propensity

_TABLE = "release"
# Pair trends have to close at least this share of the gap between shuffled columns and the release itself.
LEAST_CLOSED = 0.1


class Answer(Value):
    """AUC of one family of models, tested on the same real people, by what it was trained on.

    gap: real minus synthetic; its interval is that of paired draws of the tested people, so that it says what other
    people in the test would have shown, and not what other training rows would have.
    """

    family: Family
    synthetic: Estimate
    real: Estimate
    floor: Estimate
    gap: Estimate


class Fidelity(Value):
    """Synthetic rows beside the release (real) and beside the release with every column shuffled (floor).

    shapes, trends, validity: sdmetrics' column shapes, column pair trends and data validity, in [0, 1].
    answers: to the downstream question, by families of models, boosting first; empty without a question.
    propensity: how well models tell the rows from the release. clinical: what clinicians would read from them.
    largest_gap: the policy's largest loss of AUC that is still useful.
    """

    shapes: float
    trends: float
    trends_floor: float
    validity: float
    answers: tuple[Answer, ...]
    propensity: tuple[Propensity, ...]
    clinical: Clinical
    largest_gap: float

    @property
    def auc(self) -> Estimate | None:
        """AUC of the boosting model trained on the synthetic rows; None without a downstream question."""
        return self.answers[0].synthetic if self.answers else None

    @property
    def auc_real(self) -> Estimate | None:
        """AUC of the boosting model trained on the release."""
        return self.answers[0].real if self.answers else None

    @property
    def auc_floor(self) -> Estimate | None:
        """AUC of the boosting model trained on shuffled columns."""
        return self.answers[0].floor if self.answers else None

    @property
    def useful(self) -> bool:
        """Whether the rows say more than independent columns would, and not much less than the release.

        In pairs of columns they have to close a tenth of the way from shuffled columns to the release. With a
        downstream question the boosting model learned from them has to be above the upper bound of the floor, and to
        lose no more AUC beside the release than the policy's `usefulness.gap`, by the estimate. The other families,
        pMSE and clinical answers are shown and decide nothing.
        """
        return self.trends_closed >= LEAST_CLOSED and (not self.answers or (self.informative and self.near))

    @property
    def informative(self) -> bool:
        """Whether the boosting model learned more than from shuffled columns; false without a question."""
        return bool(self.answers) and self.answers[0].synthetic.value > self.answers[0].floor.high

    @property
    def near(self) -> bool:
        """Whether the boosting model loses no more than the policy's gap; false without a question."""
        return bool(self.answers) and self.answers[0].gap.value <= self.largest_gap

    @property
    def trends_closed(self) -> float:
        """How far pair trends go from the floor (0) to the release itself (1)."""
        gap = 1 - self.trends_floor
        return (self.trends - self.trends_floor) / gap if gap > 0 else 0.0


def compare(release: pa.Table, synthetic: pa.Table, test: pa.Table, policy: Policy, seed: int) -> Fidelity:
    """Compare synthetic rows with the release they were learned from; `test` are real people neither saw.

    Raises:
        TableError: the target has only one value in the release or in the test rows.
    """
    floor = shuffled(release, generator(seed, "floor"))
    shapes, trends = _quality(release, synthetic)
    _, trends_floor = _quality(release, floor)
    return Fidelity(
        shapes=shapes,
        trends=trends,
        trends_floor=trends_floor,
        validity=_validity(release, synthetic),
        answers=_answers(release, synthetic, floor, test, policy, seed),
        propensity=propensity.measure(release, synthetic, generator(seed, "propensity")),
        clinical=clinical.compare(release, synthetic, policy),
        largest_gap=policy.usefulness.gap,
    )


def shuffled(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    """The table with every column shuffled on its own: the same marginals, no relation left."""
    return pa.table({name: table[name].take(pa.array(rng.permutation(len(table)))) for name in table.column_names})


def _answers(
    release: pa.Table, synthetic: pa.Table, floor: pa.Table, test: pa.Table, policy: Policy, seed: int
) -> tuple[Answer, ...]:
    task = policy.downstream
    if task is None:
        return ()
    words = model.vocabulary(release, [name for name in policy.features if name in release.column_names], policy)
    labels = model.tested(test, task)
    model.outcomes(release, task)
    answers = []
    for family in Family:

        def area(rows: pa.Table, family: Family = family) -> tuple[float, np.ndarray]:
            scores = _scores(family, rows, words, test, task, derive(seed, "fidelity"))
            return roc.area(labels, scores), roc.areas(labels, scores, generator(seed, "fidelity", "bootstrap"))

        (made, draws), (real, real_draws) = area(synthetic), area(release)
        answers.append(
            Answer(
                family=family,
                synthetic=model.estimate(made, draws),
                real=model.estimate(real, real_draws),
                floor=model.estimate(*area(floor)),
                gap=model.estimate(real - made, real_draws - draws),
            )
        )
    return tuple(answers)


def _scores(
    family: Family, rows: pa.Table, words: model.Vocabulary, test: pa.Table, task: Downstream, seed: int
) -> np.ndarray:
    """Scores of the tested people by a model of these rows; all alike where the rows have one outcome only."""
    labels = model.positives(rows, task)
    if labels.all() or not labels.any():
        return np.zeros(test.num_rows)
    return model.fit_family(family, rows, words, task, seed).scores(test)


def _quality(real: pa.Table, other: pa.Table) -> tuple[float, float]:
    """Column shapes and pair trends. Where no pair is related as strongly as sdmetrics wants, all pairs count."""
    from sdmetrics.reports import QualityReport  # brings torch, which takes seconds

    shapes, trends = 0.0, np.nan
    for changed in ({}, {"real_correlation_threshold": 0, "real_association_threshold": 0}):
        report = QualityReport()
        for name, value in changed.items():
            setattr(report, name, value)
        _generate(report, real, other)
        scores = report.get_properties().set_index("Property")["Score"]
        shapes, trends = float(scores["Column Shapes"]), float(scores["Column Pair Trends"])
        if not np.isnan(trends):
            return shapes, trends
    return shapes, 0.0  # without two columns that vary there is no trend to keep


def _validity(real: pa.Table, other: pa.Table) -> float:
    from sdmetrics.reports import DiagnosticReport

    report = DiagnosticReport()
    _generate(report, real, other)
    scores = report.get_properties().set_index("Property")["Score"]
    return float(scores["Data Validity"])


def _generate(report: Any, real: pa.Table, other: pa.Table) -> None:
    columns = {name: {"sdtype": _sdtype(real[name])} for name in real.column_names}
    metadata = {"tables": {_TABLE: {"columns": columns}}}
    report.num_rows_subsample = None  # all rows: a sample would be another one in each run
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant columns make sdmetrics warn of correlations it leaves out
        report.generate({_TABLE: _frame(real)}, {_TABLE: _frame(other)}, metadata, verbose=False)


def _sdtype(values: pa.ChunkedArray) -> str:
    return "numerical" if pa.types.is_integer(values.type) or pa.types.is_floating(values.type) else "categorical"


def _frame(table: pa.Table) -> pd.DataFrame:
    """As pandas, with labels and dates as text and missing ones as a category of their own."""
    columns = {}
    for name in table.column_names:
        labels = _sdtype(table[name]) == "categorical"
        columns[name] = pc.fill_null(table[name].cast(pa.string()), "(missing)") if labels else table[name]
    return pa.table(columns).to_pandas()
