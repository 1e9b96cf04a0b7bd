"""Differentially private rows from noisy marginals: measure some counts, fit a graphical model to them, draw from it.

MST (McKenna, Miklau & Sheldon 2021, Journal of Privacy and Confidentiality 11(3), arXiv 2108.04978) measures every
single column, then chooses a spanning tree of pairs, each by the exponential mechanism among those that the model so
far gets most wrong, and measures these. A third of the budget goes to each of the three.

AIM (McKenna, Mullins, Sheldon & Miklau 2022, PVLDB 15(11), arXiv 2201.12677) goes on round by round: choose the pair
that the model gets most wrong beyond what noise does anyway, measure it, fit again, with less noise where a round no
longer learns anything.

Models are fitted by mbi (McKenna et al. 2019, ICML, arXiv 1901.09136). What stands here is written against its
interface, after its author's own mechanisms.
"""

from __future__ import annotations

import itertools
import math
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.common.errors import MissingPart
from tasks.synthesis.accountant import Accountant

Progress = Callable[[int], None]
Clique = tuple[str, ...]

_FEWEST_SIGMAS = 3.0  # values with fewer rows than so many standard deviations are counted together, as MST has it
_STEPS, _STEPS_BETWEEN = 2_000, 500  # of mirror descent: for the model to draw from, and for those to choose by
_LARGEST_MARGINAL = 1_000_000  # cells
_MOST_CLASSES = 12  # of a target; every clique of the tree is multiplied by them
_ROWS_AT_ONCE = 1 << 16
# AIM: most rounds by column, the share of a round's budget that is for measuring, and cells of the model.
_ROUNDS, _MEASURING, _LARGEST_MODEL = 16, 0.9, 500_000


@dataclass(frozen=True)
class Measured:
    """Noisy counts of a marginal. values: float64 (cells,) of the merged places."""

    clique: Clique
    values: np.ndarray
    sigma: float


