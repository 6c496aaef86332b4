"""A path as a picture: from above and from the side, with what the camera sees from some of its places."""

from __future__ import annotations

import io
from itertools import pairwise
from math import floor, log10
from textwrap import wrap

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from dreamx.geometry.camera import Camera, relative_to
from dreamx.geometry.formats.motion import Motion

_FINE = 2  # drawn so many times larger and then made smaller, which smooths all lines
_WIDE, _HIGH, _EDGE, _LINE = 900 * _FINE, 640 * _FINE, 56 * _FINE, 26 * _FINE  # of each of the two drawings; a line of text
_INK, _PALE, _GRID, _PAPER = (24, 34, 48), (110, 122, 138), (226, 230, 236), (255, 255, 255)
_FIRST, _LAST = (20, 110, 190), (214, 84, 38)  # colours of the beginning and of the end
_FRUSTA = 9


def png(motion: Motion, words: str) -> bytes:
    """Both drawings side by side on one scale, and the paragraph below them, as a PNG file."""
    camera = relative_to(motion.camera, motion.camera[0])
    text = ImageFont.load_default(18 * _FINE)
    lines = wrap(words, int(2 * (_WIDE - _EDGE) * len(words) / text.getlength(words)))
    sheet = Image.new("RGB", (2 * _WIDE, _HIGH + 40 * _FINE + _LINE * len(lines)), _PAPER)
    size = reach(camera)
    points = torch.cat([camera.pose[:, :3, 3], frusta(camera, size).flatten(0, 1)])
    above = _View(points[:, [0, 2]] * torch.tensor([1.0, -1.0]), 0)
    side = _View(points[:, [2, 1]], _WIDE)
    scale = min(above.scale, side.scale)
    pen = ImageDraw.Draw(sheet)
    for view, axes, flip, title in (
        (above, (0, 2), (1.0, -1.0), "from above: right is right, up is ahead"),
        (side, (2, 1), (1.0, 1.0), "from the side: right is ahead, up is up"),
    ):
        view.scale = scale
        _grid(pen, view)
        shown = frusta(camera, size)[..., list(axes)].double() * torch.tensor(flip, dtype=torch.float64)
        for i, pyramid in enumerate(shown):
            colour = _blend(i / max(1, len(shown) - 1))
            tip, *corners = view.at(pyramid)
            for a, b in zip(corners, [*corners[1:], corners[0]], strict=True):
                pen.line([a, b], fill=colour, width=_FINE)
                pen.line([tip, a], fill=colour, width=_FINE)
        path = view.at(camera.pose[:, :3, 3][:, list(axes)] * torch.tensor(flip, dtype=torch.float64))
        for i, (a, b) in enumerate(pairwise(path)):
            pen.line([a, b], fill=_blend(i / max(1, len(path) - 2)), width=4 * _FINE)
        for (x, y), colour in ((path[0], _FIRST), (path[-1], _LAST)):
            r = 7 * _FINE
            pen.ellipse([x - r, y - r, x + r, y + r], fill=colour, outline=_PAPER, width=2 * _FINE)
        pen.text((view.left + _EDGE, 14 * _FINE), title, fill=_INK, font=ImageFont.load_default(19 * _FINE))
    pen.line([(_WIDE, 0), (_WIDE, _HIGH)], fill=_GRID, width=2 * _FINE)
    for i, line in enumerate(lines):
        pen.text((_EDGE, _HIGH + _LINE // 2 + _LINE * i), line, fill=_INK, font=text)
    out = io.BytesIO()
    sheet.resize((sheet.width // _FINE, sheet.height // _FINE), Image.Resampling.BOX).save(out, "PNG", optimize=True)
    return out.getvalue()


def reach(camera: Camera) -> float:
    """Return the length of a drawn view: a part of the path's extent, or a metre where nothing moves."""
    p = camera.pose[:, :3, 3]
    extent = float((p.amax(0) - p.amin(0)).max())
    return 0.14 * extent if extent > 1e-3 else 1.0


def frusta(camera: Camera, size: float) -> Tensor:
    """Tip and four corners ``[n, 5, 3]`` of the views from some of the path's places, the first and the last among them."""
    few = camera[torch.linspace(0, len(camera) - 1, min(_FRUSTA, len(camera))).round().long()]
    fx, fy, cx, cy = few.lens.unbind(-1)
    corners = torch.stack(
        [torch.stack([(u - cx) / fx, (v - cy) / fy, torch.ones_like(fx)], -1) for u, v in ((0, 0), (1, 0), (1, 1), (0, 1))], 1
    )
    far = few.pose[:, None, :3, :3] @ (corners * size)[..., None]
    tips = few.pose[:, None, :3, 3]
    return torch.cat([tips, tips + far[..., 0]], 1)


class _View:
    """Metres to pixels of one drawing, y down."""

    def __init__(self, points: Tensor, left: int) -> None:
        low, high = points.double().amin(0), points.double().amax(0)
        self.middle, self.left = (low + high) / 2, left
        wide, high_ = (high - low).clamp(min=0.5).tolist()
        self.scale = min((_WIDE - 2 * _EDGE) / wide, (_HIGH - 2 * _EDGE) / high_)

    def at(self, points: Tensor) -> list[tuple[float, float]]:
        xy = (points.double() - self.middle) * self.scale + torch.tensor([self.left + _WIDE / 2, _HIGH / 2], dtype=torch.float64)
        return [(x, y) for x, y in xy.tolist()]


def _grid(pen: ImageDraw.ImageDraw, view: _View) -> None:
    """Lines a round number of metres apart, and how many."""
    raw = 90 * _FINE / view.scale
    step = 10.0 ** floor(log10(raw))
    step = next(step * m for m in (1, 2, 5, 10) if step * m >= raw)
    for axis, (low, high) in enumerate(((view.left, view.left + _WIDE), (0, _HIGH))):
        half = (high - low) / 2 / view.scale
        middle = float(view.middle[axis])
        for k in range(floor((middle - half) / step) + 1, floor((middle + half) / step) + 1):
            at = (low + high) / 2 + (k * step - middle) * view.scale
            ends = [(at, 44 * _FINE), (at, _HIGH)] if axis == 0 else [(view.left, at), (view.left + _WIDE, at)]
            if axis == 0 or at > 44 * _FINE:  # above it is the title
                pen.line(ends, fill=_GRID, width=_FINE)
    place = (view.left + _WIDE - _EDGE // 2, _HIGH - _EDGE // 2)
    pen.text(place, f"a square: {step:g} m", fill=_PALE, font=ImageFont.load_default(16 * _FINE), anchor="rs")


def _blend(u: float) -> tuple[int, int, int]:
    r, g, b = (round(a + (z - a) * u) for a, z in zip(_FIRST, _LAST, strict=True))
    return r, g, b
