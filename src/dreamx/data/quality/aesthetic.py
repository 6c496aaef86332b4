"""Score how pleasing the pictures of a clip are: by the user's network, or by a stand-in under a name of its own.

The paper (DreamX-World 1.0, section on data) tags clips with an aesthetic score. The usual one is LAION's predictor: a small head
on CLIP's picture features, 1 to 10. The stand-in knows colour, contrast and sharpness, 0 to 1, and nothing of what is shown: the
two are never one column, and each has its own limit.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx import tensor_file
from dreamx.checkpoints.exported import network
from dreamx.clip import Clip
from dreamx.data.quality.basic import blurriness
from dreamx.data.quality.limits import Limits
from dreamx.plaintext import cause

#: Names of the two measures, in reports and, with ``tag_`` before them, in ``Clip.extra``.
SCORE, STAND_IN = "aesthetic", "aesthetic_stand_in"
_FRAMES = 8  # that are looked at, evenly
_COLOURFUL = 109.0  # "extremely colourful" (Hasler and Suesstrunk 2003, table 2)
_CONTRAST = 64.0  # grey levels of deviation: those of a picture whose histogram is half black, half white are 128


def aesthetic(clip: Clip, limits: Limits) -> str | None:
    """Pleasing enough?"""
    name, score = aesthetic_of(clip, limits)
    least = limits.aesthetic if name == SCORE else limits.aesthetic_stand_in
    if least is None or score >= least:
        return None
    by = "" if name == SCORE else " by the stand-in (colour, contrast, sharpness)"
    return f"its aesthetic score is {score:.2f}{by}, and {least:g} are wanted"


def aesthetic_of(clip: Clip, limits: Limits) -> tuple[str, float]:
    """The name of the measure and the mean score of some frames."""
    if limits.aesthetic_net is None:
        return STAND_IN, stand_in(clip)
    return SCORE, _rated(clip.video, limits.aesthetic_net, limits.aesthetic_head)


@lru_cache(maxsize=2)  # the rule and the report ask for the same
def _rated(video: Tensor, net: Path, head: Path | None) -> float:
    return rated(video[_picks(len(video))], net, head)


def _picks(frames: int) -> Tensor:
    return torch.linspace(0, frames - 1, min(_FRAMES, frames)).round().long().unique()


def rated(pictures: Tensor, net: Path, head: Path | None) -> float:
    """The mean score of ``pictures [N, 3, H, W]`` uint8: ``net`` answers ``[N]``, or features ``[N, D]`` for ``head``.

    ValueError, one sentence, where the two do not fit.
    """
    try:
        answer = network(Path(net))(pictures).float()
    except RuntimeError as e:
        first = str(e).splitlines()[0]
        raise ValueError(f"limits.aesthetic_net: {net} cannot take pictures {list(pictures.shape)} ({first})") from e
    if head is not None:
        answer = _headed(F.normalize(answer.flatten(1), dim=-1), Path(head))
    if answer.ndim == 2 and answer.shape[1] == 1:
        answer = answer[:, 0]
    if tuple(answer.shape) != (len(pictures),) or not bool(answer.isfinite().all()):
        words = "one finite number a picture; give limits.aesthetic_head where it gives features"
        raise ValueError(f"limits.aesthetic_net: {net} answers with {list(answer.shape)} where it must give {words}")
    return float(answer.mean())


def stand_in(clip: Clip) -> float:
    """Colour, contrast and sharpness in equal parts, 0 to 1."""
    r, g, b = clip.video[_picks(len(clip.video))].float().flatten(2).unbind(1)  # [N, pixels]
    redgreen, yellowblue = r - g, (r + g) / 2 - b
    spread = torch.hypot(redgreen.std(-1, correction=0), yellowblue.std(-1, correction=0))
    colourful = spread + 0.3 * torch.hypot(redgreen.mean(-1), yellowblue.mean(-1))
    contrast = (0.299 * r + 0.587 * g + 0.114 * b).std(-1, correction=0)
    parts = (float((colourful / _COLOURFUL).mean()), float((contrast / _CONTRAST).mean()), 1 - blurriness(clip))
    return sum(min(1.0, max(0.0, p)) for p in parts) / len(parts)


@lru_cache(maxsize=2)
def _layers(head: Path) -> tuple[tuple[Tensor, Tensor], ...]:
    try:
        weights = tensor_file.load(head)
    except Exception as e:  # broken files break in many ways
        raise ValueError(f"limits.aesthetic_head: {head} is no file of safetensors ({cause(e)})") from e
    names = [name for name, weight in weights.items() if name.endswith("weight") and weight.ndim == 2]
    names.sort(key=lambda name: [int(x) for x in re.findall(r"\d+", name)])
    found: list[tuple[Tensor, Tensor]] = []
    for name in names:
        weight = weights[name].float()
        found.append((weight, weights.get(name.removesuffix("weight") + "bias", torch.zeros(len(weight))).float()))
    follow = all(len(a) == b.shape[1] for (a, _), (b, _) in pairwise(found))
    if not found or len(found[-1][0]) != 1 or not follow:
        raise ValueError(f"limits.aesthetic_head: {head} holds no linear layers that follow each other and end in one number")
    return tuple(found)


def _headed(features: Tensor, head: Path) -> Tensor:
    """LAION's heads: one linear layer (the first), or several without anything between them (the second)."""
    layers = _layers(head)
    if layers[0][0].shape[1] != features.shape[1]:
        wants, got = layers[0][0].shape[1], features.shape[1]
        raise ValueError(f"limits.aesthetic_head: {head} takes {wants} features, and limits.aesthetic_net gives {got}")
    for weight, bias in layers:
        features = F.linear(features, weight, bias)
    return features
