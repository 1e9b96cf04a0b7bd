"""Polynomials of encrypted numbers in [-1, 1], in the basis of Chebyshev, by baby steps and giant steps.

T_k stays within [-1, 1], so that neither coefficients nor bounds explode as they do with powers. p = q · T_m + r is
split at m = babies · 2^i, down to polynomials of at most `babies` terms, which are sums of products with numbers.
Every sum is planned from above: what has to meet is encoded so that it arrives at the same level and scale.

Sources: Paterson, Stockmeyer, SIAM J. Comput. 2 (1973), for the splitting; Han, Ki, CT-RSA 2020 (2019/688), for it in
the basis of Chebyshev.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.encryption.approximate import Approximate
from tasks.encryption.inference.constants import constant

BABIES = (2, 4, 8, 16)  # the fewest levels with 2; the fewest products with about the root of twice the degree


def depth(coefficients: Sequence[float], babies: int) -> int:
    """How many levels the polynomial takes."""
    if len(coefficients) <= babies:
        used = [k for k, c in enumerate(coefficients) if k and c]
        return _log(max(used)) + 1 if used else 0
    m = _giant(len(coefficients) - 1, babies)
    quotient, remainder = divided(coefficients, m)
    return max(max(depth(quotient, babies), _log(m)) + 1, depth(remainder, babies))


def divided(coefficients: Sequence[float], m: int) -> tuple[list[float], list[float]]:
    """q and r of p = q · T_m + r, all in the basis of Chebyshev; the degree is less than 2 m.

    T_k = 2 T_m T_(k-m) - T_(2m-k) for k > m.
    """
    quotient = [coefficients[m]] + [2 * c for c in coefficients[m + 1 :]]
    remainder = list(coefficients[:m])
    for k in range(m + 1, len(coefficients)):
        remainder[2 * m - k] -= coefficients[k]
    return quotient, remainder


def within(ciphertext: Approximate, bound: float) -> Approximate:
    """The same, with a bound that is known from what it stands for, where that is tighter than the guard's."""
    return ciphertext.like(ciphertext.native, bound=min(bound, ciphertext.bound), error=ciphertext.error)


class Polynomial:
    """A polynomial of one ciphertext, which has numbers in [-1, 1]. Chebyshev polynomials of it are made as needed."""

    def __init__(self, argument: Approximate, babies: int) -> None:
        self._session, self._babies = argument.session, babies
        self._known = {1: within(argument, 1.0)}

    def of(self, coefficients: Sequence[float], level: int, scale: float, largest: float) -> Approximate:
        """Its value at a level and scale. largest: of its absolute values on [-1, 1].

        Raises:
            WouldBeWrong: there are too few levels, or nothing of the argument is left.
        """
        made = self._sum(coefficients, level, scale)
        if not isinstance(made, Approximate):
            raise AssertionError("a constant polynomial has no ciphertext")
        return within(made, largest)

    def chebyshev(self, k: int) -> Approximate:
        """T_k of the argument, by T_(a+b) = 2 T_a T_b - T_(a-b) with a and b as equal as can be."""
        if k not in self._known:
            a, b = (k + 1) // 2, k // 2
            product = self.chebyshev(a) * self.chebyshev(b)
            doubled = product + product
            if a == b:
                made = doubled + constant(self._session, -1.0, doubled.level, doubled.scale)
            else:
                made = doubled - self.chebyshev(1).at(doubled.level, doubled.scale)
            self._known[k] = within(made, 1.0)
        return self._known[k]

    def _sum(self, coefficients: Sequence[float], level: int, scale: float) -> Approximate | float:
        """A ciphertext at this level and scale, or a number if nothing of the argument is in it."""
        if len(coefficients) <= self._babies:
            return self._baby(coefficients, level, scale)
        m = _giant(len(coefficients) - 1, self._babies)
        quotient, remainder = divided(coefficients, m)
        rest = self._sum(remainder, level, scale)
        giant = self._at(m, level - 1)
        factor = self._sum(quotient, level - 1, scale * giant.next_prime / giant.scale)
        if isinstance(factor, Approximate):
            made = factor * giant
        elif factor:
            made = giant.times(constant(self._session, factor, level - 1, scale * giant.next_prime / giant.scale))
            made = made.rescaled()
        else:
            return rest
        return self._plus(made, rest)

    def _baby(self, coefficients: Sequence[float], level: int, scale: float) -> Approximate | float:
        total: Approximate | None = None
        lost = 0.0
        for k, coefficient in enumerate(coefficients):
            if not k or not coefficient:
                continue
            power = self._at(k, level - 1)
            factor = constant(self._session, coefficient, level - 1, scale * power.next_prime / power.scale)
            if not factor.bound:
                lost += abs(coefficient)
                continue
            product = power.times(factor)
            total = product if total is None else total + product
        if total is None:
            return coefficients[0]
        total = total.rescaled()
        total = total.like(total.native, bound=total.bound, error=total.error + lost)
        return self._plus(total, coefficients[0])

    def _plus(self, made: Approximate, rest: Approximate | float) -> Approximate:
        if isinstance(rest, Approximate):
            return made + rest
        return made + constant(self._session, rest, made.level, made.scale) if rest else made

    def _at(self, k: int, level: int) -> Approximate:
        """T_k at a deeper level, with its own scale."""
        power = self.chebyshev(k)
        return power if power.level == level else power.at(level, power.scale)


def _log(k: int) -> int:
    """How many products T_k takes, one after another."""
    return (k - 1).bit_length()


def _giant(degree: int, babies: int) -> int:
    """The largest babies · 2^i that is not above the degree."""
    return babies << int(np.log2(degree / babies))
