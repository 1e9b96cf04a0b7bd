"""What is computed in fewer operations is what the ctgan package computes."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from ctgan import CTGAN
from ctgan.data_sampler import DataSampler
from ctgan.data_transformer import DataTransformer
from torch.nn import functional

from tasks.common.errors import RunFailed
from tasks.synthesis.coded import Given
from tasks.synthesis.encoding import Place
from tasks.synthesis.spans import Spans
from tasks.synthesis.training import Conditions, Trainer

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
    waiting = torch.empty_like(logits).exponential_()
    ours, package = spans.activate(logits, waiting), theirs._apply_activate(logits)
    assert torch.equal(ours[:, spans.is_number], package[:, spans.is_number])
    # Standard errors are at most 0.5 / sqrt(20,000) = 0.0035 each.
    assert torch.allclose(ours.mean(0), package.mean(0), atol=0.02)
    assert torch.allclose(ours.std(0), package.std(0), atol=0.02)


def test_the_written_derivative_of_the_activations_is_that_of_each_operation(learned):
    rows, theirs, places = learned
    spans = Spans(places, "cpu")
    torch.manual_seed(0)
    logits = torch.randn(20, rows.shape[1], requires_grad=True)
    waiting, weights = torch.empty_like(logits).exponential_(), torch.randn(20, rows.shape[1])
    parts, start = [], 0
    for column in theirs._transformer.output_info_list:
        for span in column:
            some, delay = logits[:, start : start + span.dim], waiting[:, start : start + span.dim]
            parts.append(some.tanh() if span.activation_fn == "tanh" else ((some - delay.log()) / 0.2).softmax(dim=1))
            start += span.dim
    expected = torch.autograd.grad((torch.cat(parts, dim=1) * weights).sum(), logits)[0]
    made = spans.activate(logits, waiting.clone())
    assert torch.allclose(made, torch.cat(parts, dim=1), atol=1e-6)
    assert torch.allclose(torch.autograd.grad((made * weights).sum(), logits)[0], expected, atol=1e-5)


@pytest.mark.parametrize("log_frequency", [True, False])
def test_conditions_are_met_and_drawn_as_often_as_the_packages(learned, log_frequency):
    rows, theirs, places = learned
    spans = Spans(places, "cpu")
    torch.manual_seed(0)
    conditions = Conditions(rows, spans, log_frequency, "cpu")
    sampler = DataSampler(rows, theirs._transformer.output_info_list, log_frequency)
    asked = conditions.draw(40_000)
    spans_of_values = np.repeat(spans.categorical, [5, 2])
    assert (spans_of_values[asked.value.numpy()] == asked.span.numpy()).all()
    assert (rows[asked.rows.numpy(), asked.place.numpy()] == 1).all(), "a row without the value that was asked for"
    wanted = sampler._discrete_column_category_prob / 2  # a column evenly, then a value
    expected = np.concatenate([wanted[0, :5], wanted[1, :2]])
    assert asked.value.bincount(minlength=7).numpy() / 40_000 == pytest.approx(expected, abs=0.01)
    of_one_value = Counter(asked.rows[asked.place == asked.place[0]].tolist())
    fitting = int((rows[:, asked.place[0]] == 1).sum())
    assert len(of_one_value) == fitting, "every row with the value comes up"


def test_a_value_that_no_row_has_is_never_asked_for():
    places = [Place(0, 3, category=True), Place(3, 2, category=True)]
    rows = np.array([[1, 0, 0, 1, 0], [0, 1, 0, 1, 0]] * 50, dtype=np.float32)
    asked = Conditions(rows, Spans(places, "cpu"), False, "cpu").draw(10_000)
    assert asked.value.unique().tolist() == [0, 1, 3]
    assert (rows[asked.rows.numpy(), asked.place.numpy()] == 1).all()


def test_conditions_come_in_batches(learned):
    rows, _, places = learned
    asked = Conditions(rows, Spans(places, "cpu"), False, "cpu").draw(50)
    parts = asked.split(20)
    assert [len(part.rows) for part in parts] == [20, 20, 10]
    assert torch.equal(torch.cat([part.place for part in parts]), asked.place)


def test_the_loss_of_a_condition_is_the_packages(learned):
    rows, theirs, places = learned
    spans = Spans(places, "cpu")
    torch.manual_seed(0)
    conditions = Conditions(rows, spans, True, "cpu")
    asked = conditions.draw(64)
    logits = 5 * torch.randn(64, rows.shape[1])
    column = torch.tensor([[int(n) for n in spans.categorical].index(int(span)) for span in asked.span])
    mask = functional.one_hot(column, len(spans.categorical)).float()
    vector = functional.one_hot(asked.value, conditions.width).float()
    assert conditions.missed(logits, asked).item() == pytest.approx(
        theirs._cond_loss(logits, vector, mask).item(), rel=1e-5
    )


def test_what_is_given_is_asked_for_as_often_as_it_shall_come(learned):
    rows, _, places = learned
    conditions = Conditions(rows, Spans(places, "cpu"), False, "cpu")
    asked = conditions.given(20_000, Given(column=0, codes=np.array([1, 3]), shares=np.array([3.0, 1.0])))
    assert (asked.bincount(minlength=7) / 20_000).tolist() == pytest.approx([0, 0.75, 0, 0.25, 0, 0, 0], abs=0.01)


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
