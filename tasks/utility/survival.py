"""Survival as clinicians read it: Kaplan-Meier curves, restricted mean survival time, hazard ratios; by lifelines."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from lifelines import CoxPHFitter, KaplanMeierFitter
from lifelines.exceptions import ConvergenceError

from tasks.common.errors import TableError
from tasks.common.utility_forms import Survival
from tasks.common.values import Value
from tasks.utility import effects
from tasks.utility.downstream import Estimate, is_number, word, words
from tasks.utility.effects import NORMAL_95, Effect, Fit
from tasks.utility.terms import LEAST_ROWS, Design, Side, an_event

_POINTS = 60
_FEWEST_FOLLOWED = 10


class Curve(Value):
    """A Kaplan-Meier curve at the times of the comparison, with 95 % bounds (log-log), and the events it stands on."""

    survival: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    people: int
    events: int


class SurvivalComparison(Value):
    """Survival in real and synthetic rows, up to a time at which ten to thirty people of either are still followed.

    times: where both curves are given. largest_difference: of the curves, at any time. mean_difference: synthetic minus
    real restricted mean survival time in the unit of the times. hazards: Cox hazard ratios of the policy's groups.
    """

    times: tuple[float, ...]
    real: Curve
    synthetic: Curve
    largest_difference: float
    mean_real: float
    mean_difference: Estimate
    hazards: tuple[Effect, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Followed:
    """People with how long they were followed, float64 (people,), and whether the event ended it, bool (people,)."""

    side: Side
    durations: np.ndarray

    @property
    def events(self) -> np.ndarray:
        """Whether the event happened, bool (people,)."""
        return self.side.outcome


def compare(real: pa.Table, synthetic: pa.Table, asked: Survival) -> SurvivalComparison:
    """Compare survival in synthetic rows with that in real ones.

    The two means are taken as independent for the interval of their difference; synthetic rows that were learned from
    the real ones are not quite, so the interval is wide rather than narrow.

    Raises:
        TableError: a column is not there, times are no numbers any more, or too few people or no event are left.
    """
    sides = [followed(rows, asked, said) for rows, said in ((real, "real"), (synthetic, "synthetic"))]
    until = min(_still_followed(side.durations) for side in sides)
    if until <= 0:
        raise TableError(f"survival cannot be compared: nobody is followed for any time in `{asked.time}`")
    curves = [_kaplan_meier(side) for side in sides]
    times = np.linspace(0, until, _POINTS + 1)
    means = [restricted_mean(side.durations, side.events, until) for side in sides]
    reach = NORMAL_95 * math.sqrt(sum(error**2 for _, error in means))
    difference = means[1][0] - means[0][0]
    groups = [name for name in asked.groups if all(name in rows.column_names for rows in (real, synthetic))]
    hazards, left_out = hazard_ratios(sides[0], sides[1], groups) if groups else ((), ())
    return SurvivalComparison(
        times=tuple(times.tolist()),
        real=_curve(curves[0], sides[0], times),
        synthetic=_curve(curves[1], sides[1], times),
        largest_difference=_largest_difference(curves, sides, until),
        mean_real=means[0][0],
        mean_difference=Estimate(value=difference, low=difference - reach, high=difference + reach),
        hazards=hazards,
        left_out=left_out,
    )


def followed(rows: pa.Table, asked: Survival, said: str) -> Followed:
    """The people whose time is known and not negative; an event that is not the policy's is none.

    Raises:
        TableError: a column is not there, times are no numbers, or fewer than 30 people or no event are left.
    """
    for name in (asked.time, asked.event):
        if name not in rows.column_names:
            raise TableError(f"survival cannot be compared: the {said} rows have no column `{name}`")
    if not is_number(rows[asked.time]):
        raise TableError(f"survival cannot be compared: `{asked.time}` holds no numbers in the {said} rows")
    durations = rows[asked.time].cast(pa.float64()).to_numpy()
    happened = words(rows[asked.event]) == word(asked.positive)
    kept = np.isfinite(durations) & (np.nan_to_num(durations, nan=-1.0) >= 0)
    if kept.sum() < LEAST_ROWS or not happened[kept].any():
        raise TableError(
            f"survival cannot be compared: it takes {LEAST_ROWS} people with a time and at least one event, which the "
            f"{said} rows do not have"
        )
    return Followed(Side(rows.filter(pa.array(kept)), happened[kept], an_event), durations[kept])


def restricted_mean(durations: np.ndarray, events: np.ndarray, until: float) -> tuple[float, float]:
    """The mean time before the event within `until`, and its standard error, in the unit of durations.

    The area under the Kaplan-Meier curve S. With d events among the Y at risk at each time t, the variance is the sum
    of (area right of t)^2 d / (Y (Y - d)), Greenwood's (Klein & Moeschberger, Survival Analysis, 4.5).
    """
    times, place = np.unique(durations, return_inverse=True)
    happened = np.bincount(place, weights=events, minlength=len(times))
    at_risk = len(durations) - np.concatenate([[0], np.cumsum(np.bincount(place))[:-1]])
    survival = np.cumprod(1 - happened / at_risk)
    steps = np.diff(np.clip(np.concatenate([[0.0], times, [until]]), 0, until))
    areas = np.concatenate([[1.0], survival]) * np.maximum(steps, 0)
    right = areas.sum() - np.cumsum(areas)[:-1]
    counted = (happened > 0) & (at_risk > happened) & (times <= until)
    variance = right[counted] ** 2 @ (happened[counted] / (at_risk[counted] * (at_risk - happened)[counted]))
    return float(areas.sum()), math.sqrt(variance)


def hazard_ratios(real: Followed, synthetic: Followed, groups: list[str]) -> tuple[tuple[Effect, ...], tuple[str, ...]]:
    """Hazard ratios of groups by Cox's model, and in words what was left out."""
    try:
        return effects.compare(real.side, synthetic.side, groups, _cox(real), _cox(synthetic))
    except ConvergenceError:
        return (), ("Cox's model did not converge, so there are no hazard ratios",)


