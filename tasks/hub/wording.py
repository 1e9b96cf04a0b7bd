"""What goals, attacks, recodings and columns are called in reports and on the command line.

For people who have to decide, data-protection officers above all, and need not know the literature's terms.
"""

from __future__ import annotations

import datetime as dt

from tasks.anonymization.account import Anonymization
from tasks.anonymization.hierarchies import number
from tasks.attacks.adversary import Goal
from tasks.attacks.score import Finding, Scorecard
from tasks.common.policy import Policy, Role
from tasks.common.recoding_forms import Method
from tasks.common.transformation_forms import Limit

# What each goal is called, and the question that its attacks answer.
GOALS = {
    Goal.SINGLING_OUT: ("Singling out", "Does something in the release fit one person only?"),
    Goal.LINKABILITY: ("Linking", "Can facts from two sources be joined through the release?"),
    Goal.REIDENTIFICATION: ("Re-identification", "Can a row be given the name of its person?"),
    Goal.INFERENCE: ("Guessing secrets", "Can a sensitive value be guessed better than that of people kept out?"),
    Goal.DISCLOSURE: ("Secrets of look-alikes", "Does a group of look-alikes give away what its people share?"),
    Goal.MEMBERSHIP: ("Membership", "Can someone tell that a person is in the table at all?"),
    Goal.RECONSTRUCTION: (
        "Taking back the generalization",
        "Can exact values be worked out? The control is a guess by the label alone, on the same people.",
    ),
}

UNCHANGED = "released as it is"
_METHODS = {
    Method.FULL_DOMAIN: "All values of a column were generalized to the same level of its hierarchy.",
    Method.MONDRIAN: "Values were generalized region by region (Mondrian), so labels differ in width from row to row.",
    Method.MONDRIAN_RELAXED: "Values were generalized region by region (relaxed Mondrian), so labels differ in width "
    "from row to row, and rows that were alike may have different ones.",
    Method.MICROAGGREGATION: "Values were replaced by means, medians and modes of small groups of people "
    "(microaggregation). They are values, not generalizations: nobody in a group need have had them.",
}
_CHANGES = {
    Method.MONDRIAN: "generalized, region by region",
    Method.MONDRIAN_RELAXED: "generalized, region by region",
    Method.MICROAGGREGATION: "means, medians or modes of small groups: values, not generalizations",
}


def percent(share: float) -> str:
    """A share in [0, 1] as a percentage."""
    return f"{100 * share:.0f} %" if share >= 0.9995 or share == 0 else f"{100 * share:.1f} %"


def by_goal(card: Scorecard) -> list[tuple[Goal, list[Finding]]]:
    """The attacks of each goal, the worst first; goals in the order of GOALS."""
    grouped = ((goal, [finding for finding in card.attacks if finding.goal == goal]) for goal in GOALS)
    return [(goal, sorted(found, key=lambda finding: -finding.high)) for goal, found in grouped if found]


def figures(finding: Finding) -> list[str]:
    """Further figures that attacks of this kind are reported by, each without its subject, “it”."""
    extras, found = finding.extras, []
    rates = [key.removeprefix("tpr_at_fpr_") for key in extras if key.startswith("tpr_at_fpr_") and key[-1].isdigit()]
    for rate in rates:
        true, low, high = (extras[f"tpr_at_fpr_{rate}{end}"] for end in ("", "_low", "_high"))
        found.append(
            f"finds {_fine(true)} % ({_fine(low)}–{_fine(high)} %) of members at {100 * float(rate):g} % false alarms"
            f" (measured: {_fine(extras[f'fpr_measured_{rate}'])} %)"
        )
    if "above_threshold" in extras:
        found.append(f"has a chance above the threshold with {percent(extras['above_threshold'])} of the people")
    if "pinned" in extras:
        found.append(f"leaves one value where the label leaves several in {percent(extras['pinned'])} of the cases")
    return found


def need(finding: Finding, threshold: float) -> str:
    """How many people it takes, where there are too few to tell; else empty."""
    if finding.high <= threshold or not finding.people_missing:
        return ""
    return f"needs about {finding.needed:,} a side"


def recoding(account: Anonymization) -> str:
    """How quasi-identifiers were recoded, and how close to the best, in sentences."""
    said = [_METHODS[account.method]]
    if account.cells:
        said.append(f"Of their cells in released rows {percent(account.cells)} were suppressed.")
    return " ".join([*said, _optimality(account)])


def optimality(account: Anonymization) -> str:
    """The same about the loss, in a few words."""
    if account.optimal:
        return "optimal"
    return f"bound {percent(account.bound)}" if account.bound else "no bound known"


def _optimality(account: Anonymization) -> str:
    if account.optimal:
        return "No other choice of levels loses less."
    if account.bound:
        return (
            f"They lost {percent(account.loss)} of their detail; no levels for whole columns lose less than "
            f"{percent(account.bound)}."
        )
    return "How much less could be lost is not known."


def pseudonymity(account: Anonymization) -> str:
    """What follows from pseudonyms and a key, in sentences; empty without them."""
    if account.pseudonyms:
        names = ", ".join(account.pseudonyms)
        return (
            f"Released as pseudonyms: {names}, under the key {account.key}. Pseudonymous data is personal data "
            "(GDPR Art. 4(5)): whoever has the key can tell whose row is whose, and rows of one person stay together."
        )
    return f"Dates were shifted under the key {account.key}; whoever has it can shift them back." if account.key else ""


def change(policy: Policy, account: Anonymization, name: str) -> str:
    """What happened to a column."""
    column = policy.columns[name]
    if name in account.pseudonyms:
        return "released as keyed pseudonyms"
    if column.role in {Role.DIRECT, Role.DROP}:
        return "removed"
    if name in account.dropped:
        return "left out by an adjustment"
    done = []
    if column.bottom is not None:
        done.append(f"all below {_limit(column.bottom)} released as {_limit(column.bottom)}")
    if column.top is not None:
        done.append(f"all above {_limit(column.top)} released as {_limit(column.top)}")
    if column.shift is not None:
        done.append(f"moved by up to {column.shift.days} secret days, the same for all dates of a person")
    if name in account.rounding:
        done.append(f"rounded to multiples of {number(account.rounding[name])}")
    if generalized := _generalized(account, name, quasi=column.role is Role.QUASI):
        done.append(generalized)
    return "; ".join(done) or UNCHANGED


def _generalized(account: Anonymization, name: str, *, quasi: bool) -> str:
    if not quasi:
        return ""
    if name not in account.levels:
        return _CHANGES.get(account.method, "")
    level, top = account.levels[name], account.top_levels[name]
    if level == 0:
        return ""
    return "replaced by *" if level == top else f"generalized, level {level} of {top}"


def _limit(limit: Limit) -> str:
    return limit.isoformat() if isinstance(limit, dt.date) else number(limit)


def _fine(share: float) -> str:
    """A small share as a number of percent."""
    return "0" if share == 0 else f"{100 * share:.1f}" if share >= 0.01 else f"{100 * share:.2f}"
