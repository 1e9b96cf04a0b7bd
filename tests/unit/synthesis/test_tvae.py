"""TVAE's loss, taken over all columns at once, is the ctgan package's."""

import numpy as np
import pytest
import torch
from ctgan.data_transformer import SpanInfo
from ctgan.synthesizers.tvae import _loss_function

from tasks.common.errors import RunFailed
from tasks.synthesis.coded import Coded
from tasks.synthesis.encoding import Encoding
from tasks.synthesis.tvae import Trainer, away_from_normal


@pytest.fixture(scope="module")
def learned():
    rng = np.random.default_rng(1)
    numbers = np.stack(
        [rng.normal(50, 9, 400), np.where(rng.random(400) < 0.5, 2, 9) + rng.normal(0, 0.2, 400)], axis=1
    )
    codes = np.stack([rng.integers(0, 5, 400), rng.integers(0, 2, 400)], axis=1).astype(np.int32)
    rows = Coded(codes, np.array([5, 2]), numbers)
    encoding = Encoding(rows)
    return encoding.encode(rows, rng), encoding


def test_the_loss_is_the_packages(learned):
    encoded, encoding = learned
    torch.manual_seed(0)
    trainer = Trainer(encoded, encoding.places)
    real, made = torch.as_tensor(encoded[:64]), torch.randn(64, encoding.width)
    sigma = torch.rand(encoding.width) * 0.5 + 0.05
    mean, log_variance = torch.randn(64, 128), torch.randn(64, 128)
    spans = [[SpanInfo(p.width, "tanh" if p.number else "softmax")] for p in encoding.places]
    theirs, divergence = _loss_function(made, real, sigma, mean, log_variance, spans, 2)
    assert 2 * trainer.lost(made, real, sigma).item() == pytest.approx(theirs.item(), rel=1e-4)
    assert away_from_normal(mean, log_variance).item() == pytest.approx(divergence.item(), rel=1e-5)


def test_values_are_drawn_by_their_probability_not_only_the_likeliest(learned):
    encoded, encoding = learned
    trainer = Trainer(encoded, encoding.places)
    place = encoding.places[-1]
    with torch.no_grad():  # the decoder says the same of every row: the second value with a probability of 0.1
        for parameter in trainer.drawing.parameters():
            parameter.zero_()
        trainer.drawing.sigma.fill_(0.1)
        trainer.drawing.seq[-1].bias[place.start] = float(np.log(9))
    torch.manual_seed(1)
    drawn = encoding.decode(trainer.draw(20_000))
    assert drawn.codes[:, -1].mean() == pytest.approx(0.1, abs=0.01)


def test_training_that_diverges_is_told(learned):
    encoded, encoding = learned
    with pytest.raises(RunFailed, match="diverged in epoch"):
        list(Trainer(encoded, encoding.places, rate=1e30).epochs(3))
