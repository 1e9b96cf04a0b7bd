"""The downstream model: a classifier that answers the policy's question from released columns.

Gradient boosted trees on histograms (Ke et al. 2017), since they take categories, intervals as categories, numbers and
missing values as they come. It stands for what a data user would do, so it is trained on released or synthetic rows and
always tested on real people whom the release never saw. Data users differ: logistic regression and a random forest are
tried beside it where synthetic rows are judged, since rows that serve one kind of model need not serve the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tasks.common.errors import TableError
from tasks.common.policy import Kind, Policy
from tasks.common.utility_forms import Downstream
from tasks.common.values import Value
from tasks.utility import roc

_MOST_CATEGORIES = 200
MISSING = "(missing)"


class Family(StrEnum):
    """Kinds of models that data users answer a question with."""

    BOOSTING = "boosting"  # gradient boosted trees: the one that volume and fairness are measured by
    LOGISTIC = "logistic"  # logistic regression on one-hot labels, scaled numbers and marks for missing ones
    FOREST = "forest"  # random forest


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
        columns += [finite(table[name]) for name in self.numeric]
        return np.stack(columns, axis=1)


@dataclass(frozen=True)
class Model:
    """A fitted classifier of scikit-learn with its vocabulary and the share of positives it was trained on."""

    classifier: Any
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
    numeric = [n for n in features if policy.columns[n].kind is Kind.NUMERIC and is_number(table[n])]
    categories = {}
    for name in features:
        if name not in numeric:
            counts = table[name].value_counts().to_pylist()
            ranked = sorted(counts, key=lambda item: (-item["counts"], str(item["values"])))
            categories[name] = tuple(word(item["values"]) for item in ranked[:_MOST_CATEGORIES])
    return Vocabulary(categories, tuple(numeric))


def fit(
    table: pa.Table, words: Vocabulary, downstream: Downstream, seed: int, weights: np.ndarray | None = None
) -> Model:
    """Fit the boosting classifier on released or synthetic rows; weights float64 (rows,).

    Raises:
        TableError: the target has only one value in these rows.
    """
    labels = outcomes(table, downstream)
    classifier = _classifier(Family.BOOSTING, words, seed)
    classifier.fit(_known(words.encode(table)), labels, sample_weight=weights)
    return Model(classifier, words, float(np.average(labels, weights=weights)))


def fit_family(family: Family, table: pa.Table, words: Vocabulary, downstream: Downstream, seed: int) -> Model:
    """Fit a classifier of one family; the boosting one is that of `fit`.

    Raises:
        TableError: the target has only one value in these rows.
    """
    labels = outcomes(table, downstream)
    classifier = _classifier(family, words, seed)
    classifier.fit(_known(words.encode(table)), labels)
    return Model(classifier, words, float(np.mean(labels)))


def outcomes(table: pa.Table, downstream: Downstream) -> np.ndarray:
    """Which rows to learn from are positive, bool (rows,).

    Raises:
        TableError: they are all alike.
    """
    labels = positives(table, downstream)
    if labels.all() or not labels.any():
        raise TableError(
            f"the downstream model needs rows with and without {downstream.target} = {downstream.positive}, "
            "but all rows are alike in that"
        )
    return labels


def _known(features: np.ndarray) -> np.ndarray:
    """The features with columns that no row has a value in as zeros: they teach nothing, and trees cannot cut them."""
    return np.where(np.isnan(features).all(axis=0), 0.0, features)


def _classifier(family: Family, words: Vocabulary, seed: int) -> Any:
    labels = list(range(len(words.categories)))
    numbers = list(range(len(labels), len(labels) + len(words.numeric)))
    if family is Family.BOOSTING:
        return HistGradientBoostingClassifier(
            max_iter=100,
            learning_rate=0.1,
            max_leaf_nodes=15,
            min_samples_leaf=20,
            l2_regularization=1.0,
            early_stopping=False,
            categorical_features=labels,
            random_state=seed,
        )
    if family is Family.FOREST:
        return RandomForestClassifier(n_estimators=100, min_samples_leaf=5, n_jobs=1, random_state=seed)
    filled = make_pipeline(SimpleImputer(add_indicator=True, keep_empty_features=True), StandardScaler())
    features = ColumnTransformer(
        [("labels", OneHotEncoder(handle_unknown="ignore"), labels), ("numbers", filled, numbers)]
    )
    return make_pipeline(features, LogisticRegression(max_iter=1000))


def positives(table: pa.Table, downstream: Downstream) -> np.ndarray:
    """Which rows have the positive value of the target, bool (rows,)."""
    return words(table[downstream.target]) == word(downstream.positive)


def auc(model: Model, table: pa.Table, downstream: Downstream, rng: np.random.Generator) -> Estimate:
    """Area under the ROC curve on real people, with a 95 % percentile bootstrap interval over rows.

    Raises:
        TableError: the test rows have only one value of the target.
    """
    labels = tested(table, downstream)
    scores = model.scores(table)
    return estimate(roc.area(labels, scores), roc.areas(labels, scores, rng))


def tested(table: pa.Table, downstream: Downstream) -> np.ndarray:
    """Which of the tested people are positive, bool (rows,).

    Raises:
        TableError: they are all alike.
    """
    labels = positives(table, downstream)
    if labels.all() or not labels.any():
        raise TableError(f"the control has no two values of {downstream.target} to test the downstream model on")
    return labels


def estimate(value: float, draws: np.ndarray) -> Estimate:
    """A value with the 95 % percentile interval of its bootstrap draws."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimate(value=value, low=float(low), high=float(high))


def is_number(values: pa.ChunkedArray) -> bool:
    """Whether a column holds numbers, not labels of them."""
    return pa.types.is_integer(values.type) or pa.types.is_floating(values.type)


def finite(values: pa.ChunkedArray) -> np.ndarray:
    """Numbers as float64 (rows,), NaN for missing and infinite ones."""
    numbers = values.cast(pa.float64()).to_numpy()
    return np.where(np.isfinite(numbers), numbers, np.nan)


def words(values: pa.ChunkedArray) -> np.ndarray:
    """Values as categories, str (rows,)."""
    encoded = values.combine_chunks().dictionary_encode("encode")
    known = np.array([word(value) for value in encoded.dictionary.to_pylist()], dtype=str)
    return known[encoded.indices.to_numpy()]


def _places(values: pa.ChunkedArray, known: tuple[str, ...]) -> np.ndarray:
    place = {label: float(index) for index, label in enumerate(known)}
    encoded = values.combine_chunks().dictionary_encode("encode")
    lookup = np.array([place.get(word(value), np.nan) for value in encoded.dictionary.to_pylist()])
    return lookup[encoded.indices.to_numpy()]


def word(value: object) -> str:
    """A value as a category; whole numbers look the same as integers and as floats."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
