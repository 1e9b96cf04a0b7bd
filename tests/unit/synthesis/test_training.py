"""What is computed in fewer operations is what the ctgan package computes."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from ctgan import CTGAN
from ctgan.data_sampler import DataSampler
from ctgan.data_transformer import DataTransformer
from ctgan.synthesizers.ctgan import Discriminator
from torch.nn import functional

from tasks.common.errors import RunFailed
from tasks.synthesis.coded import Given
from tasks.synthesis.encoding import Place
from tasks.synthesis.training import Coins, Conditions, Layers, Spans, Trainer

CATEGORICAL = ["ward", "sex"]


@pytest.fixture(scope="module")
def learned():
    """A frame with two categorical columns and two numbers, and the package's view of it."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "age": rng.normal(50, 9, 600),
            "ward": rng.choice(list("abcde"), 600, p=[0.5, 0.3, 0.1, 0.06, 0.04]),
            "hours": np.concatenate([rng.normal(2, 0.1, 300), rng.normal(9, 1, 300)]),
            "sex": rng.choice(["f", "m"], 600),
        }
    )
    transformer = DataTransformer()
    transformer.fit(frame, CATEGORICAL)
    rows = transformer.transform(frame)
    theirs = CTGAN(enable_gpu=False)
    theirs._transformer = transformer
    return rows, theirs, places_of(transformer)


def places_of(transformer):
    """The package's description of places, as ours."""
    found, start = [], 0
    for column in transformer.output_info_list:
        for span in column:
            number = span.activation_fn == "tanh"
            found.append(Place(start, span.dim, number=number, category=not number and len(column) == 1))
            start += span.dim
    return found


@pytest.mark.parametrize("together", [1, 5])
def test_the_written_gradient_is_the_derivative(together):
    torch.manual_seed(0)
    discriminator = Discriminator(12, (16, 8), pac=together).double()
    layers = Layers(discriminator, None)
    rows = torch.randn(20, 12, dtype=torch.float64, requires_grad=True)
    by_derivation = torch.autograd.grad(layers.scores(rows).sum(), rows)[0].view(-1, 12 * together)
    assert torch.allclose(layers.gradient(rows.detach().view(-1, 12 * together)), by_derivation)


@pytest.mark.parametrize("together", [1, 5])
def test_the_penalty_and_its_gradients_are_the_packages(together):
    torch.manual_seed(0)
    discriminator = Discriminator(12, (16, 8), pac=together).eval()  # without dropout
    real, fake = torch.randn(20, 12), torch.randn(20, 12, requires_grad=True)
    found = []
    for penalty in (
        lambda: discriminator.calc_gradient_penalty(real, fake, "cpu", together),
        lambda: Layers(discriminator, None).penalty(real, fake),
    ):
        discriminator.zero_grad()
        torch.manual_seed(1)
        value = penalty()
        value.backward()
        weights = [p.grad.clone() for p in discriminator.parameters() if p.grad is not None and p.grad.abs().sum() > 0]
        found.append((value.item(), weights))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    assert len(found[0][1]) == len(found[1][1]) == 3
    for theirs, ours in zip(found[0][1], found[1][1], strict=True):
        assert torch.allclose(theirs, ours, rtol=1e-4, atol=1e-6)


def test_dropout_leaves_out_half_and_doubles_the_rest():
    torch.manual_seed(0)
    discriminator = Discriminator(6, (4000,), pac=1)
    packs, coins = torch.randn(1, 6).expand(300, 6), Coins(torch.device("cpu"))
    kept = coins.kept(torch.empty(1000, 333))
    assert kept.unique().tolist() == [0, 2]
    assert kept.mean().item() == pytest.approx(1, abs=0.01)  # standard error 1 / sqrt(333,000) = 0.002
    gradients, scores = Layers(discriminator, coins).gradient(packs), Layers(discriminator, coins).scores(packs)
    without = Layers(discriminator, None)
    assert torch.allclose(gradients.mean(0), without.gradient(packs[:1])[0], atol=0.02)
    assert scores.mean().item() == pytest.approx(without.scores(packs[:1]).item(), abs=0.02)
    assert scores.std() > 0
    assert gradients.std(0).min() > 0


def test_nothing_of_a_generators_loss_goes_to_the_discriminator():
    discriminator = Discriminator(6, (8,), pac=1)
    rows = torch.randn(4, 6, requires_grad=True)
    Layers(discriminator, None, frozen=True).scores(rows).sum().backward()
    assert rows.grad is not None
    assert all(parameter.grad is None for parameter in discriminator.parameters())


