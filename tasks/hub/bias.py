"""Bias in the words and pictures of the report, and in the figures of the knowledge base."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tasks.common.policy import Policy
from tasks.fairness.groups import LEAST_PEOPLE
from tasks.fairness.measure import Bias, GroupRates
from tasks.fairness.rates import Difference
from tasks.fairness.thresholds import Rule, Thresholds
from tasks.fairness.unbias import Fairness, Standing, Unmeasured
from tasks.hub.pictures import Span
from tasks.hub.wording import percent
from tasks.utility.downstream import Estimate

# What differs between groups, the field's name for it, and whether it compares with what was recorded.
MEASURES = {
    "parity": ("flagged", "demographic parity", False),
    "odds": ("found, or wrongly flagged", "equalized odds", True),
    "opportunity": ("found", "equal opportunity", True),
    "predictive": ("right when flagged", "predictive parity", True),
    "calibration": ("more than predicted", "calibration", True),
}
HEADS = ("flagged", "found", "false alarms", "right", "more than predicted", "slope", "ranking")
_DRAWN = {"parity": "flagged", "odds": "errors"}
STANDINGS = {
    Standing.WITHIN: ("good", "within the tolerance"),
    Standing.ABOVE: ("bad", "above the tolerance"),
    Standing.UNCLEAR: ("unsure", "too few people to tell"),
}
TRUST = (
    "The policy says that what was recorded is itself wrong more often for some groups. How often groups are flagged "
    "can be trusted all the same. Whatever compares with the records cannot: false alarms, right when flagged, more "
    "than predicted, ranking, and the AUC below. How many are found can, if cases of a group were missed at random."
)
_WHY = {
    "left out": "Bias by {column} cannot be measured: the release leaves the column out.",
    "one value": "Bias by {column} cannot be measured any more: generalized as it is, every row of the release says "
    "the same. Whoever uses the release cannot tell these groups apart, nor see whether they are treated alike.",
    "too few people": "Bias by {column} cannot be measured: fewer than two groups have "
    f"{LEAST_PEOPLE} people among those held out.",
}
_EQUALIZED = {
    "demographic_parity": "groups are flagged equally often",
    "true_positive_rate_parity": "cases of all groups are found equally often",
    "equalized_odds": "both kinds of error are equally often in all groups",
}


@dataclass(frozen=True)
class Cell:
    """A figure and its bounds, as they are shown."""

    value: str
    bounds: str = ""


@dataclass(frozen=True)
class Verdict:
    """How one column stands to the tolerance; `tone` is a class of the style sheet."""

    column: str
    tone: str
    tag: str
    sentence: str


@dataclass(frozen=True)
class Gap:
    """A kind of difference by one column: before, after, by chance. doubtful: it is against biased records."""

    column: str
    measure: str
    doubtful: bool
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Row:
    """A group's figures before or after, in the order of HEADS."""

    when: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Group:
    """A group and its two rows."""

    name: str
    people: int
    rows: tuple[Row, Row]


@dataclass(frozen=True)
class Groups:
    """The groups by one column, or by several combined."""

    column: str
    combined: bool
    groups: tuple[Group, ...]
    left_out: str


@dataclass(frozen=True)
class Told:
    """The rule of a group: how many it flags, and from which predicted risk on."""

    name: str
    share: float
    cut: str


@dataclass(frozen=True)
class View:
    """What the report says about bias, ready to be shown."""

    done: str
    trust: str
    remarks: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    cost: str
    spans: tuple[Span | str, ...]
    differences: tuple[Gap, ...]
    tables: tuple[Groups, ...]
    rules: tuple[Told, ...]
    rules_note: str
    heads: tuple[str, ...] = HEADS
    least: int = LEAST_PEOPLE


