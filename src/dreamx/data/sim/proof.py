"""The camera proof: what depth, pose and lens of one frame say about another, against what the other shows. In pixels.

Two figures of each pair of frames, over what stands still and is seen in both:

- *geometry*: a pixel goes to the other frame by its own depth, and back by the depth found there; how far from where it began.
- *picture*: the other frame, fetched to where depth and cameras say, is shifted by so many pixels against this one (least squares
  over patches of 7 x 7 pixels that have corners in them; Lucas and Kanade 1981). It knows nothing of the other depth.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx.bounds import InputFolder, PositiveInt
from dreamx.clip import Clip
from dreamx.data.clip_list import shots
from dreamx.geometry.camera import Camera, rays, se3_inverse

FARTHEST = 55.0  # metres: beyond is the sky
_SAME = 0.03  # relative difference of depth within which both frames see one surface
_STOOD = 0.01  # largest difference of two poses between which the camera stood still
_PATCH, _CORNER = 7, 0.002  # pixels; least strength of a patch's weaker direction, colours 0 to 1


@dataclass(frozen=True)
class ProofConfig:
    """Check the cameras and depth of clips against their pictures."""

    clips: InputFolder
    """Folder of clips, or a dataset."""
    gap: PositiveInt = 8
    """Frames between the two of a pair."""

    def __post_init__(self) -> None:
        if self.gap < 1:
            raise ValueError(f"proof.gap must be 1 or more frames, not {self.gap}")


def main(cfg: ProofConfig) -> None:
    """Print the median errors of each subset. ValueError where there are no clips with depth."""
    found: dict[str, list[tuple[Tensor, Tensor]]] = defaultdict(list)
    for shot in shots(cfg.clips):
        clip = shot.load()
        found[clip.extra.get("subset", "")] += errors(clip, cfg.gap)
    print(f"{'subset':14} {'pairs':>6} {'geometry px':>12} {'picture px':>11}")
    for subset, pairs in sorted(found.items()):
        geometry, picture = median(pairs)
        print(f"{subset or '-':14} {len(pairs):6} {geometry:12.3f} {picture:11.3f}")


def median(pairs: list[tuple[Tensor, Tensor]]) -> tuple[float, float]:
    """The medians of both errors over all pixels and patches of some pairs; NaN where there are none."""
    geometry, picture = (torch.cat([p[k] for p in pairs]) if pairs else torch.zeros(0) for k in (0, 1))
    return float(geometry.median()), float(picture.median())


def errors(clip: Clip, gap: int) -> list[tuple[Tensor, Tensor]]:
    """Both errors, in pixels, of pairs of frames ``gap`` apart all through a clip; where the camera stood is no proof.

    ValueError: a clip without depth.
    """
    if clip.depth is None:
        raise ValueError("proof: the clip has no depth; only rendered clips can be proved")
    still = clip.segments == 0 if clip.segments is not None else torch.ones_like(clip.depth, dtype=torch.bool)
    out: list[tuple[Tensor, Tensor]] = []
    for i in range(0, len(clip.video) - gap, gap):
        j = i + gap
        if float((clip.camera.pose[i] - clip.camera.pose[j]).abs().max()) < _STOOD:
            continue
        out.append(_pair(clip.video[[i, j]].float() / 255, clip.depth[[i, j]].float(), clip.camera[[i, j]], still[[i, j]]))
    return out


def _pair(rgb: Tensor, depth: Tensor, camera: Camera, still: Tensor) -> tuple[Tensor, Tensor]:
    h, w = depth.shape[1:]
    q, z = _seen_from(depth[0], camera[0], camera[1])  # [H, W, 2] pixels, [H, W] metres
    there = _fetch(1 / depth[1][None], q)[0]  # inverse depth is linear over a plane
    inside = (q[..., 0] > 1) & (q[..., 0] < w - 1) & (q[..., 1] > 1) & (q[..., 1] < h - 1) & (z > 0.1)
    other = 1 / there.clamp(min=1e-6)
    quiet = _fetch(still[1][None].float(), q)[0] > 0.99
    good = inside & still[0] & quiet & (depth[0] < FARTHEST) & ((other - z).abs() < _SAME * z)
    # back: the point that the other frame has at q, seen from the first
    lens = camera.lens
    x = (q[..., 0] / w - lens[1, 2]) / lens[1, 0] * other
    y = (q[..., 1] / h - lens[1, 3]) / lens[1, 1] * other
    back, _ = _project(torch.stack([x, y, other], -1), camera[1], camera[0], h, w)
    geometry = (back - _grid(h, w)).norm(dim=-1)[good]
    grey, warped = rgb[0].mean(0), _fetch(rgb[1], q).mean(0)
    return geometry, _shifts(grey, warped, good)


def _shifts(a: Tensor, b: Tensor, good: Tensor) -> Tensor:
    """Pixels that ``b`` is shifted against ``a``, in every patch that is good all over and has a corner."""
    both = (a + b) / 2
    gx = F.pad((both[:, 2:] - both[:, :-2]) / 2, (1, 1))
    gy = F.pad((both[2:] - both[:-2]) / 2, (0, 0, 1, 1))
    d = a - b
    kernel = (1, _PATCH, _PATCH // 2)

    def total(x: Tensor) -> Tensor:
        return F.avg_pool2d(x[None, None], kernel[1], kernel[0], kernel[2])[0, 0]

    xx, xy, yy, xd, yd = (total(p) for p in (gx * gx, gx * gy, gy * gy, gx * d, gy * d))
    root = ((xx - yy) ** 2 / 4 + xy * xy).sqrt()
    corner = ((xx + yy) / 2 - root) > _CORNER
    whole = F.avg_pool2d(good[None, None].float(), _PATCH + 2, 1, _PATCH // 2 + 1)[0, 0] > 0.999
    det = (xx * yy - xy * xy).clamp(min=1e-12)
    u, v = (yy * xd - xy * yd) / det, (xx * yd - xy * xd) / det
    return torch.hypot(u, v)[corner & whole]


def _seen_from(depth: Tensor, here: Camera, there: Camera) -> tuple[Tensor, Tensor]:
    h, w = depth.shape
    return _project(rays(here.lens, h, w) * depth[..., None], here, there, h, w)


def _project(points: Tensor, here: Camera, there: Camera, h: int, w: int) -> tuple[Tensor, Tensor]:
    move = (se3_inverse(there.pose.double()) @ here.pose.double()).float()
    x, y, z = (points @ move[:3, :3].T + move[:3, 3]).unbind(-1)
    fx, fy, cx, cy = there.lens.unbind()
    near = z.clamp(min=1e-3)
    return torch.stack([(fx * x / near + cx) * w, (fy * y / near + cy) * h], -1), z


def _grid(h: int, w: int) -> Tensor:
    y, x = torch.meshgrid(torch.arange(h) + 0.5, torch.arange(w) + 0.5, indexing="ij")
    return torch.stack([x, y], -1)


def _fetch(x: Tensor, q: Tensor) -> Tensor:
    """``x [C, H, W]`` at pixel places ``q [H, W, 2]``, between pixels."""
    h, w = x.shape[-2:]
    return F.grid_sample(
        x[None], (q / q.new_tensor([w, h]) * 2 - 1)[None], mode="bilinear", padding_mode="border", align_corners=False
    )[0]
