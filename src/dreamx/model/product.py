"""A layer's product: what ``nn.Linear`` says, on a CPU by whichever of torch's two libraries makes more of the processor.

And what comes between products, without fresh memory for each step where nothing is learned: fresh memory is slow memory.

``torch.nn.functional.linear`` asks MKL, which uses half of what some processors have; oneDNN, which torch brings as well, all
of it: on two cores of an AMD EPYC 9005, 443 against 211 GFLOP/s at 180 x 384 x 384. Both are float32, summed in another order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

#: Multiplications below which the call costs more than is won. Decided by the shapes alone, so that a seed means the same frames.
_WORTH = 2**21
_HERE: bool = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def only_plain() -> None:
    """From now on ``torch.nn.functional.linear`` everywhere in this process: to compare, or where the faster way is broken."""
    global _HERE
    _HERE = False


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """``layer(x)``: ``x [..., in]`` -> ``[..., out]``."""
    if type(layer) is not nn.Linear or not _worth(x, layer.weight):  # what took a layer's place does as it likes
        return layer(x)
    if torch.is_grad_enabled() and (x.requires_grad or layer.weight.requires_grad):
        out: Any = _Product.apply(x, layer.weight, layer.bias)
        return out
    return _onednn(x, layer.weight, layer.bias)


def linear_gelu(layer: nn.Linear, x: Tensor) -> Tensor:
    """``gelu(layer(x), "tanh")``, without a second walk through memory where nothing is learned."""
    plain = type(layer) is not nn.Linear or not _worth(x, layer.weight)
    if plain or (torch.is_grad_enabled() and (x.requires_grad or layer.weight.requires_grad)):
        return F.gelu(linear(layer, x), approximate="tanh")
    return _onednn(x, layer.weight, layer.bias, "gelu", "tanh")


def rms_norm(norm: nn.RMSNorm, x: Tensor) -> Tensor:
    """``norm(x)``; ``x`` may be overwritten. On a CPU torch walks through memory six times for it, this three times."""
    if torch.is_grad_enabled() or x.device.type != "cpu" or x.dtype != torch.float32 or norm.eps is None:
        return norm(x)
    size = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x.mul_(size.square_().div_(x.shape[-1]).add_(norm.eps).rsqrt_()).mul_(norm.weight)


def add_product(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """``x + y * z`` of the shape of ``y``, which may be overwritten."""
    if torch.is_grad_enabled():
        return torch.addcmul(x, y, z)
    return torch.addcmul(x, y, z, out=y)


def _worth(x: Tensor, w: Tensor) -> bool:
    plain = _HERE and x.device.type == "cpu" and x.dtype == w.dtype == torch.float32
    return plain and x.numel() * len(w) >= _WORTH and not torch.compiler.is_compiling()


def _onednn(x: Tensor, w: Tensor, b: Tensor | None, then: str = "none", how: str = "") -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, w, b, then, [], how)


class _Product(torch.autograd.Function):
    """The same with its gradients, which are products, too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, w)
        return _onednn(x, w, b)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (torch's own is wider)
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        (x, w), (g,) = ctx.saved_tensors, grads
        rows = g.flatten(0, -2)
        of_x = _onednn(g, w.t(), None) if ctx.needs_input_grad[0] else None
        of_w = _onednn(rows.t(), x.flatten(0, -2).t(), None) if ctx.needs_input_grad[1] else None
        return of_x, of_w, rows.sum(0) if ctx.needs_input_grad[2] else None