@dataclass(frozen=True)
class Merged:
    """Places of a column with the rare ones counted as one, the last. of: int64 (places,), the merged place of each."""

    of: np.ndarray

    @property
    def size(self) -> int:
        """How many merged places there are."""
        return int(self.of.max()) + 1

    def split(self, places: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Merged places as places again, evenly among those that were merged."""
        order = np.argsort(self.of, kind="stable")
        count = np.bincount(self.of, minlength=self.size)
        first = np.cumsum(count) - count
        return order[first[places] + (rng.random(len(places)) * count[places]).astype(np.int64)]


@dataclass(frozen=True)
class Bucket:
    """What decides a column's merged place: weights by the places of `given`, then its own; float64 (…, places)."""

    column: str
    given: Clique
    weights: np.ndarray

    def draw(self, known: Mapping[str, np.ndarray], rows: int, rng: np.random.Generator) -> np.ndarray:
        """Merged places of so many rows, int64 (rows,), given those of other columns."""
        shape = self.weights.shape
        upto = np.cumsum(self.weights.reshape(-1, shape[-1]), axis=1)
        case = (
            np.ravel_multi_index([known[name] for name in self.given], shape[:-1])
            if self.given
            else np.zeros(rows, np.int64)
        )
        drawn = rng.random(rows)
        places = np.empty(rows, np.int64)
        for start in range(0, rows, _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            within = upto[case[part]]
            places[part] = (within <= drawn[part, None] * within[:, -1:]).sum(axis=1)
        return np.minimum(places, shape[-1] - 1)


@dataclass(frozen=True)
class Marginals:
    """A graphical model of merged places to draw from, and how these become places again.

    buckets: in the order in which columns are drawn. cliques: the marginals of several columns that were measured.
    """

    buckets: tuple[Bucket, ...]
    merged: Mapping[str, Merged]
    total: float
    cliques: tuple[Clique, ...]

    def sample(self, rows: int, seed: int) -> dict[str, np.ndarray]:
        """Places of so many rows, by column."""
        rng = np.random.default_rng(seed)
        drawn: dict[str, np.ndarray] = {}
        for bucket in self.buckets:
            drawn[bucket.column] = bucket.draw(drawn, rows, rng)
        return {name: merged.split(drawn[name], rng) for name, merged in self.merged.items()}


def mst(
    places: Mapping[str, np.ndarray],
    sizes: Mapping[str, int],
    accountant: Accountant,
    progress: Progress,
    target: str | None = None,
) -> Marginals:
    """Spend what is left on the marginals of MST. places: int64 (rows,) by column. sizes: places there are.

    target: a column that all others shall be related to, as a public question asks for; its pairs are measured beside
    the tree. A tree alone relates it to one or two columns, from which nothing is learned about the question.

    Raises:
        BudgetExhausted, PolicyError: as the accountant does.
        MissingPart: mbi is not installed.
    """
    rho, related = accountant.ledger.rho_left(), len(sizes) > 1
    table = _Table.measured(places, sizes, accountant, rho / 3 if related else rho)
    if related:
        progress(1)
        tree = _tree(table, accountant, rho / 3)
        progress(2)
        pairs = [*tree, *_star(table, target, tree)]
        for pair in pairs:
            table.measure(pair, accountant, rho / 3 / len(pairs))
    progress(3)
    return table.finished()


def aim(
    places: Mapping[str, np.ndarray], sizes: Mapping[str, int], accountant: Accountant, progress: Progress
) -> Marginals:
    """Spend what is left on the marginals of AIM, with all pairs of columns as the workload.

    Raises:
        BudgetExhausted, PolicyError: as the accountant does.
        MissingPart: mbi is not installed.
    """
    whole, most = accountant.ledger.rho_left(), _ROUNDS * len(sizes)
    share = whole / most
    table = _Table.measured(places, sizes, accountant, len(sizes) * _MEASURING * share)
    table.fit(_STEPS_BETWEEN)
    round_, last = 0, len(sizes) < 2
    while not last:
        left = accountant.ledger.rho_left()
        last = left < 2 * share  # too little for another round after this one
        share = left if last else share
        candidates = _affordable(table, _LARGEST_MODEL * (1 - (left - share) / whole))
        if not candidates:
            break
        _learn(table, candidates, accountant, share)
        round_ += 1
        progress(round_)
        if table.learned_nothing:
            share *= 4  # half the noise
    return table.finished()


def _learn(table: _Table, candidates: list[Clique], accountant: Accountant, rho: float) -> None:
    """One round: choose the pair that the model gets most wrong beyond what noise does anyway, count it, fit again."""
    sigma = accountant.rows / math.sqrt(2 * _MEASURING * rho)
    wrong = [
        float(np.abs(table.exact(pair) - table.expected(pair)).sum()) - _expected_noise(sigma, table.cells(pair))
        for pair in candidates
    ]
    pair = candidates[accountant.choose("pair", np.array(wrong), (1 - _MEASURING) * rho)]
    before = table.expected(pair)
    sigma = table.measure(pair, accountant, _MEASURING * rho)
    table.fit(_STEPS_BETWEEN)
    moved = float(np.abs(table.expected(pair) - before).sum())
    table.learned_nothing = moved <= _expected_noise(sigma, table.cells(pair))


def _expected_noise(sigma: float, cells: int) -> float:
    """Expected L1 norm of noise on so many cells."""
    return math.sqrt(2 / math.pi) * sigma * cells


def _affordable(table: _Table, cells: float) -> list[Clique]:
    """Pairs that the model has already, or that it can take up without growing beyond so many cells."""
    return [pair for pair in itertools.combinations(table.sizes, 2) if table.cells_with(pair) <= cells]


class _Table:
    """Rows as merged places, the marginals that were measured of them so far, and the model of these."""

    def __init__(self, places: Mapping[str, np.ndarray], merged: Mapping[str, Merged], one_way: list[Measured]) -> None:
        self._mbi = _mbi()
        self.merged = merged
        self.sizes = {name: column.size for name, column in merged.items()}
        self._places = {name: column.of[places[name]] for name, column in merged.items()}
        self._domain = self._mbi.Domain.fromdict(self.sizes)
        self._measurements = [self._one_way(measured) for measured in one_way]
        weights = np.array([1 / (m.sigma**2 * m.values.size) for m in one_way])
        # Each single column says how many rows there are; weighted by how exactly it does.
        self.total = max(float(np.average([m.values.sum() for m in one_way], weights=weights)), 1.0)
        self.model: Any = None
        self._factors: list[tuple[Clique, np.ndarray]] = []
        self.learned_nothing = False

    @classmethod
    def measured(
        cls, places: Mapping[str, np.ndarray], sizes: Mapping[str, int], accountant: Accountant, rho: float
    ) -> _Table:
        """With each column counted, for `rho` in all, and rare places merged."""
        one_way = []
        for name, size in sizes.items():
            counts = np.bincount(places[name], minlength=size)
            noisy = accountant.count(f"marginal of `{name}`", counts, rho / len(sizes))
            one_way.append(Measured((name,), noisy.counts.astype(float), noisy.sigma))
        return cls(places, {m.clique[0]: _merge(m) for m in one_way}, one_way)

    def exact(self, clique: Clique) -> np.ndarray:
        """Counts of a marginal, int64 (cells,): of the rows, so only to be given to the accountant."""
        shape = [self.sizes[name] for name in clique]
        cells = np.ravel_multi_index([self._places[name] for name in clique], shape)
        return np.bincount(cells, minlength=math.prod(shape))

    def expected(self, clique: Clique) -> np.ndarray:
        """The same as the model has them, float64 (cells,).

        Sums out all other columns; by numpy, since mbi compiles a program for each marginal it is asked for.
        """
        from opt_einsum import contract

        number = {name: place for place, name in enumerate(self.sizes)}
        operands: list[Any] = []
        for columns, values in self._linked(clique):
            operands += [values, [number[name] for name in columns]]
        counts = contract(*operands, [number[name] for name in clique])
        return (counts * (self.total / counts.sum())).ravel()

    def _linked(self, clique: Clique) -> list[tuple[Clique, np.ndarray]]:
        """Factors of the model that bear on these columns; all others sum to a constant."""
        linked: list[tuple[Clique, np.ndarray]] = []
        reached, more = set(clique), True
        rest = self._factors
        while more:
            near = [factor for factor in rest if reached & set(factor[0])]
            rest = [factor for factor in rest if not reached & set(factor[0])]
            reached.update(name for columns, _ in near for name in columns)
            linked, more = [*linked, *near], bool(near)
        return linked

    def cells(self, clique: Clique) -> int:
        """Cells of a marginal."""
        return math.prod(self.sizes[name] for name in clique)

    def cells_with(self, clique: Clique) -> float:
        """Cells of the model if one more marginal is measured; none more for one that it supports."""
        cliques = [*self.model.cliques, clique]
        return self._mbi.junction_tree.hypothetical_model_size(self._domain, cliques) * 2**20 / 8

    def measure(self, clique: Clique, accountant: Accountant, rho: float) -> float:
        """Count a marginal for `rho`; returns the standard deviation of the noise."""
        title = " and ".join(f"`{name}`" for name in clique)
        noisy = accountant.count(f"marginal of {title}", self.exact(clique), rho)
        self._measurements.append(self._mbi.LinearMeasurement(noisy.counts.astype(float), clique, stddev=noisy.sigma))
        return noisy.sigma

    def fit(self, steps: int) -> None:
        """Fit the model to all that was measured, from where it was."""
        self.model = self._mbi.estimation.MirrorDescent().estimate(
            self._domain, self._measurements, known_total=self.total, iters=steps, warm_start=self.model
        )
        logs = {clique: np.asarray(factor.values) for clique, factor in self.model.potentials.tables.items()}
        self._factors = [(clique, np.exp(values - values.max())) for clique, values in logs.items()]

    def finished(self) -> Marginals:
        """The model to draw from."""
        self.fit(_STEPS)
        cliques = tuple(tuple(m.clique) for m in self._measurements if len(m.clique) > 1)
        return Marginals(tuple(self._buckets()), self.merged, self.total, cliques)

    def _buckets(self) -> list[Bucket]:
        """Bucket elimination (Dechter 1999, Artificial Intelligence 113): the last column summed out is drawn first."""
        from opt_einsum import contract

        number = {name: place for place, name in enumerate(self.sizes)}
        _, order = self._mbi.junction_tree.make_junction_tree(self._domain, [clique for clique, _ in self._factors])
        factors, buckets = list(self._factors), []
        for name in order:
            inside = [factor for factor in factors if name in factor[0]]
            given = tuple(
                sorted(
                    {other for columns, _ in inside for other in columns} - {name}, key=lambda column: number[column]
                )
            )
            operands: list[Any] = []
            for columns, values in inside:
                operands += [values, [number[column] for column in columns]]
            weights = contract(*operands, [number[column] for column in (*given, name)])
            weights = weights / weights.max()
            buckets.append(Bucket(name, given, weights))
            factors = [factor for factor in factors if name not in factor[0]] + [(given, weights.sum(axis=-1))]
        return buckets[::-1]

    def _one_way(self, measured: Measured) -> Any:
        """A column's counts after rare places were merged; the sum of n counts is divided by the root of n."""
        of = self.merged[measured.clique[0]].of
        shrink = 1 / np.sqrt(np.bincount(of))
        return self._mbi.LinearMeasurement(
            np.bincount(of, weights=measured.values) * shrink,
            measured.clique,
            stddev=measured.sigma,
            query=self._mbi.WeightedQuery(shrink),
        )


def _merge(measured: Measured) -> Merged:
    common = measured.values >= _FEWEST_SIGMAS * measured.sigma
    of = np.cumsum(common) - 1
    return Merged(np.where(common, of, common.sum()))


def _tree(table: _Table, accountant: Accountant, rho: float) -> list[Clique]:
    """A spanning tree of pairs, by the exponential mechanism in Kruskal's order, for `rho` in all.

    A pair's score is the L1 distance of its counts from what independent columns would have; one row changes it by 1.
    """
    table.fit(_STEPS_BETWEEN)
    pairs = [pair for pair in itertools.combinations(table.sizes, 2) if table.cells(pair) <= _LARGEST_MARGINAL]
    scores = {pair: float(np.abs(table.exact(pair) - table.expected(pair)).sum()) for pair in pairs}
    part = {name: name for name in table.sizes}
    tree: list[Clique] = []
    while candidates := [pair for pair in pairs if part[pair[0]] != part[pair[1]]]:
        values = np.array([scores[pair] for pair in candidates])
        chosen = candidates[accountant.choose(f"pair {len(tree) + 1}", values, rho / (len(table.sizes) - 1))]
        tree.append(chosen)
        joined, into = part[chosen[0]], part[chosen[1]]
        part = {name: into if group == joined else group for name, group in part.items()}
    return tree


def _star(table: _Table, target: str | None, tree: list[Clique]) -> list[Clique]:
    """Pairs of the target with all columns that the tree does not relate it to, unless it has too many places."""
    if target not in table.sizes or table.sizes[target] > _MOST_CLASSES:
        return []
    known = {frozenset(pair) for pair in tree}
    return [(target, name) for name in table.sizes if name != target and frozenset((target, name)) not in known]


def _mbi() -> Any:
    """The mbi package, with 64-bit floats, without which large counts do not converge.

    Raises:
        MissingPart: it is not installed.
    """
    # Most of the time goes into compiling small programs that run once; this halves it.
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1")
    try:
        import jax

        jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own, about jax' settings
            import mbi
    except ImportError as error:
        raise MissingPart(
            "differentially private synthesis by marginals needs the package mbi; pip install 'secured[privacy]'"
        ) from error
    return mbi
