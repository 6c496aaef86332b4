"""Scores of a video's appearance, whatever it shows: the columns of DreamX-World 1.0, tables 3 and 4, but for the camera.

Definitions are those of VBench (Huang et al. 2024: imaging quality, temporal flickering, motion smoothness, dynamic degree) and
of Omni-WorldBench (transition). Every score is 0 to 100, more is better. Where a definition asks for a network, it comes in as a
function; ``backbones`` lists which, and their stand-ins. A video that stands still is perfect in flicker, smoothness and
transition: read them beside ``dynamic_degree``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dreamx.eval.metrics.psnr import gradient_energy

#: Pictures ``[N, 3, H, W]`` uint8 and their successors -> motion ``[N, 2, H, W]`` in pixels.
Flow = Callable[[Tensor, Tensor], Tensor]
#: Pictures ``[N, 3, H, W]`` uint8 and those two later -> the pictures between, float in 0 to 1.
Middle = Callable[[Tensor, Tensor], Tensor]

CUT = 27.0  # ContentDetector's threshold
_SHORTEST = 15  # frames of a scene: no cut is looked for before
_DYNAMIC_FPS = 8.0  # VBench's
_ARTIFACT_FPS = 2.0  # DreamX-World 1.0, section 5.1


def flicker(video: Tensor) -> float:
    """Temporal flickering of ``video [F, 3, H, W]`` uint8: 100 when neighbouring frames are equal, less 100/255 a grey level."""
    _check(video, 2)
    return 100 * (1 - float((video[1:].float() - video[:-1].float()).abs().mean()) / 255)


def smoothness(video: Tensor, middle: Middle) -> float:
    """Motion smoothness of ``video [F, 3, H, W]`` uint8: how well each odd frame is what lies between its neighbours."""
    _check(video, 3)
    kept = video[::2]  # frames 0, 2, 4, ... stay
    dropped = video[1::2][: len(kept) - 1]  # a last odd frame has no neighbour after it
    # 32 pairs at a time, to bound memory.
    between = torch.cat([middle(a, b) for a, b in zip(kept[:-1].split(32), kept[1:].split(32), strict=True)])
    return 100 * (1 - float((between * 255 - dropped.float()).abs().mean()) / 255)


def dynamic_degree(video: Tensor, fps: float, flow: Flow) -> float:
    """Dynamic degree of ``video [F, 3, H, W]`` uint8: 100 when it moves, 0 when it does not.

    At about 8 frames a second, a pair of frames moves when the mean of its fastest 5 % of pixels exceeds 6 pixels in 256; a video
    does when a quarter as many pairs as it has frames move.
    """
    frames = video[:: max(1, round(fps / _DYNAMIC_FPS))]
    _check(frames, 2)
    pairs = zip(frames[:-1].split(32), frames[1:].split(32), strict=True)
    speed = torch.cat([flow(a, b).norm(dim=1).flatten(1) for a, b in pairs])  # [pairs, pixels]
    fastest = speed.topk(max(1, int(0.05 * speed.shape[1])), 1).values.mean(1)  # [pairs]: a small thing that moves is motion, too
    moving = int((fastest > 6 * min(video.shape[-2:]) / 256).sum())  # pixels scale with the picture
    return 100.0 * (moving >= round(4 * len(frames) / 16))


def scene_transition(video: Tensor) -> float:
    """100 when ``video [F, 3, H, W]`` uint8 is one shot, 0 when ContentDetector (PySceneDetect) finds a cut."""
    _check(video, 2)
    return 0.0 if bool((content_consistency(video)[_SHORTEST - 1 :] >= CUT).any()) else 100.0


def content_consistency(video: Tensor) -> Tensor:
    """ContentDetector's score of neighbouring frames ``[F - 1]``: mean change of hue (to 180), saturation, value (to 255)."""
    x = _hsv(video)  # [F, 3, H, W]
    return (x[1:] - x[:-1]).abs().mean((1, 2, 3))


def imaging_quality(video: Tensor, rate: Callable[[Tensor], Tensor]) -> float:
    """Imaging quality: the mean of ``rate``, pictures ``[N, 3, H, W]`` uint8 -> ``[N]`` 0 to 100 (MUSIQ trained on SPAQ)."""
    return float(torch.cat([rate(part) for part in video.split(32)]).mean())


def detail_ratio(video: Tensor, truth: Tensor) -> float:
    """Stand-in for imaging quality: detail relative to the truth. 100 as much; 50 half or twice as steep edges."""
    share = (gradient_energy(video) / gradient_energy(truth)).sqrt()
    return 100 * float(torch.minimum(share, 1 / share).mean())  # noise is no better than blur


def sampled(video: Tensor, fps: float) -> Tensor:
    """Return the frames that are looked at for artifacts: 2 a second."""
    return video[:: max(1, round(fps / _ARTIFACT_FPS))]


def collapse_rate(video: Tensor, truth: Tensor, fps: float) -> float:
    """Stand-in for the judge of artifacts: the share of frames, 2 a second, in which the picture has not broken down.

    Broken down is a frame with less than an eighth of the truth's detail (fog), more than four times as much (noise), or a mean
    colour a third of the range away (burnt out, gone dark). It sees none of the finer failures that a judge would.
    """
    seen, true = sampled(video, fps), sampled(truth, fps)
    share = (gradient_energy(seen) / gradient_energy(true)).sqrt()
    off = (seen.float().mean((2, 3)) - true.float().mean((2, 3))).abs().mean(1) / 255  # [F], 0 to 1
    return 100 * float(((share > 1 / 8) & (share < 4) & (off < 1 / 3)).float().mean())


def is_still(video: Tensor) -> bool:
    """Return whether ``video [F, 3, H, W]`` uint8 shows one picture throughout, to a grey level in the mean (a codec's)."""
    return bool(((video.float() - video[:1].float()).abs().mean((1, 2, 3)) < 1).all())


def colour_error(video: Tensor, truth: Tensor) -> Tensor:
    """Return the distance of each frame's mean colour from the true one's, ``[F]`` grey levels, 0 to 255."""
    return (video.float().mean((-2, -1)) - truth.float().mean((-2, -1))).abs().mean(-1)


def _hsv(video: Tensor) -> Tensor:
    """uint8 ``[F, 3, H, W]`` -> OpenCV's hue 0 to 180, saturation and value 0 to 255, as float."""
    r, g, b = video.float().unbind(1)
    top, low = video.float().amax(1), video.float().amin(1)
    span = (top - low).clamp(min=1e-6)
    # Six sectors of 60 degrees; OpenCV halves them, so that 180 fits into a byte.
    hue = torch.where(top == r, (g - b) / span, torch.where(top == g, 2 + (b - r) / span, 4 + (r - g) / span)) * 30
    hue = torch.where(top == low, 0, hue % 180)  # grey has no hue
    saturation = torch.where(top > 0, 255 * (top - low) / top.clamp(min=1), 0)
    return torch.stack([hue, saturation, top], 1)


def _check(video: Tensor, frames: int) -> None:
    if video.ndim != 4 or video.shape[1] != 3 or video.dtype != torch.uint8 or len(video) < frames:
        raise ValueError(f"video must be uint8 [{frames} or more, 3, height, width], not {video.dtype} {tuple(video.shape)}")
