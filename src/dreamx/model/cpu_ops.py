"""Linear layers on a CPU, by whichever of torch's two libraries makes more of the processor.

Also norms and sums between them, in place where no gradients are wanted: fresh memory is slow memory.

``torch.nn.functional.linear`` calls MKL, which uses half of what some processors have; oneDNN, which torch brings as well, all
of it: on two cores of an AMD EPYC 9005, 443 against 211 GFLOP/s at 180 x 384 x 384. Both are float32, summed in another order.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

#: Multiplications below which the call costs more than is won. Decided by the shapes alone, so that a seed means the same frames.
_WORTH = 2**21
# A private op: another torch may not have it.
_HERE: bool = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
_ASK: Any = torch.ops.mkldnn._linear_pointwise.default if _HERE else None

# glibc keeps freed memory at hand up to twice the largest piece that was ever freed, and gives the rest back to the system, from
# where it comes page by page, slowly: up to a sixth of the time of a chunk. This is the largest piece that it learns from.
# Nothing is written, so nothing is taken.
torch.empty(31 * 2**20, dtype=torch.uint8)


def only_plain() -> None:
    """Use ``torch.nn.functional.linear`` from now on in this process: to compare, or where the faster way is broken."""
    global _HERE
    _HERE = False


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """``layer(x)``: ``x [..., in]`` -> ``[..., out]``."""
    if type(layer) is not nn.Linear:  # a layer that was replaced has a forward of its own
        return layer(x)
    w, b = layer.weight, layer.bias
    if not _worth(x, w):
        return F.linear(x, w, b)
    if torch.is_grad_enabled() and (x.requires_grad or w.requires_grad):
        out: Any = _Product.apply(x, w, b)  # the op has no gradient of its own
        return out
    return _onednn(x, w, b)


def linear_gelu(layer: nn.Linear, x: Tensor) -> Tensor:
    """``gelu(layer(x), "tanh")``, without a second walk through memory where no gradients are wanted."""
    plain = type(layer) is not nn.Linear or not _worth(x, layer.weight)
    if plain or (torch.is_grad_enabled() and (x.requires_grad or layer.weight.requires_grad)):
        return F.gelu(linear(layer, x), approximate="tanh")
    return _onednn(x, layer.weight, layer.bias, "gelu", "tanh")  # gelu within the product, while the numbers are in the cache


def rms_norm(norm: nn.RMSNorm, x: Tensor) -> Tensor:
    """``norm(x)``; ``x`` may be overwritten. On a CPU torch walks through memory six times for it, this three times."""
    if x.dtype == torch.bfloat16 and norm.weight.dtype == torch.float32:  # under autocast: torch fuses no mixed norm
        return F.rms_norm(x, norm.normalized_shape, norm.weight.to(x.dtype), norm.eps)
    if torch.is_grad_enabled() or not _ours(x) or norm.eps is None:
        return norm(x)
    size = torch.linalg.vector_norm(x, dim=-1, keepdim=True)  # [..., 1]
    # The mean square is norm^2 / n; eps is added and the root taken in the memory of `size`.
    return x.mul_(torch.addcmul(_even(norm.eps, 1), size, size, value=1 / x.shape[-1], out=size).rsqrt_()).mul_(norm.weight)


def layer_norm(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """``norm(x)``. On a CPU torch is slower where there is no weight than where there is one of ones."""
    if norm.elementwise_affine or torch.is_grad_enabled() or not _ours(x):
        return norm(x)
    return F.layer_norm(x, norm.normalized_shape, _even(1.0, x.shape[-1]), _even(0.0, x.shape[-1]), norm.eps)


def add_product(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """``x + y * z`` of the shape of ``y``, which may be overwritten."""
    if torch.is_grad_enabled() or torch.compiler.is_compiling():  # a compiler finds memory of its own
        return torch.addcmul(x, y, z)
    return torch.addcmul(x, y, z, out=y)  # into the memory of y: a new result each step took page faults


def add(x: Tensor, y: Tensor) -> Tensor:
    """``x + y``; ``y`` may be overwritten."""
    return x + y if torch.is_grad_enabled() or torch.compiler.is_compiling() else y.add_(x)


@cache
def _even(value: float, width: int) -> Tensor:
    """Return ``width`` times the same number, float32 on the CPU whatever torch's defaults are at the first call."""
    with torch.inference_mode(False):  # cached: an inference tensor would fail in a training step later
        return torch.full((width,), value, dtype=torch.float32, device="cpu")


def _ours(x: Tensor) -> bool:
    # The in-place ways above are written for float32.
    return x.is_cpu and x.dtype == torch.float32 and not torch.compiler.is_compiling()


def _worth(x: Tensor, w: Tensor) -> bool:
    return _HERE and not torch.is_autocast_enabled("cpu") and _ours(x) and w.dtype == x.dtype and x.numel() * w.shape[0] >= _WORTH


def _onednn(x: Tensor, w: Tensor, b: Tensor | None, then: str = "none", how: str = "") -> Tensor:
    return _ASK(x, w, b, then, [], how)


class _Product(torch.autograd.Function):
    """The product with its gradients, which are products, too."""

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
        rows = g.flatten(0, -2)  # [rows, out]
        # Frozen weights, or inputs that need no gradient, cost no product.
        of_x = _onednn(g, w.t(), None) if ctx.needs_input_grad[0] else None
        of_w = _onednn(rows.t(), x.flatten(0, -2).t(), None) if ctx.needs_input_grad[1] else None
        return of_x, of_w, rows.sum(0) if ctx.needs_input_grad[2] else None