def _cox(people: Followed) -> Fit:
    def fit(design: Design) -> tuple[np.ndarray, np.ndarray]:
        frame = pd.DataFrame(design.matrix, columns=[f"x{place}" for place in range(design.matrix.shape[1])])
        frame["time"], frame["event"] = people.durations[design.kept], design.outcome
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of separation, which shows in the standard errors
            model = CoxPHFitter().fit(frame, "time", "event")
        return model.params_.to_numpy(), model.standard_errors_.to_numpy()

    return fit


def _still_followed(durations: np.ndarray) -> float:
    """The latest time that a curve is worth reading at, and that tells of nobody alone."""
    people = min(max(len(durations) // 10, _FEWEST_FOLLOWED), LEAST_ROWS)
    return float(np.sort(durations)[-people])


def _kaplan_meier(people: Followed) -> KaplanMeierFitter:
    return KaplanMeierFitter().fit(people.durations, people.events)


def _curve(fitted: KaplanMeierFitter, people: Followed, times: np.ndarray) -> Curve:
    bounds = fitted.confidence_interval_survival_function_
    # Steps hold until the next time, and no curve leaves 1 before its first.
    place = np.searchsorted(bounds.index.to_numpy(), times, side="right") - 1
    low, high = (np.nan_to_num(bounds.iloc[:, side].to_numpy(), nan=1.0)[place] for side in (0, 1))
    return Curve(
        survival=tuple(fitted.survival_function_at_times(times).to_numpy().tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
        people=len(people.durations),
        events=int(people.events.sum()),
    )


def _largest_difference(curves: list[KaplanMeierFitter], sides: list[Followed], until: float) -> float:
    times = np.unique(np.concatenate([side.durations[side.events] for side in sides]))
    times = times[times <= until]
    values = [curve.survival_function_at_times(times).to_numpy() for curve in curves]
    return float(np.max(np.abs(values[0] - values[1]))) if len(times) else 0.0