def test_softmaxes_are_those_of_each_span(learned):
    rows, theirs, places = learned
    spans = Spans(places, "cpu")
    values = 30 * torch.randn(50, rows.shape[1])
    ours, start = spans.softmax(values), 0
    for column in theirs._transformer.output_info_list:
        for span in column:
            assert torch.allclose(
                ours[:, start : start + span.dim], functional.softmax(values[:, start : start + span.dim], dim=1)
            )
            start += span.dim


def test_activations_have_the_packages_distribution(learned):
    rows, theirs, places = learned
    spans = Spans(places, "cpu")
    torch.manual_seed(0)
    logits = torch.randn(1, rows.shape[1]).expand(20_000, -1)
    ours, package = spans.activate(logits), theirs._apply_activate(logits)
    assert torch.equal(ours[:, spans.is_number], package[:, spans.is_number])
    # Standard errors are at most 0.5 / sqrt(20,000) = 0.0035 each.
    assert torch.allclose(ours.mean(0), package.mean(0), atol=0.02)
    assert torch.allclose(ours.std(0), package.std(0), atol=0.02)


@pytest.mark.parametrize("log_frequency", [True, False])
def test_conditions_are_met_and_drawn_as_often_as_the_packages(learned, log_frequency):
    rows, theirs, places = learned
    spans = Spans(places, "cpu")
    torch.manual_seed(0)
    conditions = Conditions(rows, spans, log_frequency, "cpu")
    sampler = DataSampler(rows, theirs._transformer.output_info_list, log_frequency)
    asked = conditions.draw(40_000)
    assert asked.vector.shape == (40_000, 7)
    assert (asked.vector.sum(1) == 1).all()
    assert (rows[asked.rows.numpy(), asked.place.numpy()] == 1).all(), "a row without the value that was asked for"
    wanted = sampler._discrete_column_category_prob / 2  # a column evenly, then a value
    expected = np.concatenate([wanted[0, :5], wanted[1, :2]])
    assert asked.vector.mean(0).numpy() == pytest.approx(expected, abs=0.01)
    of_one_value = Counter(asked.rows[asked.place == asked.place[0]].tolist())
    fitting = int((rows[:, asked.place[0]] == 1).sum())
    assert len(of_one_value) == fitting, "every row with the value comes up"


def test_the_loss_of_a_condition_is_the_packages(learned):
    rows, theirs, places = learned
    spans = Spans(places, "cpu")
    torch.manual_seed(0)
    conditions = Conditions(rows, spans, True, "cpu")
    asked = conditions.draw(64)
    logits = 5 * torch.randn(64, rows.shape[1])
    column = torch.tensor([[int(n) for n in spans.categorical].index(int(span)) for span in asked.span])
    mask = functional.one_hot(column, len(spans.categorical)).float()
    assert conditions.missed(logits, asked).item() == pytest.approx(
        theirs._cond_loss(logits, asked.vector, mask).item(), rel=1e-5
    )


def test_what_is_given_is_asked_for_as_often_as_it_shall_come(learned):
    rows, _, places = learned
    conditions = Conditions(rows, Spans(places, "cpu"), False, "cpu")
    asked = conditions.given(20_000, Given(column=0, codes=np.array([1, 3]), shares=np.array([3.0, 1.0])))
    assert asked.mean(0).tolist() == pytest.approx([0, 0.75, 0, 0.25, 0, 0, 0], abs=0.01)


def test_scores_are_the_discriminators():
    torch.manual_seed(0)
    discriminator = Discriminator(12, (16, 8), pac=5).eval()
    rows = torch.randn(20, 12)
    assert torch.allclose(Layers(discriminator, None).scores(rows), discriminator(rows), atol=1e-6)


def test_training_that_diverges_is_told(learned):
    rows, _, places = learned
    trainer = Trainer(rows.astype(np.float32), places, batch=100, pack=1, log_frequency=False, rate=1e30)
    with pytest.raises(RunFailed, match="diverged in epoch"):
        list(trainer.epochs(3))


def test_drawing_in_between_changes_nothing_of_what_is_learned(learned):
    rows, _, places = learned
    found = []
    for look in (False, True):
        torch.manual_seed(0)
        trainer = Trainer(rows.astype(np.float32), places, batch=100, pack=1, log_frequency=False)
        for _ in trainer.epochs(2):
            if look:
                with torch.random.fork_rng():
                    trainer.draw(50)
        found.append(torch.cat([p.flatten() for p in trainer.drawing.state_dict().values()]))
    assert torch.equal(*found)
