"""What is written down by hand is what the ctgan package's networks compute, and what autograd makes of it."""

import pytest
import torch
from ctgan.synthesizers.ctgan import Discriminator, Generator
from torch.nn import functional

from tasks.synthesis.layers import Chances, Critic, Maker

WIDTH, ASKED, PACKS = 9, 4, 6
TOGETHER = pytest.mark.parametrize("together", [1, 5])


def with_condition(rows, condition, together):
    """Rows as the package sees them if each pack's rows come first, then its conditions."""
    hot = functional.one_hot(condition, ASKED).to(rows.dtype)
    packs = len(rows) // together
    return torch.cat([rows.reshape(packs, -1), hot.reshape(packs, -1)], dim=1).view(len(rows), -1)


def example(together):
    """A discriminator of the package without dropout; rows and conditions, twice."""
    torch.manual_seed(0)
    discriminator = Discriminator(WIDTH + ASKED, (16, 8), pac=together).eval().double()
    count = PACKS * together
    rows = [torch.randn(count, WIDTH, dtype=torch.float64) for _ in range(2)]
    return discriminator, rows, [torch.randint(ASKED, (count,)) for _ in range(2)]


@TOGETHER
def test_scores_and_their_gradient_are_the_discriminators(together):
    discriminator, (rows, _), (condition, _) = example(together)
    rows.requires_grad_()
    expected = discriminator(with_condition(rows, condition, together)).mean()
    score, gradient = Critic(discriminator, None).judge(rows.detach(), condition)
    assert score.item() == pytest.approx(expected.item())
    assert torch.allclose(gradient, torch.autograd.grad(expected, rows)[0])


@TOGETHER
@pytest.mark.parametrize("conditional", [True, False])
def test_the_discriminator_learns_by_the_packages_loss_and_penalty(together, conditional):
    discriminator, (real, fake), conditions = example(together)
    if conditional:
        seen = [with_condition(rows, some, together) for rows, some in zip((real, fake), conditions, strict=True)]
    else:
        discriminator = Discriminator(WIDTH, (16, 8), pac=together).eval().double()
        seen = [real, fake]
    seen[1].requires_grad_()  # or the package cannot differentiate
    critic = Critic(discriminator, None)
    torch.set_default_dtype(torch.float64)  # in which the package draws its shares
    try:
        torch.manual_seed(1)
        penalty = discriminator.calc_gradient_penalty(*seen, "cpu", together)
        (discriminator(seen[1]).mean() - discriminator(seen[0]).mean() + penalty).backward()
        torch.manual_seed(1)
        critic.learn(real, fake.detach(), tuple(conditions) if conditional else None)
    finally:
        torch.set_default_dtype(torch.float32)
    linear = [layer for layer in discriminator.seq if isinstance(layer, torch.nn.Linear)]
    assert penalty > 0.1
    for layer, weight, bias in zip(linear, critic.weights, critic.biases, strict=True):
        assert torch.allclose(weight.grad, layer.weight.grad.T)
        # The package's last layer has no gradient by its bias from the penalty, and the scores' add up to 0.
        assert torch.allclose(bias.grad, layer.bias.grad, atol=1e-12)


def test_a_flat_discriminator_is_penalized_and_stays_a_number():
    discriminator = Discriminator(WIDTH, (16, 8), pac=1)
    for parameter in discriminator.parameters():
        torch.nn.init.zeros_(parameter)
    critic = Critic(discriminator, None)
    critic.learn(torch.randn(4, WIDTH), torch.randn(4, WIDTH))
    assert all(parameter.grad.isfinite().all() for parameter in critic.parameters)


def test_judging_teaches_the_discriminator_nothing():
    discriminator, (rows, _), (condition, _) = example(1)
    critic = Critic(discriminator, None)
    critic.judge(rows, condition)
    assert all(parameter.grad is None for parameter in critic.parameters)


def test_dropout_leaves_out_half_and_doubles_the_rest():
    torch.manual_seed(0)
    discriminator = Discriminator(6, (4000,), pac=1)
    kept = Chances(torch.device("cpu")).kept(torch.empty(1000, 333))
    assert kept.unique().tolist() == [0, 2]
    # Standard errors: 1 / sqrt(333,000) = 0.002 of all, 0.055 of a place, 0.03 of a row, each four to five times.
    assert kept.mean().item() == pytest.approx(1, abs=0.01)
    assert (kept.mean(0) - 1).abs().max() < 0.17
    assert (kept.mean(1) - 1).abs().max() < 0.3
    neighbours = torch.corrcoef(torch.stack([kept[:, :-1].flatten(), kept[:, 1:].flatten()]))[0, 1]
    assert neighbours.item() == pytest.approx(0, abs=0.01)
    row = torch.randn(1, 6)
    critic, without = Critic(discriminator, Chances(torch.device("cpu"))), Critic(discriminator, None)
    judged = [critic.judge(row) for _ in range(300)]
    scores, slopes = torch.stack([score for score, _ in judged]), torch.stack([slope for _, slope in judged])
    score, slope = without.judge(row)
    assert scores.mean().item() == pytest.approx(score.item(), abs=0.02)
    assert torch.allclose(slopes.mean(0), slope, atol=0.02)
    assert scores.std() > 0
    assert slopes.std(0).min() > 0


def test_waiting_times_are_exponential():
    torch.manual_seed(0)
    waiting = Chances(torch.device("cpu")).waiting(torch.empty(1000, 500))
    for time in (0.1, 1.0, 3.0):
        share = (waiting > time).float().mean().item()
        assert share == pytest.approx(torch.tensor(-time).exp().item(), abs=0.004)  # standard error at most 0.0007
    assert not torch.equal(waiting[0], waiting[1])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("asked", [ASKED, 0])
def test_the_generator_and_its_gradients_are_the_packages(training, asked):
    torch.manual_seed(0)
    generator = Generator(5 + asked, (16, 8, 4), WIDTH)
    maker = Maker(generator, 5)
    torch.nn.init.normal_(generator.seq[0].bn.bias)  # shared by both
    generator.train(training)
    maker.train(training)
    noise, condition = torch.randn(20, 5), torch.randint(asked, (20,)) if asked else None
    hot = functional.one_hot(condition, asked).float() if asked else torch.zeros(20, 0)
    weights = torch.randn(20, WIDTH)
    theirs, ours = generator(torch.cat([noise, hot], dim=1)), maker(noise, condition)
    assert torch.allclose(ours, theirs, atol=1e-5)
    gradients = torch.autograd.grad((theirs * weights).sum(), [generator.seq[n].fc.weight for n in range(3)])
    ours_by = torch.autograd.grad((ours * weights).sum(), [maker.noise, *maker.weights[:2]])
    for layer, (gradient, start) in enumerate(zip(gradients, (0, 16, 24), strict=True)):
        end = 16 * (layer > 0) + 8 * (layer > 1)
        assert torch.allclose(gradient[:, end : end + 5].T, ours_by[0][:, start : start + gradient.shape[0]], atol=1e-4)
        if layer:
            assert torch.allclose(gradient[:, :end].T, ours_by[layer], atol=1e-4)