def view(fairness: Fairness, policy: Policy) -> View:
    """Everything that the report shows."""
    assert policy.downstream is not None, "a policy with fairness has a downstream model"
    pairs = list(zip(fairness.before, fairness.after, strict=True))
    chosen = fairness.thresholds
    return View(
        done=done(fairness),
        trust=TRUST if fairness.labels == "biased" else "",
        remarks=(*(remark(one) for one in fairness.unmeasured), *advice(fairness)),
        verdicts=tuple(_verdict(fairness, before, after) for before, after in pairs),
        cost=cost(fairness),
        spans=tuple(span for before, after in pairs for span in _spans(before, after)),
        differences=tuple(gap for before, after in pairs for gap in _gaps(before, after, fairness)),
        tables=tuple(_groups(before, after, policy) for before, after in pairs),
        rules=_rules(chosen) if chosen else (),
        rules_note=_rules_note(chosen) if chosen else "",
    )


def done(fairness: Fairness) -> str:
    """What was done against bias, in a sentence."""
    said = {
        "rows": f"{fairness.added:,} synthetic rows were drawn for balance"
        if fairness.added
        else "no synthetic rows could be drawn for balance",
        "weights": "rows were weighted until group and outcome were independent",
        "thresholds": "each group got a threshold of its own",
    }
    parts = [said[one] for one in fairness.mitigation]
    return f"{', '.join(parts[:-1])}{' and ' if len(parts) > 1 else ''}{parts[-1]}." if parts else ""


def remark(unmeasured: Unmeasured) -> str:
    """Why bias by a column cannot be measured."""
    return _WHY[unmeasured.why].format(column=unmeasured.column)


def advice(fairness: Fairness) -> tuple[str, ...]:
    """Where mitigation did not make groups flagged more alike: that it did not, and what would."""
    in_vain = [
        after.column
        for before, after in zip(fairness.before, fairness.after, strict=True)
        if after.parity_difference.value >= before.parity_difference.value > before.parity_difference.chance_high
    ]
    if not fairness.mitigation or not in_vain:
        return ()
    return (
        f"What was done did not bring groups by {', '.join(in_vain)} closer together. Balanced rows teach a model that "
        "groups are alike, but where it flags few people that need not show."
        + ("" if fairness.thresholds else " Thresholds by group do so directly: `mitigation: [thresholds]`."),
    )


def cost(fairness: Fairness) -> str:
    """What mitigation cost, in sentences."""
    found = fairness.cost
    return (
        f"The model's AUC went from {found.auc_before.value:.3f} to {found.auc_after.value:.3f}: on the same people a "
        f"change of {_signed(found.auc_change)}. It flagged {percent(found.flagged_before.value)} of the people and "
        f"found {percent(found.found_before.value)} of those with the outcome, afterwards it flagged "
        f"{percent(found.flagged_after.value)} and found {percent(found.found_after.value)}."
    )


def _signed(change: Estimate) -> str:
    return f"{change.value:+.3f} (95 % bounds {change.low:+.3f} to {change.high:+.3f})".replace("-", "−")


def _verdict(fairness: Fairness, before: Bias, after: Bias) -> Verdict:
    tone, tag = STANDINGS[fairness.standing(after)]
    return Verdict(after.column, tone, tag, sentence(before, after))


def sentence(before: Bias, after: Bias) -> str:
    """By how much shares of flagged people differ before and after, and what of it may be chance."""
    was, now = before.parity_difference, after.parity_difference
    chance = (
        f"chance alone would show {points(now.chance)}"
        if now.low > 0
        else f"which may be chance: if all groups were alike, it would be {points(now.chance)} in the mean"
    )
    return (
        f"The shares of two groups that are flagged differ by up to {points(was.value)} percentage points before "
        f"(bounds {_between(was)}) and {points(now.value)} after ({_between(now)}); {chance}."
    )


def points(share: float) -> str:
    """A difference of shares in percentage points."""
    return f"{100 * share:.1f}"


def _between(found: Difference | Estimate) -> str:
    return f"{points(found.low)} to {points(found.high)}".replace("-", "−")


def _of(bias: Bias, measure: str) -> Difference | None:
    found: Difference | None = getattr(bias, f"{measure}_difference")
    return found


def _spans(before: Bias, after: Bias) -> list[Span | str]:
    found: list[Span | str] = [before.column]
    for measure, word in _DRAWN.items():
        for when, bias in (("before", before), ("after", after)):
            gap = _of(bias, measure)
            if gap is not None:
                found.append(Span(f"{word}, {when}", gap.value, gap.low, gap.high, when, chance=gap.chance_high))
    return found


