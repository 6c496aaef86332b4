"""DiffusionNFT: the loss by which a policy goes towards its rewarded samples and away from the others, without likelihoods.

Only finished samples are needed, whatever sampler made them. Source: DiffusionNFT (Zheng et al. 2025, arXiv 2509.16117), with the
changes of Astrolabe for few-step video models: no adaptive weight, and the noise levels of the sampler's own steps.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from dreamx.bounds import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from dreamx.train.run_config import Share

_LEAST = 1e-4  # added to the deviation of a group, so that candidates that are all alike have advantages of 0
_NEAR = 1e-5  # smallest distance that the adaptive weight divides by


@dataclass(frozen=True)
class NFTConfig:
    """Loss of DiffusionNFT."""

    beta: PositiveFloat = 1.0
    """Share of the policy in the two velocities that are compared with the samples."""
    most: PositiveFloat = 5.0
    """Advantage, in deviations of a group, at which a candidate counts as wholly good (its negative: wholly bad)."""
    kl: NonNegativeFloat = 1e-4
    """Weight of the mean squared difference of the velocities of policy and reference."""
    adaptive: bool = False
    """Divide each error by its mean size. The gaps of a sampler of few steps are too wide for it: there it explodes."""


@dataclass(frozen=True)
class OldPolicyConfig:
    """Soft update of the old policy, which draws the samples: after each update it keeps a share of its weights.

    The share of update n is ``first + slope (n - after)``, within 0 and ``most``.
    """

    most: Share = 0.9
    """Largest share."""
    first: NonNegativeFloat = 0.9
    """Share at update AFTER."""
    slope: NonNegativeFloat = 0.0
    """Growth of the share, an update: 0.001 with FIRST 0 and MOST 0.5, or 0.0075 with FIRST 0, MOST 0.999 and AFTER 75 are those
    of DiffusionNFT."""
    after: NonNegativeInt = 0
    """Update at which it begins to grow."""

    def kept(self, step: int) -> float:
        """Return the share that the old policy keeps of itself after update ``step``, counted from 0."""
        return min(self.most, max(0.0, self.first + self.slope * (step - self.after)))


@dataclass(frozen=True)
class ReferenceConfig:
    """Reset of the reference, that the policy is held near: it then becomes the policy."""

    drift: PositiveFloat | None = None
    """Reset when the squared difference of velocities, averaged over some 10 updates, is above this. None: never."""
    every: PositiveInt | None = None
    """Reset after so many updates without one. None: never."""


def advantages(rewards: Tensor, weights: Tensor) -> Tensor:
    """Fuse rewards ``[N, C, G]`` of C groups of G candidates: ``[C, G]``.

    Each of the N is standardised within its group, so that its unit does not count; then the mean by ``weights [N]``.
    """
    each = (rewards - rewards.mean(-1, keepdim=True)) / (rewards.std(-1, correction=0, keepdim=True) + _LEAST)
    return (each * (weights / weights.sum())[:, None, None]).sum(0)


def optimality(advantage: Tensor, most: float) -> Tensor:
    """Return how good candidates are, 0 to 1: 1/2 at an advantage of 0, 1 at ``most`` and above."""
    return (advantage / most).clamp(-1, 1) / 2 + 0.5


def nft_loss(
    v: Tensor, old: Tensor, target: Tensor, good: Tensor, sigma: Tensor, beta: float = 1.0, adaptive: bool = False
) -> Tensor:
    """Mean of ``r |v+ - target|^2 + (1 - r) |v- - target|^2``, with ``v+ = old + beta (v - old)``, ``v- = old - beta (v - old)``.

    v, old: velocities ``[B, T, C, H, W]`` of the policy and of the old policy at samples noised to ``sigma [B, T]``; target:
    noise less sample; good: r ``[B]``, 0 to 1. A gradient reaches ``v`` alone; it is 0 where r is 1/2 and v is old.
    """
    target = target.detach()
    v, old = v.to(target), old.detach().to(target)  # under autocast velocities are bfloat16
    step = beta * (v - old)
    better, worse = (_error(x - target, sigma, adaptive) for x in (old + step, old - step))  # [B] each
    good = good.to(target)
    return (good * better + (1 - good) * worse).mean()


def squared_difference(v: Tensor, reference: Tensor) -> Tensor:
    """Mean square of the difference of two velocities: up to a factor the KL divergence of what they draw."""
    return (v.float() - reference.detach().float()).square().mean()


def _error(off: Tensor, sigma: Tensor, adaptive: bool) -> Tensor:
    """Mean square ``[B]``; adaptive: of the clean estimates, divided by their mean distance."""
    if not adaptive:
        return off.square().flatten(1).mean(1)
    off = (off * sigma[..., None, None, None]).flatten(1)
    return off.square().mean(1) / off.detach().abs().mean(1).clamp_min(_NEAR)
