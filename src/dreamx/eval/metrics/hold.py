"""Scores of the suite hold: does a world stay a world, second after second, and what is it worth where nothing was seen before?

Against the true render: PSNR, SSIM and sharpness, once more of those pixels alone whose surface was never in view before
(``seen``), which no memory can know. Without it: *alive*, the share of frames that lie in the manifold of true renders of the
same kind and look (Kynkaanniemi et al. 2019), by learned features and by how much there is at each scale
(``texture``). On a turn, how far the picture is off at its end.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx.clip import Clip
from dreamx.eval.metrics import similarity
from dreamx.eval.metrics.heading import read_heading
from dreamx.eval.metrics.manifold import distances, radii, standardised
from dreamx.eval.metrics.psnr import PSNR_CAP
from dreamx.eval.metrics.seen import seen_before
from dreamx.eval.metrics.texture import SIZE, texture_statistics

NEIGHBOURS = 5  # that a ball reaches to
STRIDE = 4  # every so many frames are looked at for what costs more than a mean
_LOOK_BACK = 2  # of these, every so many are looked back at
_LEAST = 0.005  # share of the pixels of a second that must be unseen for it to have a score of that
_READINGS = 20  # of the heading in one turn
_MARGIN = 5  # pixels at each edge that SSIM's window leaves out


def described(pictures: Tensor, embed: Callable[[Tensor], Tensor]) -> Tensor:
    """Describe pictures uint8 ``[N, 3, H, W]``: learned features, then ``texture_statistics``; ``[N, D + SIZE]``."""
    return torch.cat([embed(pictures).float(), texture_statistics(pictures)], 1)


def comparable(x: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Both sets (of ``described``), standardised by the reference; learned features and texture weigh as much as each other."""
    x, truth = standardised(x, reference)
    learned = truth.shape[1] - SIZE
    weight = torch.cat([torch.full((n,), truth.shape[1] / (2 * n)) for n in (learned, SIZE)]).sqrt().to(truth)
    return x * weight, truth * weight


def alive(x: Tensor, reference: Tensor) -> Tensor:
    """Tell which frames ``[N, D]`` lie in the manifold of true renders ``[M, D]``, both of ``described``: bool ``[N]``.

    No ball is larger than the median one: Kynkaanniemi et al. 2019 (section 5) leave out the larger half, for a lone picture of a
    bare wall has so wide a ball that a flat colour would lie in it.
    """
    x, truth = comparable(x, reference)
    ball = radii(truth, NEIGHBOURS)
    return (distances(x, truth) <= ball.clamp_max(ball.median())[None]).any(1)


def unseen_pixels(truth: Clip) -> Tensor:
    """Bool ``[N, H, W]`` of frames ``STRIDE``, 2 ``STRIDE``, ...: pixels whose surface was in view in no earlier one."""
    assert truth.depth is not None
    return _unseen(_Hashed(truth))


class _Hashed:
    """A clip as a key: its models are scored one after another."""

    def __init__(self, clip: Clip) -> None:
        self.clip = clip

    def __hash__(self) -> int:
        return hash((self.clip.seed, len(self.clip.video)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Hashed):
            return False
        return torch.equal(self.clip.camera.pose, other.clip.camera.pose) and torch.equal(self.clip.video, other.clip.video)


@lru_cache(maxsize=1)
def _unseen(key: _Hashed) -> Tensor:
    clip = key.clip
    assert clip.depth is not None
    return ~seen_before(clip.camera[::STRIDE], clip.depth[::STRIDE].float(), _LOOK_BACK)[1:]


def parts(video: Tensor, truth: Tensor, mask: Tensor, second: int) -> tuple[dict[str, float], dict[str, list[float | None]]]:
    """PSNR, SSIM and sharpness of the pixels of ``mask [N, H, W]`` alone, of uint8 videos ``[N, 3, H, W]``: of all, and for each
    ``second`` frames. What has too few such pixels has no score, or None."""
    a, b = video.float() / 255, truth.float() / 255
    inner = mask[:, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN].double()
    likeness = similarity.ssim_map(video, truth).double() * inner
    sums = torch.stack(
        [
            ((a - b).square().mean(1) * mask).flatten(1).double().sum(1),
            (_steps(a) * mask).flatten(1).double().sum(1),
            (_steps(b) * mask).flatten(1).double().sum(1),
            likeness.flatten(1).sum(1),
            inner.flatten(1).sum(1),
            mask.flatten(1).double().sum(1),
        ]
    )  # [6, N]
    size = mask[0].numel()
    whole = _parts(sums.sum(1), size * len(mask))
    each = [_parts(part.sum(1), size * part.shape[1]) for part in sums.split(second, 1)]
    if len(each) > 1 and sums.shape[1] % second and sums.shape[1] % second < second / 2:
        each.pop()
    return whole, {name: [second.get(name) for second in each] for name in ("psnr", "ssim", "sharpness")}


def _parts(sums: Tensor, pixels: int) -> dict[str, float]:
    error, fine, truly, likeness, inner, count = sums.tolist()
    if count < _LEAST * pixels or not inner:
        return {}
    db = min(PSNR_CAP, float(-10 * torch.log10(torch.tensor(max(error / count, 1e-12)))))
    least = count * 255.0**-2  # a step of one grey level, so that it is never 0
    return {"psnr": db, "ssim": likeness / inner, "sharpness": (fine + least) / (truly + least)}


def _steps(video: Tensor) -> Tensor:
    """Square of the steps to the next pixels ``[N, H, W]``, 0 at the last ones."""
    across = F.pad(video.diff(dim=-1).square().mean(1), (0, 1))
    return across + F.pad(video.diff(dim=-2).square().mean(1), (0, 0, 0, 1))


def turned_off(video: Tensor, truth: Clip) -> float:
    """Degrees (without sign) that the picture is off at the end of a turn on the spot, read from the video alone."""
    forward = truth.camera.pose[:, :3, 2].double()
    yaw = torch.rad2deg(torch.atan2(forward[:, 0], forward[:, 2]))
    step = (yaw.diff() + 180) % 360 - 180
    yaw = torch.cat([yaw.new_zeros(1), step.cumsum(0)]).float()
    frames, degrees = read_heading(video, yaw, truth.camera.lens[0], max(1, (len(video) - 1) // _READINGS))
    return float((degrees[-1] - yaw[frames[-1]]).abs())
