"""DiffusionNFT: its loss by the letter and at its optimum, groups, and policies that go to what is rewarded or are held."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Generator, Tensor, nn

from dreamx import flow
from dreamx.frames import Frames, clean
from dreamx.geometry.camera import level
from dreamx.train.candidates import noise_chunk
from dreamx.train.diffusion_nft import NFTConfig, OldPolicyConfig, advantages, nft_loss, optimality, squared_difference
from dreamx.train.trainable import move_towards

LEVELS = torch.tensor(flow.schedule(4, 5.0)[:-1])


def rng(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


class Gaussian(nn.Module):
    """A perfect network for samples of a normal distribution; its mean is learned, its deviation is not."""

    def __init__(self, mean: float, deviation: float = 0.5) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.tensor(mean, dtype=torch.float64))
        self.deviation = deviation

    def draw(self, count: int, seeds: Generator) -> Frames:
        z = self.mean.detach() + self.deviation * torch.randn(count, 1, 1, 1, 1, generator=seeds, dtype=torch.float64)
        return clean(z, level(dtype=z.dtype).map(lambda x: x.expand(count, 1, *x.shape)))

    def forward(self, frames: Frames) -> Tensor:
        s, variance = frames.sigma[..., None, None, None], self.deviation**2
        share = ((1 - s) * variance - s) / ((1 - s) ** 2 * variance + s**2)
        return -self.mean - share * (frames.z - (1 - s) * self.mean)


def learned(cfg: NFTConfig, wanted: float, steps: int = 400) -> float:
    """The mean of a policy that began at -0.5, when samples near ``wanted`` were rewarded; by the functions of the stage."""
    policy, old, reference = (Gaussian(-0.5) for _ in range(3))
    optimiser, seeds = torch.optim.Adam(policy.parameters(), 0.02, (0.0, 0.99)), rng()
    for step in range(steps):
        made = old.draw(64, seeds)
        reward = -(made.z.flatten() - wanted).square()
        good = optimality(advantages(reward.reshape(1, 2, 32), torch.ones(1, dtype=torch.float64)), cfg.most).flatten()
        noisy, target = noise_chunk(made, LEVELS, seeds)
        v = policy(noisy)
        with torch.no_grad():
            before, kept = old(noisy), reference(noisy)
        loss = nft_loss(v, before, target, good, noisy.sigma, cfg.beta, cfg.adaptive)
        loss = loss + cfg.kl * squared_difference(v, kept)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        move_towards(old, policy, 1 - OldPolicyConfig().kept(step))
    return policy.mean.item()


@pytest.mark.parametrize("cfg", [NFTConfig(), NFTConfig(adaptive=True), NFTConfig(beta=0.5), NFTConfig(most=2.0)])
def test_a_policy_goes_to_what_is_rewarded(cfg: NFTConfig) -> None:
    assert learned(cfg, 1.5) == pytest.approx(1.5, abs=0.2)
    assert learned(cfg, -2.0) == pytest.approx(-2.0, abs=0.2), "and not up whatever is rewarded"


def test_a_policy_that_is_held_stays() -> None:
    assert learned(NFTConfig(kl=100.0), 1.5) == pytest.approx(-0.5, abs=0.1)
    assert -0.4 < learned(NFTConfig(kl=0.3), 1.5) < 1.3, "and one that is held loosely goes some of the way"


def test_the_optimum_is_known_where_nothing_is_seen_of_the_sample() -> None:
    """At sigma 1 a velocity is a mean. The best mean is the old one and 2 / beta times the covariance of r and the samples."""
    old, seeds = Gaussian(0.3), rng(1)
    made = old.draw(512, seeds)
    good = torch.rand(512, generator=seeds, dtype=torch.float64)
    noisy, target = noise_chunk(made, torch.ones(1, dtype=torch.float64), seeds)
    for beta in (1.0, 0.25):
        policy = Gaussian(0.3)
        loss = nft_loss(policy(noisy), old(noisy), target, good, noisy.sigma, beta)
        slope = torch.autograd.grad(loss, policy.mean, create_graph=True)[0]
        curve = torch.autograd.grad(slope, policy.mean)[0]
        best = policy.mean - slope / curve  # the loss is a parabola
        want = 0.3 + 2 / beta * ((good - 0.5) * (made.z.flatten() - 0.3)).mean()
        assert best.item() == pytest.approx(want.item(), abs=1e-9)


def test_the_loss_is_that_of_the_sheet() -> None:
    v, old, target = torch.randn(3, 2, 3, 2, 4, 4, generator=rng(), dtype=torch.float64)
    good, sigma = torch.tensor([0.8, 0.1], dtype=torch.float64), torch.tensor([[0.5] * 3, [1.0] * 3], dtype=torch.float64)
    beta, want, adaptive = 0.3, 0.0, 0.0
    for i, r in enumerate(good):
        for share, way in ((r, 1), (1 - r, -1)):
            off = (1 - way * beta) * old[i] + way * beta * v[i] - target[i]
            want = want + share * off.square().mean() / 2
            off = off * sigma[i, 0]
            adaptive = adaptive + share * off.square().mean() / off.abs().mean() / 2
    assert nft_loss(v, old, target, good, sigma, beta).item() == pytest.approx(float(want))
    assert nft_loss(v, old, target, good, sigma, beta, adaptive=True).item() == pytest.approx(float(adaptive))
    assert squared_difference(v, old).item() == pytest.approx((v - old).square().mean().item(), rel=1e-6)


def test_a_gradient_reaches_the_policy_alone() -> None:
    v, old, target, reference = torch.randn(4, 2, 1, 2, 4, 4, generator=rng())
    leaves = [x.detach().requires_grad_() for x in (v, old, target, reference)]
    good, sigma = torch.tensor([0.9, 0.2]), torch.ones(2, 1)
    loss = nft_loss(leaves[0], leaves[1], leaves[2], good, sigma) + squared_difference(leaves[0], leaves[3])
    loss.backward()
    assert [x.grad is not None for x in leaves] == [True, False, False, False]
    same = old.detach().requires_grad_()
    nft_loss(same, old, target, torch.full((2,), 0.5), sigma).backward()
    assert same.grad is not None and not same.grad.any(), "candidates that are all alike teach nothing"
    narrow = nft_loss(v.detach().bfloat16(), old.detach().bfloat16(), target.detach(), good, sigma)
    assert narrow.dtype == torch.float32


def test_groups_are_standardised_each_by_itself() -> None:
    rewards = torch.randn(2, 3, 8, generator=rng(), dtype=torch.float64) * torch.tensor([0.1, 40.0])[:, None, None]
    weights = torch.tensor([3.0, 1.0], dtype=torch.float64)
    first, second = (advantages(rewards[i : i + 1], torch.ones(1, dtype=torch.float64)) for i in range(2))
    for each in (first, second):
        assert torch.allclose(each.mean(1), torch.zeros(3, dtype=torch.float64), atol=1e-12)
        assert torch.allclose(each.std(1, correction=0), torch.ones(3, dtype=torch.float64), atol=3e-3)
    both = advantages(rewards, weights)
    assert torch.allclose(both, (3 * first + second) / 4)
    other = rewards * torch.tensor([5.0, 0.5])[:, None, None] + torch.randn(2, 3, 1, generator=rng(1), dtype=torch.float64)
    assert torch.allclose(advantages(other, weights), both, atol=1e-2), "units and the mean of a group do not count"
    assert not advantages(torch.ones(2, 3, 8, dtype=torch.float64), weights).any()


def test_optimality_is_a_share() -> None:
    found = optimality(torch.tensor([-50.0, -5.0, -1.0, 0.0, 2.5, 5.0, 50.0]), 5.0)
    assert found.tolist() == pytest.approx([0.0, 0.0, 0.4, 0.5, 0.75, 1.0, 1.0])


def test_soft_updates() -> None:
    assert {OldPolicyConfig().kept(n) for n in (0, 10, 1000)} == {0.9}
    first = OldPolicyConfig(most=0.5, first=0.0, slope=0.001)
    assert [first.kept(n) for n in (0, 100, 9000)] == pytest.approx([0.0, 0.1, 0.5])
    late = replace(first, most=0.999, slope=0.0075, after=75)
    assert [late.kept(n) for n in (0, 75, 85, 9000)] == pytest.approx([0.0, 0.0, 0.075, 0.999])
    follower, leader = Gaussian(1.0), Gaussian(3.0)
    move_towards(follower, leader, 0.25)
    assert (follower.mean.item(), leader.mean.item()) == (1.5, 3.0)
    leader.mean.data.fill_(1 / 3)
    move_towards(follower, leader, 1.0)
    assert follower.mean.item() == leader.mean.item()
