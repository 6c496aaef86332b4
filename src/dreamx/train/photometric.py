"""Shapes of places from colours alone: rays are rendered through the whole of a field, and compared with pixels.

Volume rendering, and samples drawn anew where a first pass found something: NeRF (Mildenhall et al. 2020, arXiv 2003.08934,
equations 3 and 5); light of a ray drawn together: the distortion of mip-NeRF 360 (Barron et al. 2022, arXiv 2111.12077, equation
15); large cells of density first: DirectVoxGO (Sun et al. 2022, arXiv 2111.11215, progressive scaling).
"""

from __future__ import annotations

from math import log

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx.model.place_field import PlaceField


def photometric_loss(net: PlaceField, place: int, origin: Tensor, ray: Tensor, rgb: Tensor, jitter: Tensor) -> Tensor:
    """Mean squared error of the colours of rays ``[N, 3]`` against pixels ``rgb [N, 3]``, and how far their light is spread.

    ``origin``, ``ray [N, 3]`` as in ``PlaceField.stop``; ``jitter [N, 1]``, -0.5 to 0.5: where in their steps samples lie.
    """
    made, light, depth = render_colours(net, place, origin, ray, jitter)
    c = net.config
    at = (depth / c.near).clamp(min=1).log() / log(c.far / c.near)  # 0 near, 1 far
    return (made - rgb).square().mean() + _SPREAD * _distortion(light, at)


def render_colours(net: PlaceField, place: int, origin: Tensor, ray: Tensor, jitter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return what rays show, ``[N, 3]``: colours at samples, each by the share of the light that stops there, last the sky's.

    Beside it these shares ``[N, K + 1]`` (they sum to 1) and the depths of the samples ``[N, K + 1]``, the last ``config.far``.
    """
    depth = _resample(net, place, origin, ray, jitter)
    light = net.reaches(place, origin, ray, depth).exp()
    depth = F.pad(depth, (0, 1), value=net.config.far)
    seen = light.detach() > _LEAST  # where nothing stops nobody asks for the colour
    which = seen.nonzero()[:, 0]
    found = net.colour(place, origin[which], ray[which], depth[seen])
    made = torch.zeros_like(ray).index_add(0, which, light[seen][:, None] * found)
    return made, light, depth


@torch.no_grad()
def _resample(net: PlaceField, place: int, origin: Tensor, ray: Tensor, jitter: Tensor) -> Tensor:
    """Depths ``[N, K]``, rising: drawn by the share of the light that stops about there, and some of them anywhere."""
    depth = net.samples(ray)
    depth = (depth * float(depth[1] / depth[0]) ** jitter).clamp(max=net.config.far)  # [N, S]
    share = net.reaches(place, origin, ray, depth).exp()[:, :-1]
    share = share + _ANYWHERE / share.shape[1]
    share = 0.5 * share + 0.5 * F.max_pool1d(share[:, None], 3, 1, 1)[:, 0]  # its neighbours, too: the surface is not found yet
    reached = F.pad(share.cumsum(1) / share.sum(1, keepdim=True), (1, 0))
    u = (torch.arange(_SAMPLES, dtype=ray.dtype, device=ray.device) + jitter + 0.5) / _SAMPLES
    behind = torch.searchsorted(reached, u.contiguous()).clamp(1, share.shape[1])
    low, high = reached.gather(1, behind - 1), reached.gather(1, behind)
    edge = F.pad(depth, (1, 0), value=_FIRST)
    part = ((u - low) / (high - low).clamp(min=1e-9)).clamp(0, 1)
    return torch.lerp(edge.gather(1, behind - 1), edge.gather(1, behind), part)


def _distortion(light: Tensor, at: Tensor) -> Tensor:
    """Mean distance between any two parts of the light of a ray: shares ``[N, K]`` at places ``[N, K]``, rising."""
    before, moment = (F.pad(x.cumsum(1)[:, :-1], (1, 0)) for x in (light, light * at))
    return 2 * (light * (at * before - moment)).sum(1).mean()


_SPREAD = 0.002
_SAMPLES = 32  # of a ray that get a colour
_LEAST = 1e-3  # of the light
_ANYWHERE = 0.05  # of the samples
_FIRST = 0.05  # metres: nothing is nearer
