"""Places known by heart: a neural field of each, which shows what a camera in it sees, in colours and in depth.

A window of three seconds and a few re-projected views do not tell what lies behind the next corner. A network can know it, if it
is told where it stands. Here every place is a grid of densities, by which a ray stops at the first surface (as in the radiance
fields of DirectVoxGO, Sun et al. 2022), and a table of features at cells of several sizes (Instant NGP, Müller et al. 2022), of
which a small network makes the colour of the surface. Features are read once a ray, where it stops, so that a CPU draws it.

What the field shows is given to the world as what memory shows is (``memory.add_memory_hint``). Our addition to DreamX-World 1.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dreamx.bounds import PositiveFloat, PositiveInt, Width
from dreamx.geometry.camera import Camera, rays
from dreamx.geometry.reproject import View


@dataclass(frozen=True)
class PlaceFieldConfig:
    """Sizes of the fields."""

    names: tuple[str, ...]
    """The places, each with a field of its own."""
    half: tuple[PositiveFloat, ...]
    """Metres from the middle of each place to its edges."""
    height: PositiveFloat = 9.0
    """Metres from the ground to the top of a field; what is higher counts as sky."""
    floor: PositiveFloat = 0.8
    """Metres from the ground down to the bottom of a field."""
    cells: PositiveInt = 144
    """Cells of density along both sides of the ground."""
    layers: PositiveInt = 26
    """Cells of density along the height."""
    near: PositiveFloat = 0.3
    """Depth of the first sample of a ray, metres; the others follow at equal ratios."""
    far: PositiveFloat = 48.0
    """Depth of the last sample of a ray, metres, and of the sky."""
    samples: PositiveInt = 80
    """Samples of density along a ray."""
    refine: PositiveInt = 8
    """Further samples about the one at which a ray stops."""
    levels: tuple[PositiveInt, ...] = (32, 64, 160, 400)
    """Cells of features along the side of a place, of each level."""
    entries: PositiveInt = 2**17
    """Most entries of a level's table; where there are more cells, they share."""
    channels: Width = 2
    """Features of a cell."""
    sky: tuple[PositiveInt, PositiveInt] = (64, 192)
    """Rows and columns of the sky, from 30 degrees below the horizon to the zenith, and all around."""
    hidden: Width = 64
    """Hidden channels of the network that makes colours."""

    def __post_init__(self) -> None:
        if not self.names or len(set(self.names)) < len(self.names):
            raise ValueError(f"places.names must be different names, one at least, not {list(self.names)}")
        if len(self.half) != len(self.names):
            raise ValueError(f"places.half must be {len(self.names)} numbers, one for each of places.names, not {len(self.half)}")
        for name in ("cells", "layers", "samples", "refine", "entries", "sky", "levels"):
            said = getattr(self, name)
            for n in said if isinstance(said, tuple) else (said,):
                if not 2 <= n <= _MOST[name]:
                    raise ValueError(f"places.{name} must lie between 2 and {_MOST[name]}, not {n}")
        if not 1 <= len(self.levels) <= _LEVELS:
            raise ValueError(f"places.levels must be 1 to {_LEVELS} numbers, not {len(self.levels)}")
        if self.far <= self.near:
            raise ValueError(f"places.far must be more than places.near, {self.near}, not {self.far}")

    def rows(self, place: int) -> list[int]:
        """Entries of each level's table of a place."""
        high = self.height + self.floor
        cells = [(n + 1) ** 2 * (int(high * n / (2 * self.half[place])) + 2) for n in self.levels]
        return [min(self.entries, n) for n in cells]


