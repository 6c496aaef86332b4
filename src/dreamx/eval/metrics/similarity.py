"""Similarity of two pictures: exact measures, those of a backbone that the user brings, stand-ins that need no weights.

Pictures are ``[N, 3, H, W]`` uint8, answers ``[N]``, more is more alike. A stand-in says in its name what it is, so that a table
never mixes it with what it stands for.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx.eval.metrics.psnr import psnr
from dreamx.eval.metrics.revisit import Compare, Embed

_WINDOW = 11  # pixels of SSIM's Gaussian window, whose deviation is 1.5 (Wang et al. 2004)
_KEYPOINTS = 1024  # as many as SuperPoint gives in the paper
_RATIO = 0.8  # Lowe 2004: a match is kept when the second best is farther by this factor
_ENLARGED = 256  # pixels: smaller pictures are enlarged before SIFT, whose finest structures are some pixels wide


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity ``[N]``, -1 to 1, of the luma: Gaussian window of 11 pixels, K 0.01 and 0.03 (Wang et al. 2004)."""
    return ssim_map(a, b).flatten(1).mean(1)


def ssim_map(a: Tensor, b: Tensor) -> Tensor:
    """The same of each window: ``[N, H - 10, W - 10]``, where its middle is."""
    if a.shape != b.shape or a.ndim != 4 or min(a.shape[-2:]) < _WINDOW:
        raise ValueError(
            f"pictures must both be [N, 3, H, W] of {_WINDOW} pixels or more, not {tuple(a.shape)} and {tuple(b.shape)}"
        )
    x, y = _luma(a), _luma(b)
    at = torch.arange(_WINDOW, dtype=x.dtype) - _WINDOW // 2
    bell = torch.exp(-at.square() / (2 * 1.5**2))
    # [1, 1, 11, 11]
    kernel = (bell[:, None] * bell / bell.sum() ** 2)[None, None]

    def blur(z: Tensor) -> Tensor:
        return F.conv2d(z, kernel)  # without padding, as in the original: borders do not count

    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    both = blur(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2  # keep plain areas from 0 / 0
    value = (2 * mean_x * mean_y + c1) * (2 * both + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return value[:, 0]


def edge_distance(a: Tensor, b: Tensor) -> Tensor:
    """Stand-in for LPIPS, sign flipped: minus the mean difference of local contrasts at four scales. 0 for equal pictures.

    Contrast is the step to the next pixel as a share of the mean step around, so that light and blur count less than shape.
    """
    total = torch.zeros(len(a))
    x, y = _luma(a), _luma(b)
    for _ in range(4):
        for dim in (-1, -2):
            dx, dy = x.diff(dim=dim), y.diff(dim=dim)
            total += (_contrast(dx) - _contrast(dy)).abs().flatten(1).mean(1)
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    return -total / 8  # 4 scales of 2 directions


def _contrast(step: Tensor) -> Tensor:
    # 0.02, 5 grey levels: smaller steps are damped, as noise.
    return step / (F.avg_pool2d(step.abs(), 5, 1, 2, count_include_pad=False) + 0.02)


def layout_features(pictures: Tensor) -> Tensor:
    """Stand-in for DINOv2's vector: colours on a coarse grid of 8 x 8, less their mean ``[N, 192]``."""
    grid = F.adaptive_avg_pool2d(pictures.float() / 255, 8)  # [N, 3, 8, 8]
    return (grid - grid.mean((-1, -2), keepdim=True)).flatten(1)


def gradient_features(pictures: Tensor) -> Tensor:
    """Stand-in for the descriptor of a place: histograms of 8 edge directions on a grid of 8 x 8, each normalised ``[N, 512]``.

    After Dalal and Triggs 2005, with the root of SIFT's descriptors (Arandjelovic and Zisserman 2012).
    """
    x = F.pad(_luma(pictures), (1, 1, 1, 1), mode="replicate")
    dx, dy = x[..., 1:-1, 2:] - x[..., 1:-1, :-2], x[..., 2:, 1:-1] - x[..., :-2, 1:-1]
    strength = torch.hypot(dx, dy)
    angle = torch.atan2(dy, dx) % torch.pi * (8 / torch.pi)  # [N, 1, H, W], 0 to 8
    bins = torch.arange(8.0)[None, :, None, None]
    near = (angle - bins).abs()
    share = (1 - torch.minimum(near, 8 - near)).clamp(min=0)  # linear between the two nearest directions
    cells = F.adaptive_avg_pool2d(strength * share, 8)  # [N, 8, 8, 8]
    return (cells / (cells.sum(1, keepdim=True) + 0.05)).sqrt().flatten(1)  # 0.05: a plain cell has no direction


def sift_match_rate(a: Tensor, b: Tensor) -> Tensor:
    """Stand-in for SP-Match: SIFT matches by Lowe's ratio, both ways, as a share of the fewer keypoints ``[N]``, 0 to 1.

    Pictures without keypoints match nothing. ValueError when OpenCV is not installed.
    """
    return torch.tensor([_matched(x, y) for x, y in zip(a, b, strict=True)])


def _matched(a: Tensor, b: Tensor) -> float:
    (_, first), (_, second) = _keypoints(a), _keypoints(b)
    if first is None or second is None or min(len(first), len(second)) < 2:
        return 0.0
    square = torch.cdist(torch.from_numpy(first), torch.from_numpy(second))  # [n, m]
    there, back = square.argmin(1), square.argmin(0)
    near = square.topk(2, 1, largest=False).values
    # Both ways: each is the other's nearest.
    kept = (near[:, 0] < _RATIO * near[:, 1]) & (back[there] == torch.arange(len(there)))
    return float(kept.sum()) / min(len(first), len(second))


def _keypoints(picture: Tensor) -> tuple[object, np.ndarray | None]:
    try:
        import cv2
    except ImportError:
        raise ValueError("SIFT needs OpenCV; install dreamx with the extra curate, or leave out the measure sift") from None
    grey = (_luma(picture[None])[0, 0] * 255).round().to(torch.uint8).numpy()
    times = max(1, -(-_ENLARGED // min(grey.shape)))
    grey = cv2.resize(grey, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
    return cv2.SIFT_create(nfeatures=_KEYPOINTS).detectAndCompute(grey, None)  # pyright: ignore[reportAttributeAccessIssue]


def cosine_similarity(embed: Embed) -> Compare:
    """The cosine ``[N]`` of two pictures' vectors, from a backbone (DINOv2, a descriptor of places) or a stand-in."""
    return lambda a, b: F.cosine_similarity(embed(a).float(), embed(b).float(), dim=-1)


def similarity_from_distance(distance: Compare) -> Compare:
    """A distance (LPIPS) as a likeness."""
    return lambda a, b: -distance(a, b)


#: What needs nothing but this package (SIFT: OpenCV); the names say which are stand-ins, and for what.
WEIGHT_FREE: dict[str, Compare] = {
    "PSNR": psnr,
    "SSIM": ssim,
    "edges (for LPIPS)": edge_distance,
    "layout (for DINO)": cosine_similarity(layout_features),
    "gradients (for VPR)": cosine_similarity(gradient_features),
    "SIFT (for SP-Match)": sift_match_rate,
}


def _luma(pictures: Tensor) -> Tensor:
    """uint8 or float in 0 to 1 -> ``[N, 1, H, W]`` in 0 to 1 (ITU-R BT.601)."""
    x = pictures.float() / 255 if pictures.dtype == torch.uint8 else pictures.float()
    return (x * x.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
