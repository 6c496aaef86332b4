"""Muon: momentum whose every update is made orthogonal. For the matrices inside of transformer blocks; the rest keeps AdamW.

Source: Jordan et al. 2024 (Newton-Schulz iteration, its coefficients); scaled so that a learning rate of AdamW fits (Liu et al.
2025, "Muon is Scalable for LLM Training"). torch.optim.Muon iterates in bfloat16, which a CPU without bfloat16 instructions does
slowly; this one iterates in the dtype of the weights, matrices of one shape together.
"""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # tuned for speed: values end in 0.7 to 1.2, not at 1
_ITERATIONS = 5
_MOMENTUM = 0.95
_SCALE = 0.2  # an update of AdamW has about this root mean square


class Muon:
    """Matrices by name, each with its momentum. ``step`` reads their gradients."""

    def __init__(self, matrices: dict[str, Tensor], weight_decay: float) -> None:
        self.matrices, self.weight_decay = matrices, weight_decay
        self.momentum = {k: torch.zeros_like(p) for k, p in matrices.items()}

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """One update at the rate ``lr``; matrices without a gradient stay."""
        alike: dict[torch.Size, dict[str, Tensor]] = defaultdict(dict)
        for key, p in self.matrices.items():
            if p.grad is not None:
                momentum = self.momentum[key].mul_(_MOMENTUM).add_(p.grad)
                alike[p.shape][key] = p.grad + _MOMENTUM * momentum  # Nesterov's
        for shape, ahead in alike.items():
            # All matrices of one shape in one product.
            updates = orthogonal(torch.stack(list(ahead.values()))) * (_SCALE * max(shape) ** 0.5)
            for key, update in zip(ahead, updates, strict=True):
                # Decay apart from the gradient, as in AdamW.
                self.matrices[key].mul_(1 - lr * self.weight_decay).sub_(update, alpha=lr)


def orthogonal(g: Tensor) -> Tensor:
    """Matrices ``[N, A, B]`` with all their singular values brought close to 1 (between 0.7 and 1.2)."""
    a, b, c = _COEFFICIENTS
    x = g / (g.norm(dim=(-2, -1), keepdim=True) + 1e-7)  # the iteration converges for singular values up to 1
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x  # the smaller square: x x^T is [A, A]
    for _ in range(_ITERATIONS):
        s = x @ x.mT
        x = a * x + (b * s + c * s @ s) @ x
    return x.mT if tall else x
