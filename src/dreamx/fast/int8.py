"""INT8: products of 8-bit numbers in the transformer's projections and feed-forward layers.

Weights are rounded once, with a scale for each output; activations in every call, with a scale for each token. Products are
summed in int32, exactly, so that the result does not depend on the order. Layers whose error is too large, those with outliers,
keep the precision they have. Source: LLM.int8() (Dettmers et al. 2022, arXiv 2208.07339, section 2: row and column scales),
without its split of columns; SmoothQuant (Xiao et al. 2022, arXiv 2211.10438, table 2: dynamic per-token activations).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dreamx.bounds import NonNegativeFloat
from dreamx.fast.shared_copy import shared_copy
from dreamx.model.dit import DiT
from dreamx.model.int8_attention import int8_product


@dataclass(frozen=True)
class Int8Config:
    """Choice of the layers that compute in 8 bits."""

    most_error: NonNegativeFloat = 0.05
    """Largest relative error (L2) of a layer's output in a measured pass; a layer above it keeps its precision."""
    keep: tuple[str, ...] = ()
    """Names of further layers that keep it, as blocks.0.mlp.2."""


class RoundedLinear(nn.Module):
    """A layer in 8 bits: its weight ``[out, in]`` with a scale for each row, float32 ``[out]``, and its bias."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, layer: nn.Linear, weight: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale[:, 0])
        self.register_buffer("bias", None if layer.bias is None else layer.bias.detach().float())  # pyright: ignore[reportUnnecessaryComparison]


class Int8Linear(RoundedLinear):
    """``nn.Linear`` in 8 bits: ``x [..., in] -> [..., out]`` in the dtype of ``x``. Not for training: it has no gradient."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer, *quantise_rows(layer.weight.detach()))

    def forward(self, x: Tensor) -> Tensor:
        codes, scale = quantise_rows(x.flatten(0, -2))  # [rows, in], [rows, 1]
        made = int8_product(codes, self.weight.t()).float().mul_(scale).mul_(self.scale)
        return (made if self.bias is None else made.add_(self.bias)).to(x.dtype).view(*x.shape[:-1], -1)

    def plain(self, x: Tensor) -> Tensor:
        """The same by products in float64, which holds such sums exactly: the twin of ``forward``, bit for bit."""
        codes, scale = quantise_rows(x.flatten(0, -2))
        made = (codes.double() @ self.weight.double().t()).float() * scale * self.scale
        return (made if self.bias is None else made + self.bias).to(x.dtype).view(*x.shape[:-1], -1)


def quantise_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers of -127 to 127, int8 ``[rows, n]``, and the scale of each row, float32 ``[rows, 1]``."""
    x = x.float()
    scale = x.abs().amax(-1, keepdim=True).div_(127).clamp_(min=1e-12)  # a row of zeros stays zeros
    return (x / scale).round_().to(torch.int8), scale


def int8_layers(dit: DiT) -> dict[str, nn.Linear]:
    """Layers of the blocks that may compute in 8 bits, by name: projections and feed-forward. Keys and values of the text are
    computed once a prompt, and are none of them."""
    found = {name: layer for name, layer in dit.named_modules() if isinstance(layer, nn.Linear) and name.startswith("blocks.")}
    return {name: layer for name, layer in found.items() if not name.endswith((".text.k", ".text.v"))}


def measure_int8_errors(
    dit: DiT, run: Callable[[DiT], object], rounded: Callable[[nn.Linear], nn.Module] = Int8Linear
) -> dict[str, float]:
    """Relative error (L2) of each layer's output in 8 bits, over all that ``run`` shows to the network in full precision.

    rounded: makes the layer in 8 bits, as ``fp8.Fp8Linear``."""
    sums = {name: [0.0, 0.0] for name in int8_layers(dit)}
    watched = shared_copy(dit)

    def compare(name: str, layer: nn.Linear) -> Callable[[Tensor, Tensor], None]:
        small = rounded(layer)

        def see(x: Tensor, output: Tensor) -> None:
            exact = output.double()
            sums[name][0] += float((small(x).double() - exact).square().sum())
            sums[name][1] += float(exact.square().sum())

        return see

    for name, layer in int8_layers(watched).items():
        _replace(watched, name, _Watched(layer, compare(name, layer)))
    run(watched)
    return {name: (wrong / max(size, 1e-30)) ** 0.5 for name, (wrong, size) in sums.items()}


class _Watched(nn.Module):
    """A layer whose calls are seen."""

    def __init__(self, layer: nn.Linear, see: Callable[[Tensor, Tensor], None]) -> None:
        super().__init__()
        self.layer, self.see = layer, see

    def forward(self, x: Tensor) -> Tensor:
        out = self.layer(x)
        self.see(x, out)
        return out


def _replace(dit: DiT, name: str, layer: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(dit.get_submodule(parent), last, layer)


def quantise(
    dit: DiT,
    config: Int8Config,
    errors: Mapping[str, float] | None = None,
    rounded: Callable[[nn.Linear], nn.Module] = Int8Linear,
) -> DiT:
    """The same transformer with layers in 8 bits, and the rest around the same weights; ``dit`` stays as it is.

    errors: what ``measure_int8_errors`` found; None: all layers but ``config.keep`` are rounded. ValueError where ``keep`` or
    ``errors`` name a layer that is not there, and where layers are in 8 bits already. rounded: makes the layer in 8 bits, as
    ``fp8.Fp8Linear``.
    """
    if any(b.dtype in (torch.int8, torch.float8_e4m3fn) for b in dit.buffers()):
        raise ValueError("dit: some of its layers are in 8 bits already; give the network as it was before")
    layers, other = int8_layers(dit), shared_copy(dit)
    for name in (*config.keep, *(errors or {})):
        if name not in layers:
            raise ValueError(f"int8: there is no layer {name!r}; the layers are {', '.join(list(layers)[:3])} and so on")
    exact = {*config.keep, *(name for name, error in (errors or {}).items() if not error <= config.most_error)}
    for name, layer in layers.items():
        if name not in exact:
            _replace(other, name, rounded(layer))
    return other
