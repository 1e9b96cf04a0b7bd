"""What a model that one party keeps secret says of rows that another one keeps secret.

The model is a logistic one, or a perceptron with layers of rectified units. Others help to compute, bring nothing, and
learn what is revealed and nothing else. Rows' owner alone learns classes if it adds a pad, a fresh random bit to each:
all see the sum of class and pad, which is random to everybody but the owner, who takes the pad off again.

Leakage: the model's sizes and the number of rows. Scores of as many rows as there are features, and one, tell a
logistic model to who knows the rows; probabilities do as well, as long as they are not the least or the greatest. Ask
for classes where the model is worth something (Tramèr et al., USENIX Security 2016).
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import Field

from mpc_programs.link import RANGE, REST, SCALE, SHIFT, SLOPE, bent, link, within_one
from tasks.common.errors import InputError
from tasks.mpc.formats import Shape
from tasks.mpc.program import Given, Outputs, Program

# Who brings what.
MODEL, ROWS = 0, 1
_REVEALED: Final = ("score", "probability", "class", "padded")
_Real = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Inference(Program):
    """rows, features: of the table; hidden: rectified units of each layer before the last, which has one unit.
    reveal: the last unit's score, the probability that `link` makes of it, the class, which is whether it is above 0,
    or the class with a pad. most: of the magnitude of features; most_sum: of those of weights into a unit, together.

    Reads of party 0 layer_0, layer_1 ... (units, units of the layer before + 1), with what is added last; of party 1
    features (rows, features), and pad (rows,) of bits for padded classes. Writes (rows,), named as what is revealed.
    """

    kind: Literal["inference"] = "inference"
    rows: Annotated[int, Field(ge=1)]
    features: Annotated[int, Field(ge=1)]
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = ()
    reveal: Literal["score", "probability", "class", "padded"] = "probability"
    most: _Real = 8.0
    most_sum: _Real = 8.0

    @property
    def name(self) -> str:
        return self.kind

    @property
    def _layers(self) -> list[tuple[int, int]]:
        """Of each, its units and those before it."""
        widths = [self.features, *self.hidden, 1]
        return [(units, before) for before, units in itertools.pairwise(widths)]

    @property
    def _reaches(self) -> list[float]:
        """What magnitudes of features and of each layer's units may be, at least 1."""
        found = [max(1.0, self.most)]
        for _ in self._layers:
            found.append(max(1.0, self.most_sum * found[-1]))
        return found

    def inputs(self, party: int) -> dict[str, Shape]:
        if party == MODEL:
            return {
                f"layer_{place}": Shape(shape=(units, before + 1), low=-self.most_sum, high=self.most_sum)
                for place, (units, before) in enumerate(self._layers)
            }
        if party == ROWS:
            pad = {"pad": Shape(shape=(self.rows,), low=0, high=1, whole=True)}
            features = {"features": Shape(shape=(self.rows, self.features), low=-self.most, high=self.most)}
            return features | (pad if self.reveal == "padded" else {})
        return {}

    def outputs(self) -> dict[str, Shape]:
        most, is_bit = self._reaches[-1], self.reveal in ("class", "padded")
        low, high = (-most, most) if self.reveal == "score" else (0, 1)
        return {self.reveal: Shape(shape=(self.rows,), low=low, high=high, whole=is_bit)}

    def checked_of(self, party: int, given: Mapping[str, Any]) -> dict[str, np.ndarray]:
        found = super().checked_of(party, given)
        for name, weights in found.items() if party == MODEL else ():
            if bad := int((np.abs(weights).sum(axis=1) > self.most_sum).sum()):
                raise InputError(
                    f"party {party}: weights into {bad:,} of {len(weights):,} units of {name} sum up to more than "
                    f"{self.most_sum:g}"
                )
        return found

    def error(self) -> float:
        """Of a score or probability. A class is wrong only where the score is nearer to 0 than the error of scores."""
        step = self.format.step
        found = step / 2
        for (_, before), reach in zip(self._layers, self._reaches[:-1], strict=True):
            found = self.most_sum * found + (before + 1) * reach * step / 2 + step
        if self.reveal == "probability":
            return SLOPE * (found + RANGE * 2.0**-self._short) + step
        return found

    def largest(self) -> float:
        return max(self._reaches)

    def plainly(self, given: Given) -> Outputs:
        units = given[ROWS]["features"]
        for place in range(len(self._layers)):
            weights = given[MODEL][f"layer_{place}"]
            scores = units @ weights[:, :-1].T + weights[:, -1]
            units = np.maximum(scores, 0)
        score = scores[:, 0]
        if self.reveal == "score":
            return {self.reveal: score}
        if self.reveal == "probability":
            return {self.reveal: link(score)}
        said = (score > 0).astype(np.int64)
        return {self.reveal: said if self.reveal == "class" else said ^ given[ROWS]["pad"]}

    @property
    def _short(self) -> int:
        """Bits behind the point of a score over `RANGE`, of which a product of five and three bits more fit."""
        return min(self.format.fraction, (2 * self.format.bits - 3) // 5)

    def settings(self) -> dict[str, int]:
        short = self._short
        return {
            "rows": self.rows, "features": self.features, "hidden": len(self.hidden),
            **{f"hidden_{place}": units for place, units in enumerate(self.hidden)},
            "reveal": _REVEALED.index(self.reveal), "short": short, "alpha": round(SHIFT * 2 ** (2 * short)),
            "gamma": round(REST * 2 ** (4 * short)), "scale": round(SCALE * 2**self.format.fraction),
        }  # fmt: skip

    async def jointly(self, mpc: Any, own: dict[str, np.ndarray]) -> dict[str, Any]:
        fixed, reaches = mpc.fine(self.largest() + 2, self.largest() + 2), self._reaches
        units = mpc.shared_by(ROWS, self._own(own, "features", (self.rows, self.features)), fixed)
        units = mpc.np_transpose(units)
        for place, shape in enumerate(self._layers):
            weights = self._own(own, f"layer_{place}", (shape[0], shape[1] + 1))
            shared = mpc.shared_by(MODEL, weights, fixed)
            if place:
                units = units - mpc.below_zero(units, reaches[place] + 1) * units
            units = shared[:, :-1] @ units + shared[:, -1:]
        return {self.reveal: self._revealed(mpc, mpc.np_flatten(units), own)}

    def _own(self, own: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
        return own[name] if name in own else np.zeros(shape)

    def _revealed(self, mpc: Any, score: Any, own: dict[str, np.ndarray]) -> Any:
        if self.reveal == "score":
            return score
        if self.reveal == "probability":
            return bent(within_one(mpc, score * (1 / RANGE), self.largest())) * SCALE + 0.5
        said = mpc.below_zero(-score, self.largest() + 1)
        if self.reveal == "class":
            return said
        pad = mpc.shared_by(ROWS, self._own(own, "pad", (self.rows,)), type(score).sectype)
        return said + pad - 2 * said * pad


def fresh_pad(rows: int) -> np.ndarray:
    """Random bits, for one run: used twice, two runs' classes tell whether they are the same."""
    return np.frombuffer(secrets.token_bytes(rows), np.uint8).astype(np.int64) & 1


def without_pad(padded: np.ndarray, pad: np.ndarray) -> np.ndarray:
    """The classes, for who has the pad."""
    return padded ^ pad
