"""Augmentations: inputs that training drops or spoils on purpose, so that a network copes with its own output at play."""

from __future__ import annotations

from dataclasses import replace
from math import cos, sin, tau

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx.frames import Frames
from dreamx.geometry.reproject import View

#: Deviations of the logarithm of depth: of a whole picture, and of a field of 4 x 4 that is smooth between.
_SCALE, _FIELD, _FIELD_SIZE = 0.06, 0.05, 4


def drop_hints(frames: Frames, probability: float, noise: float, rng: torch.Generator) -> Frames:
    """Drop the hints of some rows, so that the model also works without memory.

    The others get noise of up to ``noise``, so that it does not trust memory blindly.
    """
    if frames.hint is None:
        return frames
    hint = frames.hint
    b = len(hint)
    much = noise * torch.rand(b, 1, 1, 1, 1, generator=rng)  # a strength for each clip, so that clean hints are seen, too
    # Unknown places stay 0, which says that nothing is known.
    spoilt = hint[:, :, :-1] + much * torch.randn(hint[:, :, :-1].shape, generator=rng) * (hint[:, :, -1:] > 0)
    kept = (torch.rand(b, 1, 1, 1, 1, generator=rng) >= probability).to(hint)
    return replace(frames, hint=torch.cat([spoilt, hint[:, :, -1:]], 2) * kept)  # all 0 is the same as no hint


def hide_side(frames: Frames, probability: float, rng: torch.Generator) -> Frames:
    """Hide of some rows ``[B, T]`` what memory shows on one side of an upright line, in all of their frames.

    That is how unknown places lie when one turns; what memory shows there is then smeared from the line, as holes are filled.
    """
    if frames.hint is None:
        return frames
    hint, (b, width) = frames.hint, (len(frames.hint), frames.hint.shape[-1])
    hidden, from_left = torch.rand(2, b, generator=rng).unbind()
    line = torch.randint(1, width, (b,), generator=rng)[:, None]  # so many columns stay on one side, and the rest on the other
    column = torch.arange(width).expand(b, -1)
    seen = torch.where((from_left < 0.5)[:, None], column < line, column >= line) | (hidden >= probability)[:, None]
    edge = torch.where((from_left < 0.5)[:, None], line - 1, line)
    nearest = torch.where(seen, column, edge)[:, None, None, None].expand(*hint.shape)
    smeared, known = hint.gather(-1, nearest), seen[:, None, None, None].to(hint)
    return replace(frames, hint=torch.cat([smeared[:, :, :-1], hint[:, :, -1:] * known], 2))


def drop_text(prompts: list[str], probability: float, rng: torch.Generator) -> list[str]:
    """Make some prompts empty, so that the model also works without words."""
    silent = torch.rand(len(prompts), generator=rng) < probability
    return ["" if s else p for s, p in zip(silent.tolist(), prompts, strict=True)]


def jitter_colour(video: Tensor, much: float, rng: torch.Generator) -> Tensor:
    """Pictures ``[B, ..., 3, H, W]`` in [-1, 1], each row's colours with a gain and a shift of their own (deviation ``much``)."""
    shape = (len(video), *(1,) * (video.ndim - 4), 3, 1, 1)
    gain = (much * torch.randn(shape, generator=rng)).exp()  # one for each colour: light has a tint
    return (video * gain + much * torch.randn(shape, generator=rng)).clamp(-1, 1)


def perturb_depth(depth: Tensor, rng: torch.Generator) -> Tensor:
    """Depth ``[S, H, W]`` as an autoencoder might guess it."""
    s = len(depth)
    scale = _SCALE * torch.randn(s, 1, 1, generator=rng)
    field = _FIELD * torch.randn(s, 1, _FIELD_SIZE, _FIELD_SIZE, generator=rng)
    # In the logarithm, as the depth networks learn it: 5 % too near and too far are equally likely.
    return depth * (scale + F.interpolate(field, depth.shape[-2:], mode="bilinear")[:, 0]).exp()


def soften(rgb: Tensor, rng: torch.Generator) -> Tensor:
    """Pictures ``[S, 3, H, W]``, half of them softer than they were."""
    much = (torch.rand(len(rgb), 1, 1, 1, generator=rng) * 1.4 - 0.7).clamp(min=0)  # 0 for half, else up to 0.7
    soft = F.avg_pool2d(F.pad(rgb, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return torch.lerp(rgb, soft, much)


def mask_half_plane(view: View, rng: torch.Generator) -> View:
    """A view ``[F, H, W]`` of which, half of the time, everything beyond a straight line through the picture is unknown.

    That is how the unseen part lies when a camera turns; without it a decoder would learn to read the hint alone.
    """
    rows, cols = view.known.shape[-2:]
    half, angle, u, v = torch.rand(4, generator=rng).tolist()
    if half < 0.5:  # whole hints for 80 % of windows made latents without colour
        return view
    y, x = torch.meshgrid(torch.arange(rows) - v * rows, torch.arange(cols) - u * cols, indexing="ij")
    keep = (x * cos(tau * angle) + y * sin(tau * angle) > 0).to(view.known)
    return View(view.rgb * keep, view.depth * keep, view.known * keep)


def degrade(windows: Tensor, fades: Tensor, spoil: float, vary: float, rng: torch.Generator) -> Tensor:
    """The windows ``[N, T, 4, S, S]`` as a dream might have them, those of ``fades [N]`` may fade.

    Three in a row are spoilt alike, but each has colours of its own.

    ``spoil``: share of them that is spoilt in each way; ``vary``: deviation of their colours.
    """
    n = len(windows) // 3
    # The same for a window, the same without the event and another time: else blur gives the answer away.
    mirror, soft, fade, noise, dark = torch.rand(5, n, generator=rng).repeat_interleave(3, 1)
    windows = torch.where((mirror < 0.5)[:, None, None, None, None], windows.flip(-1), windows)
    rgb, where = windows[:, :, :3], windows[:, :, 3:]
    blurred = F.avg_pool2d(F.pad(rgb.flatten(0, 1), (1, 1, 1, 1), mode="replicate"), 3, 1).unflatten(0, rgb.shape[:2])
    rgb = torch.where((soft < spoil)[:, None, None, None, None], blurred, rgb)
    far = torch.linspace(0, 1, rgb.shape[1])[:, None, None, None]  # it fades as time goes on, as long rollouts do
    much = torch.where((fade < spoil / 2) & fades, dark, 0.0)[:, None, None, None, None]
    # Fog: colours without detail.
    coarse = F.interpolate(F.avg_pool2d(rgb.flatten(0, 1), 8), rgb.shape[-2:], mode="bilinear").unflatten(0, rgb.shape[:2])
    rgb = rgb + much * far * (coarse - rgb)
    loud = torch.where(noise < spoil / 2, 0.15 * dark, 0.0)[:, None, None, None, None]
    rgb = jitter_colour(rgb, vary, rng) + loud * torch.randn(rgb.shape, generator=rng)
    return torch.cat([rgb.clamp(-1, 1), where], 2)
