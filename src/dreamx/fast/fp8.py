"""FP8: products of 8-bit floating-point numbers (e4m3) in the transformer's projections and feed-forward layers.

Scales are as in ``int8``: one for each output of the weights, rounded once, and one for each token of the activations. A number
keeps 4 significant bits, so that all are rounded by up to 6 %, large and small alike; an outlier costs its row little. GPUs
multiply such numbers from compute capability 8.9 on (``torch._scaled_mm``); elsewhere the same rounded numbers are multiplied in
float32, which holds each product exactly: slower than not to round at all, and for tests. Source: Micikevicius et al. 2022, arXiv
2209.05433.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dreamx.fast.int8 import Int8Config, RoundedLinear, quantise
from dreamx.model.dit import DiT

FP8 = torch.float8_e4m3fn
_MOST = float(torch.finfo(FP8).max)  # 448


class Fp8Linear(RoundedLinear):
    """``nn.Linear`` in FP8: ``x [..., in] -> [..., out]`` in the dtype of ``x``. Not for training: it has no gradient."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer, *round_rows(layer.weight.detach()))

    def forward(self, x: Tensor) -> Tensor:
        codes, scale = round_rows(x.flatten(0, -2))  # [rows, in], [rows, 1]
        made = fp8_product(codes, self.weight, scale, self.scale)
        return (made if self.bias is None else made + self.bias).to(x.dtype).view(*x.shape[:-1], -1)


def round_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers of -448 to 448 in e4m3 ``[rows, n]``, and the scale of each row, float32 ``[rows, 1]``."""
    x = x.float()
    scale = x.abs().amax(-1, keepdim=True).div_(_MOST).clamp_(min=1e-12)  # a row of zeros stays zeros
    return (x / scale).clamp_(-_MOST, _MOST).to(FP8), scale  # beyond the largest number torch writes NaN


def fp8_product(a: Tensor, w: Tensor, of_a: Tensor, of_w: Tensor) -> Tensor:
    """``(a of_a) @ (w of_w)^T``: e4m3 ``a [rows, n]``, ``w [columns, n]``, scales ``[rows, 1]`` and ``[columns]`` -> float
    ``[rows, columns]``, from a GPU's own product in bfloat16."""
    if not (a.is_cuda and gpu_multiplies(a.device.index)):
        return (a.float() @ w.float().t()) * of_a * of_w
    columns, inner, across = w.shape[0], -w.shape[1] % 16, -w.shape[0] % 16
    if inner or across:  # sizes that the kernel takes
        a = _padded(a, 0, inner)
        w, of_w = _padded(w, across, inner), F.pad(of_w, (0, across), value=1.0)
    multiply = torch._scaled_mm  # pyright: ignore[reportPrivateImportUsage]  (there is no public one)
    return multiply(a, w.t(), of_a, of_w[None], out_dtype=torch.bfloat16)[:, :columns].float()


def _padded(x: Tensor, rows: int, columns: int) -> Tensor:
    return F.pad(x.view(torch.uint8), (0, columns, 0, rows)).view(FP8)  # a byte of zeros is 0


@cache
def gpu_multiplies(device: int | None) -> bool:
    """Whether a GPU has products of FP8 (Ada, Hopper and later)."""
    return torch.cuda.get_device_capability(device) >= (8, 9)


def quantise_fp8(dit: DiT, keep: tuple[str, ...] = ()) -> DiT:
    """The same transformer with its layers (``int8.int8_layers``) in FP8 but for those named in ``keep``; ``dit`` stays as it is.

    ValueError where ``keep`` names a layer that is not there.
    """
    return quantise(dit, Int8Config(keep=keep), rounded=Fp8Linear)
