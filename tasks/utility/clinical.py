"""What clinicians would read from synthetic rows, beside what they would from the release: effects and survival."""

from __future__ import annotations

import pyarrow as pa

from tasks.common.errors import TableError
from tasks.common.policy import Policy
from tasks.common.values import Value
from tasks.utility import effects
from tasks.utility import survival as surviving
from tasks.utility.downstream import positives
from tasks.utility.effects import Effect
from tasks.utility.survival import SurvivalComparison
from tasks.utility.terms import Side


class Clinical(Value):
    """Odds ratios of the downstream question and survival, in real and synthetic rows.

    odds: a ratio for each label of each feature beside its most frequent one. survival: None where the policy has no
    such question, or where it cannot be answered. left_out: what is not among them, in words.
    """

    odds: tuple[Effect, ...]
    survival: SurvivalComparison | None
    left_out: tuple[str, ...]


def compare(real: pa.Table, synthetic: pa.Table, policy: Policy) -> Clinical:
    """Compare the answers to the policy's questions; a question that these rows cannot answer is left out with a word.

    The adjustments that protect a release may take a column away or make labels of times, which is no reason to stop.
    """
    odds, left_out = _odds(real, synthetic, policy)
    survival = None
    if policy.survival is not None:
        try:
            survival = surviving.compare(real, synthetic, policy.survival)
        except TableError as error:
            left_out = (*left_out, str(error))
    return Clinical(odds=odds, survival=survival, left_out=left_out)


def mean_overlap(found: tuple[Effect, ...]) -> float:
    """The mean overlap of the intervals, in [0, 1]; 0 without any."""
    return sum(effect.overlap for effect in found) / len(found) if found else 0.0


def agreeing(found: tuple[Effect, ...]) -> float:
    """The share of effects that a reader would draw the same conclusion from; 0 without any."""
    return sum(effect.agrees for effect in found) / len(found) if found else 0.0


def _odds(real: pa.Table, synthetic: pa.Table, policy: Policy) -> tuple[tuple[Effect, ...], tuple[str, ...]]:
    if policy.downstream is None:
        return (), ()
    sides = [Side(rows, positives(rows, policy.downstream)) for rows in (real, synthetic)]
    if any(side.outcome.all() or not side.outcome.any() for side in sides):
        return (), (f"odds ratios: {policy.downstream.target} is the same in all real or in all synthetic rows",)
    columns = [n for n in policy.features if all(n in rows.column_names for rows in (real, synthetic))]
    return effects.odds_ratios(sides[0], sides[1], columns)
