"""What every model that can be transformed is: affine layers, activations between them, and a link at the end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.special import expit, softmax

from tasks.encryption.inference.activations import Function, exactly


class Link(StrEnum):
    """What makes a response of the linear predictor, after decryption."""

    IDENTITY = "identity"
    LOGISTIC = "logistic"  # the predictor is a logit; the response is the chance of the second class
    SOFTMAX = "softmax"  # a predictor for each class; responses are chances
    EXPONENTIAL = "exponential"  # the predictor is a log: of a hazard beside the average one, or of a mean count


@dataclass(frozen=True)
class Network:
    """A model before anything is approximated.

    weights: float64 (outputs, inputs) of each layer; biases: float64 (outputs,). functions: one after each layer but
    the last. features: names in the order of columns, or none. classes: names of the link's classes. origin: what it
    was, in words.
    """

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    functions: tuple[Function, ...]
    link: Link
    origin: str
    features: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()

    def after(self, scale: np.ndarray, shift: np.ndarray) -> Network:
        """This network behind columns that are first multiplied and then shifted, folded into the first layer."""
        first = self.weights[0]
        weights, biases = (first * scale, *self.weights[1:]), (self.biases[0] + first @ shift, *self.biases[1:])
        return Network(weights, biases, self.functions, self.link, self.origin, self.features, self.classes)

    def arguments(self, data: np.ndarray) -> list[np.ndarray]:
        """What enters each activation, and last the predictor: float64 (rows, outputs) of each layer."""
        found, values = [], data
        for number, (weights, biases) in enumerate(zip(self.weights, self.biases, strict=True)):
            found.append(values @ weights.T + biases)
            if number < len(self.functions):
                values = exactly(self.functions[number], found[-1])
        return found

    def without_constants(self) -> Network:
        """The same without units that ignore what enters them; what they give goes into the next layer's bias."""
        weights, biases = list(self.weights), list(self.biases)
        for number, function in enumerate(self.functions):
            used = np.any(weights[number] != 0, axis=1)
            given = exactly(function, biases[number][~used])
            biases[number + 1] = biases[number + 1] + weights[number + 1][:, ~used] @ given
            weights[number + 1] = weights[number + 1][:, used]
            weights[number], biases[number] = weights[number][used], biases[number][used]
        return Network(
            tuple(weights), tuple(biases), self.functions, self.link, self.origin, self.features, self.classes
        )


def response(link: Link, predictor: np.ndarray) -> np.ndarray:
    """Means, chances or relative hazards, float64 as the predictor's shape."""
    if link is Link.LOGISTIC:
        return expit(predictor)
    if link is Link.SOFTMAX:
        return softmax(predictor, axis=1)
    return np.exp(predictor) if link is Link.EXPONENTIAL else predictor