def _gaps(before: Bias, after: Bias, fairness: Fairness) -> list[Gap]:
    rows = []
    for measure, (words, name, recorded) in MEASURES.items():
        was, now = _of(before, measure), _of(after, measure)
        if was is None and now is None:
            continue
        chance = was or now
        assert chance is not None, "one of them is there"
        by_chance = Cell(points(chance.chance), f"below {points(chance.chance_high)}")
        doubtful = recorded and fairness.labels == "biased"
        rows.append(Gap(before.column, f"{words} ({name})", doubtful, (_apart(was), _apart(now), by_chance)))
    return rows


def _apart(gap: Difference | None) -> Cell:
    return Cell(points(gap.value), _between(gap)) if gap else Cell("–")


def _groups(before: Bias, after: Bias, policy: Policy) -> Groups:
    assert policy.fairness is not None, "a view is made of a policy that protects a column"
    return Groups(
        column=before.column,
        combined=before.column not in policy.fairness.protected,
        groups=tuple(
            Group(was.group, was.people, (Row("before", cells(was)), Row("after", cells(now))))
            for was, now in zip(before.groups, after.groups, strict=True)
        ),
        left_out=", ".join(before.left_out),
    )


def cells(group: GroupRates) -> tuple[Cell, ...]:
    """A group's figures in the order of HEADS."""
    shares = (group.selected, group.true_positive, group.false_positive, group.predictive)
    return (
        *(Cell(percent(one.value), _between(one)) if one else Cell("–") for one in shares),
        Cell(_excess(group.calibration.value), _between(group.calibration)) if group.calibration else Cell("–"),
        *(
            Cell(_plain(one.value), f"{_plain(one.low)} to {_plain(one.high)}") if one else Cell("–")
            for one in (group.slope, group.auc)
        ),
    )


def _plain(figure: float) -> str:
    return f"{figure:.2f}".replace("-", "−")


def _excess(gap: float) -> str:
    return f"{100 * gap + 0.0:+.1f}".replace("-", "−") if abs(gap) >= 0.0005 else "0.0"


def _rules(thresholds: Thresholds) -> tuple[Told, ...]:
    rules = {**thresholds.groups, "everybody else": thresholds.others}
    return tuple(Told(name, rule.share, _cut(rule)) for name, rule in rules.items())


def _cut(rule: Rule) -> str:
    if not rule.cuts:
        return "by lot"
    told = sorted({f"{cut.threshold:.3f}" for cut in rule.cuts})
    return " or ".join(told) + (", and some by lot" if rule.always > 0 else "")


def _rules_note(thresholds: Thresholds) -> str:
    return (
        f"Chosen on released rows, so that {_EQUALIZED[thresholds.equalized]}. Whoever applies them decides by a "
        f"person's group ({', '.join(thresholds.columns)}): see that the law permits it. They fit the model that was "
        "tested here; with another one, flag the same share of each group. Between two thresholds a lot decides; "
        "thresholds.json has its chances."
    )


def metrics(fairness: Fairness) -> dict[str, float]:
    """Every difference with its upper bound, what chance would show, and the cost, by name."""
    found: dict[str, float] = {}
    for when, biases in (("before", fairness.before), ("after", fairness.after)):
        for bias in biases:
            for measure in MEASURES:
                gap = _of(bias, measure)
                if gap is not None:
                    found[f"{measure}_{when}.{bias.column}"] = gap.value
                    found[f"{measure}_upper_{when}.{bias.column}"] = gap.high
                    found[f"{measure}_chance_{when}.{bias.column}"] = gap.chance
    cost = fairness.cost
    return found | {
        "auc_biased": cost.auc_before.value,
        "auc_unbiased": cost.auc_after.value,
        "auc_unbiased_change": cost.auc_change.value,
        "found_unbiased_change": cost.found_change.value,
    }


def files(fairness: Fairness) -> dict[str, str]:
    """The thresholds by group as a file of their own, where there are any."""
    if fairness.thresholds is None:
        return {}
    return {"thresholds.json": json.dumps(fairness.thresholds.model_dump(mode="json"), indent=2) + "\n"}