class PlaceField(nn.Module):
    """The fields of all places, and the network that makes colours of what is read from them."""

    def __init__(self, config: PlaceFieldConfig) -> None:
        super().__init__()
        self.config = c = config
        grid = (1, 1, c.layers, c.cells, c.cells)  # [1, 1, y, z, x]
        self.density = nn.ParameterList([nn.Parameter(torch.zeros(grid)) for _ in c.names])
        self.features = nn.ParameterList([nn.Parameter(torch.empty(sum(c.rows(i)), c.channels)) for i in range(len(c.names))])
        self.sky = nn.ParameterList([nn.Parameter(torch.zeros(1, 3, *c.sky)) for _ in c.names])
        self.first = nn.Linear(len(c.levels) * c.channels + 4, c.hidden)
        self.second = nn.Linear(c.hidden, c.hidden)
        self.last = nn.Linear(c.hidden, 3)
        for table in self.features:
            nn.init.normal_(table, std=0.1 / _GAIN)

    @torch.no_grad()
    def view(self, place: int, camera: Camera, rows: int, cols: int) -> View:
        """Return what cameras ``[N]`` see, in the axes of the place, whose ground is y = 0: ``[N]``, colours in [-1, 1].

        All of it is known; the depth of the sky is ``config.far``.
        """
        dtype = self.first.weight.dtype
        ahead = rays(camera.lens.to(dtype), rows, cols) @ camera.pose[:, None, :3, :3].to(dtype).mT  # [N, rows, cols, 3]
        ray = ahead.flatten(0, 2)
        origin = camera.pose[:, None, :3, 3].to(dtype).expand(-1, rows * cols, 3).flatten(0, 1)
        depth = self.stop(place, origin, ray)
        rgb = self.colour(place, origin, ray, depth).clamp(-1, 1)
        depth = depth.view(-1, rows, cols)
        return View(rgb.view(-1, rows, cols, 3).permute(0, 3, 1, 2), depth, torch.ones_like(depth))

    @torch.no_grad()
    def stop(self, place: int, origin: Tensor, ray: Tensor) -> Tensor:
        """Return the depths ``[N]`` at which rays stop: half of the light is gone. ``config.far``: nowhere, in the sky.

        ``origin``, ``ray [N, 3]``; a ray has z = 1 in the axes of its camera, so that depth is along z.
        """
        c = self.config
        depth = self.samples(ray)
        passed = self._passed(place, origin, ray, depth)  # [N, S]
        hit = (passed > _HALF).to(torch.uint8)
        found = hit[:, -1] > 0
        at = hit.argmax(1)  # the first
        ratio = (c.far / c.near) ** (1 / (c.samples - 1))
        there = depth[at]
        # Once more, finely, from the sample before to a little behind this one.
        share = torch.linspace(-1, _BEHIND, c.refine + 1, dtype=ray.dtype, device=ray.device)
        fine = there[found, None] * ratio**share  # [M, R + 1]
        before = torch.where(at > 0, passed.gather(1, (at - 1).clamp(min=0)[:, None])[:, 0], 0.0)[found]
        closer = before[:, None] + self._passed(place, origin[found], ray[found], fine)
        last = (closer > _HALF).to(torch.uint8).argmax(1)
        last = torch.where(closer[:, -1] > _HALF, last, c.refine)
        return torch.full_like(depth[:1], c.far).expand(len(ray)).masked_scatter(found, fine.gather(1, last[:, None])[:, 0])

    def samples(self, ray: Tensor) -> Tensor:
        """Depths ``[S]`` of the samples of rays, from near to far."""
        c = self.config
        return c.near * (c.far / c.near) ** torch.linspace(0, 1, c.samples, dtype=ray.dtype, device=ray.device)

    def reaches(self, place: int, origin: Tensor, ray: Tensor, depth: Tensor) -> Tensor:
        """Return the logarithm of the share of the light that stops at each of depths ``[N, S]``, and last of the sky:
        ``[N, S + 1]``."""
        through = self._passed(place, origin, ray, depth)
        before = F.pad(through[:, :-1], (1, 0))
        stops = torch.log(-torch.expm1(-(through - before).clamp(min=1e-6)))
        return torch.cat([stops - before, -through[:, -1:]], 1)

    def colour(self, place: int, origin: Tensor, ray: Tensor, depth: Tensor) -> Tensor:
        """Return colours ``[N, 3]`` of what rays show that stop at depths ``[N]``; of the sky from ``config.far`` on."""
        c = self.config
        above = depth >= c.far
        ground = ~above
        x = self._features(place, origin[ground] + ray[ground] * depth[ground, None], depth[ground])
        way = F.normalize(ray, dim=-1)
        far = depth[ground, None].log() / 4
        x = F.relu(self.first(torch.cat([x, way[ground], far], 1)))
        x = self.last(x + F.relu(self.second(x)))
        return torch.empty_like(ray).index_put((ground,), x).index_put((above,), self._sky(place, way[above]))

    def _passed(self, place: int, origin: Tensor, ray: Tensor, depth: Tensor) -> Tensor:
        """Optical depth of rays from the camera to each of depths ``[S]`` or ``[N, S]``: ``[N, S]``."""
        c = self.config
        depth = depth.expand(len(ray), -1)
        point = origin[:, None] + ray[:, None] * depth[..., None]  # [N, S, 3]
        low = point.new_tensor((-c.half[place], -c.height, -c.half[place]))
        size = point.new_tensor((2 * c.half[place], c.height + c.floor, 2 * c.half[place]))
        at = (point - low) / size * 2 - 1  # -1 and 1 are the edges
        inside = (at.abs() < 1).all(-1)
        raw = F.grid_sample(self.density[place], at[None, None], padding_mode="border", align_corners=False)[0, 0, 0]
        density = F.softplus(_GAIN * raw - _EMPTY) * inside
        step = torch.diff(depth, dim=1, prepend=torch.zeros_like(depth[:, :1])) * ray.norm(dim=-1, keepdim=True)
        return (density * step).cumsum(1)

    def _features(self, place: int, point: Tensor, depth: Tensor) -> Tensor:
        """Features of points ``[N, 3]`` seen from ``depth [N]``, ``[N, levels C]``: of their eight corners, by nearness."""
        c = self.config
        low = point.new_tensor((-c.half[place], -c.height, -c.half[place]))
        sizes = [2 * c.half[place] / n for n in c.levels]
        rows = c.rows(place)
        indices: list[Tensor] = []
        weights: list[Tensor] = []
        corner = torch.tensor([(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)], device=point.device)
        for n, size, count, first in zip(c.levels, sizes, rows, accumulate([0, *rows[:-1]]), strict=True):
            q = (point - low) / size
            q = q.clamp(min=0).minimum(point.new_tensor((n, (c.height + c.floor) / size, n)))
            whole = q.floor()
            part = (q - whole)[:, None]  # [N, 1, 3]
            cell = whole.long()[:, None] + corner  # [N, 8, 3]
            x, y, z = cell.unbind(-1)
            shares = (n + 1) ** 2 * (int((c.height + c.floor) / size) + 2) > count
            index = (x ^ y * 2654435761 ^ z * 805459861) % count if shares else (y * (n + 1) + z) * (n + 1) + x
            indices.append(index + first)
            # What is finer than a pixel of the distance is left out, little by little: it would flicker.
            clear = (size * _PIXELS / depth).clamp(max=1)
            weights.append(torch.where(corner.bool(), part, 1 - part).prod(-1) * clear[:, None])
        index, weight = torch.stack(indices, 1).flatten(0, 1), torch.stack(weights, 1).flatten(0, 1)
        found = F.embedding_bag(index, self.features[place], mode="sum", per_sample_weights=weight.to(self.features[place].dtype))
        return _GAIN * found.view(len(point), len(c.levels) * c.channels)

    def _sky(self, place: int, way: Tensor) -> Tensor:
        """Colours ``[N, 3]`` of the sky in directions ``[N, 3]`` of length 1."""
        around = torch.atan2(way[:, 0], way[:, 2]) / torch.pi  # -1 to 1
        above = torch.asin(-way[:, 1].clamp(-1, 1)) * 180 / torch.pi  # degrees; y points down
        at = torch.stack([around, (above - _LOWEST) / (90 - _LOWEST) * 2 - 1], -1)[None, None]
        sky = F.pad(self.sky[place], (1, 1, 0, 0), mode="circular")  # it goes all around
        at = at * at.new_tensor((self.config.sky[1] / (self.config.sky[1] + 2), 1.0))
        return _GAIN * F.grid_sample(sky, at, padding_mode="border", align_corners=False)[0, :, 0].T


_MOST = {"cells": 512, "layers": 256, "samples": 512, "refine": 64, "entries": 2**22, "sky": 1024, "levels": 4096}
_LEVELS = 12
_GAIN = 10.0  # a cell is seen in few batches: so it moves ten times as far with an optimiser's step as other weights
_EMPTY = 4.0  # the density of a new field is 0.018 a metre
_HALF = 0.693  # optical depth at which half of the light is gone
_BEHIND = 0.5  # samples
_PIXELS = 40.0  # across a picture 1 m away and 1 m wide
_LOWEST = -30.0  # degrees: nothing is seen below that is no ground
