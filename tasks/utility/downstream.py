"""The downstream model: a classifier that answers the policy's question from released columns.

Gradient boosted trees on histograms (Ke et al. 2017), since they take categories, intervals as categories, numbers and
missing values as they come. It stands for what a data user would do, so it is trained on released or synthetic rows and
always tested on real people whom the release never saw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from tasks.common.errors import TableError
from tasks.common.policy import Downstream, Kind, Policy
from tasks.common.values import Value

_MOST_CATEGORIES = 200
_BOOTSTRAPS = 200
_MISSING = "(missing)"


class Estimate(Value):
    """A measured quantity with the bounds of its confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Vocabulary:
    """How columns become features: the categories of each categorical one, most frequent first."""

    categories: dict[str, tuple[str, ...]]
    numeric: tuple[str, ...]

    def encode(self, table: pa.Table) -> np.ndarray:
        """Features float64 (rows, columns): places in the category lists, NaN for unknown ones, then numbers."""
        columns = [_places(table[name], known) for name, known in self.categories.items()]
        columns += [table[name].to_numpy().astype(np.float64) for name in self.numeric]
        return np.stack(columns, axis=1)


@dataclass(frozen=True)
class Model:
    """A fitted classifier with its vocabulary and the share of positives it was trained on."""

    classifier: HistGradientBoostingClassifier
    vocabulary: Vocabulary
    prevalence: float

    def scores(self, table: pa.Table) -> np.ndarray:
        """Predicted probability of the positive value, float64 (rows,)."""
        return self.classifier.predict_proba(self.vocabulary.encode(table))[:, 1]


def vocabulary(table: pa.Table, features: list[str], policy: Policy) -> Vocabulary:
    """The vocabulary of a release; generalized numbers count as categories.

    Raises:
        TableError: no feature is left.
    """
    if not features:
        raise TableError("the downstream model has no column left to learn from")
    numeric = [n for n in features if policy.columns[n].kind is Kind.NUMERIC and _is_number(table[n])]
    categories = {}
    for name in features:
        if name not in numeric:
            counts = table[name].value_counts().to_pylist()
            ranked = sorted(counts, key=lambda item: (-item["counts"], str(item["values"])))
            categories[name] = tuple(_word(item["values"]) for item in ranked[:_MOST_CATEGORIES])
    return Vocabulary(categories, tuple(numeric))


def fit(
    table: pa.Table, words: Vocabulary, downstream: Downstream, seed: int, weights: np.ndarray | None = None
) -> Model:
    """Fit the classifier on released or synthetic rows; weights float64 (rows,).

    Raises:
        TableError: the target has only one value in these rows.
    """
    labels = positives(table, downstream)
    if labels.all() or not labels.any():
        raise TableError(
            f"the downstream model needs rows with and without {downstream.target} = {downstream.positive}, "
            "but all rows are alike in that"
        )
    classifier = HistGradientBoostingClassifier(
        max_iter=100,
        learning_rate=0.1,
        max_leaf_nodes=15,
        min_samples_leaf=20,
        l2_regularization=1.0,
        early_stopping=False,
        categorical_features=list(range(len(words.categories))),
        random_state=seed,
    )
    classifier.fit(words.encode(table), labels, sample_weight=weights)
    return Model(classifier, words, float(np.average(labels, weights=weights)))


def positives(table: pa.Table, downstream: Downstream) -> np.ndarray:
    """Which rows have the positive value of the target, bool (rows,)."""
    wanted = _word(downstream.positive)
    return np.array([_word(value) == wanted for value in table[downstream.target].to_pylist()])


def auc(model: Model, table: pa.Table, downstream: Downstream, rng: np.random.Generator) -> Estimate:
    """Area under the ROC curve on real people, with a 95 % percentile bootstrap interval over rows.

    Raises:
        TableError: the test rows have only one value of the target.
    """
    labels = positives(table, downstream)
    if labels.all() or not labels.any():
        raise TableError(f"the control has no two values of {downstream.target} to test the downstream model on")
    scores = model.scores(table)
    draws = [_resampled_auc(labels, scores, rng) for _ in range(_BOOTSTRAPS)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimate(value=float(roc_auc_score(labels, scores)), low=float(low), high=float(high))


def _resampled_auc(labels: np.ndarray, scores: np.ndarray, rng: np.random.Generator) -> float:
    """One bootstrap draw, within each label so that both are always there."""
    yes, no = np.flatnonzero(labels), np.flatnonzero(~labels)
    rows = np.concatenate([rng.choice(yes, len(yes)), rng.choice(no, len(no))])
    return float(roc_auc_score(labels[rows], scores[rows]))


def _is_number(values: pa.ChunkedArray) -> bool:
    return pa.types.is_integer(values.type) or pa.types.is_floating(values.type)


def _places(values: pa.ChunkedArray, known: tuple[str, ...]) -> np.ndarray:
    place = {word: float(index) for index, word in enumerate(known)}
    encoded = values.combine_chunks().dictionary_encode("encode")
    lookup = np.array([place.get(_word(value), np.nan) for value in encoded.dictionary.to_pylist()])
    return lookup[encoded.indices.to_numpy()]


def _word(value: object) -> str:
    """A value as a category; whole numbers look the same as integers and as floats."""
    if value is None:
        return _MISSING
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
