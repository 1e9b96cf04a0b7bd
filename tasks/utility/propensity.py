"""How well a model tells synthetic rows from real ones: the propensity score mean squared error, pMSE.

Real and synthetic rows are put together and a model estimates for each the chance p that it is synthetic. With N rows,
a share c of them synthetic, pMSE = sum (p - c)^2 / N, which is 0 where nothing can be told. A model tells something by
chance, the more so the more parameters it has; pMSE is therefore compared with what it would be if the synthesis were
right (Snoke, Raab, Nowok, Dibben & Slavkovic 2018, J. R. Stat. Soc. A 181:663).

The null hypothesis is that the synthetic rows were drawn from the true distribution with parameters fitted to these
real rows. Then, for logistic regression with k parameters, pMSE has the mean (k - 1) (1 - c)^2 c / N and the standard
deviation sqrt(2 (k - 1)) (1 - c)^2 c / N. Rows that are an independent sample of the same people's distribution differ
more, since real rows then scatter too: their mean is 1 / (1 - c) as large, twice at equal numbers.

A tree has no such formula. Its null is taken from trees on the same rows with shuffled origins; as these are the null
of an independent sample, they are multiplied by 1 - c, which is synthpop's half at equal numbers.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from sklearn.tree import DecisionTreeClassifier

from tasks.common.values import Value
from tasks.utility import logistic
from tasks.utility.downstream import finite, is_number, words

PERMUTATIONS = 20
_MOST_ROWS = 10_000
_MOST_LEVELS = 20
_LEAF = 0.005


class Propensity(Value):
    """pMSE with its mean and standard deviation under the null hypothesis, by one kind of model.

    by: `logistic` has a main effect of each column, so it sees single columns; `tree` sees combinations too.
    share: of synthetic rows among those compared.
    """

    by: str
    share: float
    pmse: float
    expected: float
    deviation: float

    @property
    def ratio(self) -> float:
        """pMSE as a multiple of what a right synthesis would have: 1 is perfect, 10 is poor."""
        return self.pmse / self.expected if self.expected > 0 else 1.0

    @property
    def other_people(self) -> float:
        """The ratio that an independent sample of the same distribution would have."""
        return 1 / (1 - self.share)

    @property
    def standardised(self) -> float:
        """How many standard deviations pMSE is above what a right synthesis would have."""
        return (self.pmse - self.expected) / self.deviation if self.deviation > 0 else 0.0


def measure(real: pa.Table, synthetic: pa.Table, rng: np.random.Generator) -> tuple[Propensity, ...]:
    """Tell synthetic from real rows by logistic regression and by a tree; at most 10,000 random rows of each.

    The tables have the same columns. Labels beyond a column's 20 most frequent ones count as one.
    """
    real, synthetic = (_some(table, rng) for table in (real, synthetic))
    rows = pa.concat_tables([real, synthetic], promote_options="permissive")
    origin = np.arange(rows.num_rows) >= real.num_rows
    return by_logistic(_dummies(rows), origin), by_tree(_places(rows), origin, rng)


def by_logistic(design: np.ndarray, origin: np.ndarray) -> Propensity:
    """pMSE of main effects; design: float64 (rows, columns), origin: bool (rows,), true for synthetic rows."""
    design = design[:, logistic.independent(design)]
    share, rows, columns = origin.mean(), len(origin), design.shape[1]
    unit = (1 - share) ** 2 * share / rows
    pmse = 0.0
    if columns:
        coefficients, _ = logistic.fit(design, origin)
        pmse = _pmse(logistic.chances(design, coefficients), share)
    return Propensity(
        by="logistic",
        share=float(share),
        pmse=pmse,
        expected=float(columns * unit),
        deviation=float(np.sqrt(2 * columns) * unit),
    )


def by_tree(features: np.ndarray, origin: np.ndarray, rng: np.random.Generator) -> Propensity:
    """pMSE of a classification tree (CART) with at least 0.5 % of the rows in a leaf, beside 20 shuffled origins."""
    share = origin.mean()

    def told(origin: np.ndarray) -> float:
        leaf = max(20, round(_LEAF * len(origin)))
        tree = DecisionTreeClassifier(min_samples_leaf=leaf, random_state=int(rng.integers(2**31)))
        return _pmse(tree.fit(features, origin).predict_proba(features)[:, 1], share)

    by_chance = np.array([told(rng.permutation(origin)) for _ in range(PERMUTATIONS)]) * (1 - share)
    return Propensity(
        by="tree",
        share=float(share),
        pmse=told(origin),
        expected=float(by_chance.mean()),
        deviation=float(by_chance.std(ddof=1)),
    )


def _pmse(chances: np.ndarray, share: float) -> float:
    return float(np.mean((chances - share) ** 2))


def _some(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    if table.num_rows <= _MOST_ROWS:
        return table
    return table.take(pa.array(np.sort(rng.choice(table.num_rows, _MOST_ROWS, replace=False))))


def _dummies(rows: pa.Table) -> np.ndarray:
    """Scaled numbers, marks of missing ones, and labels as dummies, float64 (rows, columns)."""
    found = []
    for name in rows.column_names:
        if is_number(rows[name]):
            numbers = finite(rows[name])
            known = np.isfinite(numbers)
            spread = numbers[known].std() if known.any() else 0.0
            middle = numbers[known].mean() if known.any() else 0.0
            found += [np.where(known, (numbers - middle) / (spread or 1.0), 0.0), (~known).astype(np.float64)]
        else:
            places = _ranked(rows[name])
            found += [(places == level).astype(np.float64) for level in range(1, int(places.max()) + 1)]
    return np.stack(found, axis=1)


def _places(rows: pa.Table) -> np.ndarray:
    """Numbers as they are and labels by their rank in frequency, float64 (rows, columns)."""
    return np.stack(
        [finite(rows[n]) if is_number(rows[n]) else _ranked(rows[n]).astype(np.float64) for n in rows.column_names],
        axis=1,
    )


def _ranked(values: pa.ChunkedArray) -> np.ndarray:
    """Each value's rank by frequency, from 0; the rarest ones share the last."""
    known, places, counts = np.unique(words(values), return_inverse=True, return_counts=True)
    ranks = np.empty(len(known), dtype=np.int64)
    ranks[np.lexsort((known, -counts))] = np.arange(len(known))
    return np.minimum(ranks[places], _MOST_LEVELS)
