"""Do synthetic rows keep what the release says: single columns, pairs of columns, and the downstream question.

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
from tasks.common.values import Value
from tasks.utility import downstream as model
from tasks.utility.downstream import Estimate

_TABLE = "release"
# Pair trends have to close at least this share of the gap between shuffled columns and the release itself.
LEAST_CLOSED = 0.1


class Fidelity(Value):
    """Synthetic rows beside the release (real) and beside the release with every column shuffled (floor).

    shapes, trends, validity: sdmetrics' column shapes, column pair trends and data validity, in [0, 1].
    auc: of the downstream model trained on them and tested on real people; None without a downstream question.
    """

    shapes: float
    trends: float
    trends_floor: float
    validity: float
    auc: Estimate | None
    auc_real: Estimate | None
    auc_floor: Estimate | None

    @property
    def useful(self) -> bool:
        """Whether the rows say more than independent columns would, in pairs and in the downstream question."""
        informative = self.auc is None or self.auc_floor is None or self.auc.value > self.auc_floor.high
        return self.trends_closed >= LEAST_CLOSED and informative

    @property
    def trends_closed(self) -> float:
        """How far pair trends go from the floor (0) to the release itself (1)."""
        gap = 1 - self.trends_floor
        return (self.trends - self.trends_floor) / gap if gap > 0 else 0.0


def compare(release: pa.Table, synthetic: pa.Table, test: pa.Table, policy: Policy, seed: int) -> Fidelity:
    """Compare synthetic rows with the release they were learned from; `test` are real people neither saw."""
    floor = shuffled(release, generator(seed, "floor"))
    shapes, trends = _quality(release, synthetic)
    _, trends_floor = _quality(release, floor)
    aucs: dict[str, Estimate | None] = {"synthetic": None, "real": None, "floor": None}
    if policy.downstream is not None:
        for name, rows in (("synthetic", synthetic), ("real", release), ("floor", floor)):
            aucs[name] = _auc(rows, release, test, policy, seed)
    return Fidelity(
        shapes=shapes,
        trends=trends,
        trends_floor=trends_floor,
        validity=_validity(release, synthetic),
        auc=aucs["synthetic"],
        auc_real=aucs["real"],
        auc_floor=aucs["floor"],
    )


def shuffled(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    """The table with every column shuffled on its own: the same marginals, no relation left."""
    return pa.table({name: table[name].take(pa.array(rng.permutation(len(table)))) for name in table.column_names})


def _auc(rows: pa.Table, release: pa.Table, test: pa.Table, policy: Policy, seed: int) -> Estimate | None:
    assert policy.downstream is not None, "asked only where there is a downstream question"
    labels = model.positives(rows, policy.downstream)
    if labels.all() or not labels.any():
        return Estimate(value=0.5, low=0.5, high=0.5)
    features = [name for name in policy.features if name in release.column_names]
    fitted = model.fit(rows, model.vocabulary(release, features, policy), policy.downstream, derive(seed, "fidelity"))
    return model.auc(fitted, test, policy.downstream, generator(seed, "fidelity", "bootstrap"))


def _quality(real: pa.Table, other: pa.Table) -> tuple[float, float]:
    from sdmetrics.reports import QualityReport  # brings torch, which takes seconds

    report = QualityReport()
    _generate(report, real, other)
    scores = report.get_properties().set_index("Property")["Score"]
    return float(scores["Column Shapes"]), float(scores["Column Pair Trends"])


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
