"""What the steps of this room exchange: handles, never rows."""

from __future__ import annotations

from tasks.attacks.score import Gate, Scorecard
from tasks.common.synthesis_forms import AnyEngine
from tasks.common.table import Table
from tasks.common.values import Value
from tasks.synthesis.budget import Ledger
from tasks.utility.fidelity import Fidelity

# If a share of rows were copies and the others honest, the excess would be that share.
MOST_EXCESS = 0.25


class Account(Value):
    """How rows were drawn. drawn: all that the engine made; copies: how many of them repeated a rare row.

    achieved: by column with a condition the share of kept rows that have it, or that have each value with a share.
    ledger: what of a privacy budget was spent to learn from the rows, if there was one.
    """

    rows: int
    drawn: int
    copies: int
    achieved: dict[str, dict[str, float]]
    ledger: Ledger | None = None


class Copying(Value):
    """How near synthetic rows are to those learned from.

    rare_copies: exact copies of rare rows. nearer: share of synthetic rows whose nearest neighbour was learned from,
    in all columns but `without`, where that share is largest; expected: the share if rows were made without knowing
    any. excess, low, high: how much of the rest it is beyond that, with 95 % bounds.
    """

    rows: int
    rare_copies: int
    without: str | None
    nearer: float
    expected: float
    excess: float
    low: float
    high: float

    @property
    def acceptable(self) -> bool:
        """Whether no rare row is copied, and fewer than a quarter of the rows could be copies with some noise."""
        return self.rare_copies == 0 and self.high <= MOST_EXCESS


class Synthetic(Value):
    """Rows to add to a release, and more of the same kind to choose from when groups have to be balanced.

    epochs: of training, where the engine trains. account: how the rows were drawn.
    """

    engine: AnyEngine
    rows: Table
    pool: Table
    epochs: int | None
    account: Account

    @property
    def attacked(self) -> Table:
        """The rows that are shared, and that adversaries see."""
        return self.rows


class Candidate(Value):
    """What was found out about the rows of one engine. card: None if they were not attacked.

    failed: why there are none.
    """

    engine: AnyEngine
    epochs: int | None = None
    account: Account | None = None
    fidelity: Fidelity | None = None
    copying: Copying | None = None
    card: Scorecard | None = None
    chosen: bool = False
    failed: str | None = None

    @property
    def worth_attacking(self) -> bool:
        """Whether the rows are useful and repeat nobody."""
        return (
            self.fidelity is not None and self.fidelity.useful and self.copying is not None and self.copying.acceptable
        )

    @property
    def worth(self) -> float:
        """What candidates are ranked by: the downstream AUC, or pair trends where there is no question."""
        if self.fidelity is None:
            return 0.0
        return self.fidelity.auc.value if self.fidelity.auc else self.fidelity.trends

    @property
    def passes(self) -> bool:
        """Whether the rows may be used."""
        return self.worth_attacking and self.card is not None and self.card.gate is Gate.PASSES


def ranked(candidates: list[Candidate]) -> list[int]:
    """Places of the candidates that are worth attacking, the most useful first; of equals the earlier."""
    places = [place for place, candidate in enumerate(candidates) if candidate.worth_attacking]
    return sorted(places, key=lambda place: -candidates[place].worth)
