"""Attribute disclosure: the look-alikes of a person give away a secret that they have in common.

The adversary knows a person's quasi-identifiers, and looks at the secrets of all released rows that fit them. Which of
the rows is the person's need not be known.

- homogeneity (Machanavajjhala et al. 2007, TKDD 1(1), section 2.1): all of them agree, and are right. Numbers agree if
  all are within the tolerance of the person's.
- background: the same by someone who can rule one wrong value out (their background knowledge attack, section 2.2; it
  is what distinct 3-diversity defends against). All rows but those of one wrong value agree, and are right.
- skewness (Li et al. 2007, ICDE, section 3): the secret is more frequent among them than among all rows, which
  diversity does not prevent: with 1 % infected, a group with 50 % is 2-diverse. It counts where two things hold.
  The person's value is likelier than not, a posterior of at least 1/2; and that posterior is at least twice the prior,
  that is one bit of information gained. The first is a positive disclosure (Machanavajjhala et al., def. 3.1) in the
  form of a rho1-to-rho2 breach with rho2 = 1/2 (Evfimievski et al. 2003, PODS, def. 2); the second keeps out what was
  likely before, as delta-disclosure does with ln 2 (Brickell and Shmatikov 2008, KDD, def. 4).

People of the control have look-alikes too, and what these tell rightly is knowledge about the population.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tasks.attacks import fitting, inference, space
from tasks.attacks.adversary import Adversary, Method
from tasks.common.policy import Policy

_LIKELIER_THAN_NOT = 0.5
_ONE_BIT = 2.0
_ROUNDING = 1e-9


def succeed(
    adversary: Adversary, release: pa.Table, people: pa.Table, policy: Policy, rounding: dict[str, float]
) -> np.ndarray:
    """1 for each person whose secret is disclosed, float64 (people,).

    A label that covers m values discloses 1/m of a secret.
    """
    place = space.build(people, release, list(adversary.knows), policy, rounding)
    answers = inference.right_answers(adversary, release, people, policy)
    found = fitting.secrets_of_fitting_rows(
        place, place.mask(adversary.knows), inference.secrets_by_point(place, answers)
    )
    rows, right, credit, wrong_labels = found.T
    # Where no row fits, or none of them is right, the credit is 0.
    each = credit / np.maximum(right, 1)
    match adversary.method:
        case Method.SKEWNESS:
            return each * _skewed(right / np.maximum(rows, 1), _prior(answers))
        case Method.BACKGROUND:
            return each * (wrong_labels <= 1)
        case _:
            return each * (wrong_labels == 0)


def _skewed(posterior: np.ndarray, prior: np.ndarray) -> np.ndarray:
    return (posterior >= _LIKELIER_THAN_NOT - _ROUNDING) & (posterior >= _ONE_BIT * prior - _ROUNDING)


def _prior(answers: inference.Answers) -> np.ndarray:
    """Share of all released rows that have the person's secret, float64 (people,)."""
    counts = np.bincount(answers.labels, minlength=len(answers.share))
    up_to = np.concatenate([[0], np.cumsum(counts)]) / len(answers.labels)
    return up_to[np.maximum(answers.last, 0)] - up_to[np.maximum(answers.first, 0)]
