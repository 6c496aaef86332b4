"""Places known by heart: a neural field of each, which shows what a camera in it sees, in colours and in depth.

A window of three seconds and a few re-projected views do not tell what lies behind the next corner. A network can know it, if it
is told where it stands. Here every place is a grid of densities, by which a ray stops at the first surface (as in the radiance
fields of DirectVoxGO, Sun et al. 2022), and a table of features at cells of several sizes (Instant NGP, Müller et al. 2022), of
which a small network makes the colour of the surface. Features are read once a ray, where it stops, so that a CPU draws it.

What the field shows is given to the world as what memory shows is (``memory.add_memory_hint``). Our addition to DreamX-World 1.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dreamx.geometry.camera import Camera, rays
from dreamx.geometry.reproject import View
from dreamx.model.place_config import PlaceFieldConfig


class PlaceField(nn.Module):
    """The fields of all places, and the network that makes colours of what is read from them."""

    def __init__(self, config: PlaceFieldConfig) -> None:
        super().__init__()
        if not config.half:
            raise ValueError(f"places.half is empty; give {len(config.names)} numbers of metres, one for each of places.names")
        self.config = c = config
        grid = (1, 1, c.layers, c.cells, c.cells)  # [1, 1, y, z, x]
        self.density = nn.ParameterList([nn.Parameter(torch.zeros(grid)) for _ in c.names])
        every = range(len(c.names))
        self.features = nn.ParameterList([nn.Parameter(torch.empty(sum(c.colours(i).rows), c.channels)) for i in every])
        fine = every if c.fine else ()
        self.fine = nn.ParameterList([nn.Parameter(torch.zeros(sum(c.densities(i).rows), 1)) for i in fine])
        self.sky = nn.ParameterList([nn.Parameter(torch.zeros(1, 3, *c.sky)) for _ in c.names])
        self.first = nn.Linear(len(c.levels) * c.channels + 4, c.hidden)
        self.second = nn.Linear(c.hidden, c.hidden)
        self.last = nn.Linear(c.hidden, 3)
        for table in self.features:
            nn.init.normal_(table, std=0.1 / _GAIN)
        self._kept: dict[int, tuple[tuple[int, int], Tensor]] = {}
        self._coarse: Tensor | None = None

    @contextmanager
    def coarsened(self, place: int, factor: float) -> Iterator[None]:
        """Within it, densities of a place are read from a grid of cells ``factor`` times as large, means of its own (as the
        progressive scaling of DirectVoxGO); gradients reach the cells that they are means of."""
        grid = self.density[place]
        if factor > 1:
            c = self.config
            cell = 2 * c.half[place] / c.cells * factor  # metres; cells are taller than wide
            layers = min(c.layers, max(2, round((c.height + c.floor) / cell)))
            side = max(2, round(c.cells / factor))
            self._coarse = F.interpolate(grid, size=(layers, side, side), mode="area")
        try:
            yield
        finally:
            self._coarse = None

    @torch.no_grad()
    def view(self, place: int, camera: Camera, rows: int, cols: int) -> View:
        """Return what cameras ``[N]`` see, in the axes of the place, whose ground is y = 0: ``[N]``, colours in [-1, 1].

        All of it is known; the depth of the sky is ``config.far``.
        """
        origin, ray = self._rays(camera, rows, cols)
        depth = self._stop(place, origin, ray, *self._bounds(place, camera, rows, cols))
        rgb = self.colour(place, origin, ray, depth).clamp(-1, 1)
        depth = depth.view(-1, rows, cols)
        return View(rgb.view(-1, rows, cols, 3).permute(0, 3, 1, 2), depth, torch.ones_like(depth))

    @torch.no_grad()
    def stop(self, place: int, origin: Tensor, ray: Tensor) -> Tensor:
        """Return the depths ``[N]`` at which rays stop: half of the light is gone. ``config.far``: nowhere, in the sky.

        ``origin``, ``ray [N, 3]``; a ray has z = 1 in the axes of its camera, so that depth is along z.
        """
        first = torch.zeros(len(ray), dtype=torch.long, device=ray.device)
        return self._stop(place, origin, ray, first, torch.full_like(first, self.config.samples - 1))

    def samples(self, ray: Tensor) -> Tensor:
        """Depths ``[S]`` of the samples of rays, from near to far."""
        c = self.config
        return c.near * (c.far / c.near) ** torch.linspace(0, 1, c.samples, dtype=ray.dtype, device=ray.device)

    def reaches(self, place: int, origin: Tensor, ray: Tensor, depth: Tensor) -> Tensor:
        """Return the logarithm of the share of the light that stops at each of depths ``[N, S]``, and last of the sky:
        ``[N, S + 1]``."""
        through = self._passed(place, origin, ray, F.pad(depth, (1, 0)))
        before = F.pad(through[:, :-1], (1, 0))
        stops = torch.log(-torch.expm1(-(through - before).clamp(min=1e-6)))
        return torch.cat([stops - before, -through[:, -1:]], 1)

    def colour(self, place: int, origin: Tensor, ray: Tensor, depth: Tensor) -> Tensor:
        """Return colours ``[N, 3]`` of what rays show that stop at depths ``[N]``; of the sky, by direction alone, from
        ``config.far`` on and outside of the place."""
        point = origin + ray * depth[:, None]
        ground = self.holds(place, point) & (depth < self.config.far)
        above = ~ground
        way = F.normalize(ray, dim=-1)
        x = torch.cat([self._features(place, point[ground], depth[ground]), way[ground], depth[ground, None].log() / 4], 1)
        x = F.relu(self.first(x))
        x = self.last(x + F.relu(self.second(x)))
        return torch.empty_like(ray).index_put((ground,), x).index_put((above,), self._sky(place, way[above]))

    def holds(self, place: int, point: Tensor) -> Tensor:
        """Tell which of points ``[..., 3]`` lie in a place: bool."""
        return (self._scaled(place, point, torch.zeros_like(point))[0].abs() < 1).all(-1)

    def _rays(self, camera: Camera, rows: int, cols: int) -> tuple[Tensor, Tensor]:
        """Origins and directions of the rays of all pixels of cameras ``[N]``: ``[N rows cols, 3]``."""
        pose = camera.pose.to(self.first.weight.dtype)
        ray = rays(camera.lens.to(pose), rows, cols) @ pose[:, None, :3, :3].mT  # [N, rows, cols, 3]
        return pose[:, None, :3, 3].expand(-1, rows * cols, 3).flatten(0, 1), ray.flatten(0, 2)

    def _stop(self, place: int, origin: Tensor, ray: Tensor, first: Tensor, last: Tensor) -> Tensor:
        """``stop`` of rays that stop at samples ``first [N]`` to ``last [N]``, if anywhere: by some samples after the other, then
        finer between the two about the surface."""
        c = self.config
        every = F.pad(self.samples(ray), (1, 0))  # 0, and then the samples
        going = (first <= last).nonzero()[:, 0]  # the rays that go on
        passed = ray.new_zeros(len(going), 1)
        found: list[Tensor] = []
        about: list[Tensor] = []  # depth before and behind the surface, optical depth before it
        at = first[going]
        while len(going):
            number = (at[:, None] + torch.arange(_TOGETHER + 1, device=ray.device)).clamp(max=c.samples)
            depth = every[number]  # that before the first is known
            through = torch.cat([passed, passed + self._passed(place, origin[going], ray[going], depth)], 1)
            stops = through[:, -1] > _HALF
            behind = (through[stops] > _HALF).to(torch.uint8).argmax(1, keepdim=True)
            found.append(going[stops])
            sides = ((depth, behind - 1), (depth, behind), (through, behind - 1))
            about.append(torch.cat([x[stops].gather(1, i) for x, i in sides], 1))
            at = at + _TOGETHER
            on = ~stops & (at <= last[going])
            going, at, passed = going[on], at[on], through[on, -1:]
        out = ray.new_full((len(ray),), c.far)
        if not found:
            return out
        which = torch.cat(found)
        low, high, before = torch.cat(about).split(1, 1)
        fine = low + (high - low) * (torch.arange(c.refine + 1, dtype=ray.dtype, device=ray.device) / c.refine * (1 + _BEHIND))
        closer = before + self._passed(place, origin[which], ray[which], fine)  # [M, refine]
        nearest = (closer > _HALF).to(torch.uint8).argmax(1, keepdim=True)
        nearest = torch.where(closer[:, -1:] > _HALF, nearest, c.refine - 1)
        return out.index_put((which,), fine.gather(1, nearest + 1)[:, 0])

    def _bounds(self, place: int, camera: Camera, rows: int, cols: int) -> tuple[Tensor, Tensor]:
        """Numbers ``[N rows cols]`` of the first and last sample at which rays of cameras ``[N]`` may stop, by a quarter of them.

        Between them a ray, or one beside it, is within a cell of something; where it never is, the last is before the first.
        """
        c = self.config
        small = [-(-n // 2) for n in (rows, cols)]
        origin, ray = self._rays(camera, *small)
        depth = self.samples(ray)
        start, way = self._scaled(place, origin, ray)
        at = start[:, None] + way[:, None] * depth[:, None]
        close = self._close(place).take(self._cell(at)).float()  # [M, S]
        number = torch.arange(c.samples, device=ray.device)
        first = torch.where(close > 0, number, c.samples).amin(1)
        last = torch.where(close > 0, number, -1).amax(1)
        first, last = (i.view(-1, 1, *small).to(ray) for i in (first, last))
        first, last = -F.max_pool2d(-first, 3, 1, 1), F.max_pool2d(last, 3, 1, 1)
        first, last = (F.interpolate(i, scale_factor=2.0)[:, 0, :rows, :cols].flatten().long() for i in (first, last))
        return (first - 1).clamp(min=0), last + 1

    def _cell(self, at: Tensor) -> Tensor:
        """Numbers ``[...]`` of the cells of density at points ``[..., 3]``, as ``_scaled``; beyond the edges as at the edges."""
        c = self.config
        x, y, z = (
            ((i + 1) * (n / 2)).clamp(0, n - 1).long() for i, n in zip(at.unbind(-1), (c.cells, c.layers, c.cells), strict=True)
        )
        return (y * c.cells + z) * c.cells + x

    def _close(self, place: int) -> Tensor:
        """Tell which cells of a place have something in them or in a neighbour, flat; kept while the weights stay."""
        grid = self.density[place]
        # Weights made in inference mode count no versions, and cannot be trained.
        now = (grid.data_ptr(), 0 if grid.is_inference() else grid._version)
        kept = self._kept.get(place)
        if kept is None or kept[0] != now:
            kept = self._kept[place] = now, F.max_pool3d(F.softplus(_GAIN * grid - _EMPTY), 3, 1, 1).flatten() > _SOLID
        return kept[1]

    def _scaled(self, place: int, origin: Tensor, ray: Tensor) -> tuple[Tensor, Tensor]:
        """Origins and directions ``[..., 3]`` in units in which -1 and 1 are the edges of a place."""
        c = self.config
        half = self._half(place, origin)
        middle = origin.new_tensor((0.0, (c.floor - c.height) / 2, 0.0))  # y points down
        return (origin - middle) / half, ray / half

    def _passed(self, place: int, origin: Tensor, ray: Tensor, depth: Tensor) -> Tensor:
        """Optical depth of rays from the first of depths ``[N, S + 1]`` to each of the others, ``[N, S]``. Beyond the edges it is
        as at the edges."""
        start, way = self._scaled(place, origin, ray)
        at = torch.addcmul(start[:, None], way[:, None], depth[:, 1:, None])  # [N, S, 3]
        # x, z, y: grid_sample names the last axis first.
        grid = self.density[place] if self._coarse is None else self._coarse
        raw = F.grid_sample(grid, at[None, None, ..., (0, 2, 1)], padding_mode="border", align_corners=False)[0, 0, 0]
        if len(self.fine) and self._coarse is None:
            near = self._close(place).take(self._cell(at.detach())).flatten().nonzero()[:, 0]
            point = (at.detach().flatten(0, 1)[near] + 1) * self._half(place, at)
            found = self.config.densities(place).read(self.fine[place], point)[:, 0]
            raw = raw.flatten().index_add(0, near, found).view_as(raw)
        return (F.softplus(_GAIN * raw - _EMPTY) * depth.diff(dim=1) * ray.norm(dim=-1, keepdim=True)).cumsum(1)

    def _half(self, place: int, like: Tensor) -> Tensor:
        """Half of the sides of a place, metres ``[3]``."""
        c = self.config
        return like.new_tensor((c.half[place], (c.height + c.floor) / 2, c.half[place]))

    def _features(self, place: int, point: Tensor, depth: Tensor) -> Tensor:
        """Features of points ``[N, 3]`` seen from ``depth [N]``, ``[N, levels C]``: of their eight corners, by nearness."""
        c = self.config
        table = c.colours(place)
        # What is finer than a pixel of the distance is left out, little by little: it would flicker.
        clear = [(table.side / n * c.pixels / depth).clamp(max=1) for n in c.levels]
        corner = point - point.new_tensor((-c.half[place], -c.height, -c.half[place]))
        return _GAIN * table.read(self.features[place], corner, clear)

    def _sky(self, place: int, way: Tensor) -> Tensor:
        """Colours ``[N, 3]`` of the sky in directions ``[N, 3]`` of length 1."""
        around = torch.atan2(way[:, 0], way[:, 2]) / torch.pi  # -1 to 1
        above = torch.asin(-way[:, 1].clamp(-1, 1)) * 180 / torch.pi  # degrees; y points down
        at = torch.stack([around, (above - _LOWEST) / (90 - _LOWEST) * 2 - 1], -1)[None, None]
        sky = F.pad(self.sky[place], (1, 1, 0, 0), mode="circular")  # it goes all around
        at = at * at.new_tensor((self.config.sky[1] / (self.config.sky[1] + 2), 1.0))
        return _GAIN * F.grid_sample(sky, at, padding_mode="border", align_corners=False)[0, :, 0].T


_GAIN = 10.0  # a cell is seen in few batches: so it moves ten times as far with an optimiser's step as other weights
_EMPTY = 4.0  # the density of a new field is 0.018 a metre
_HALF = 0.693  # optical depth at which half of the light is gone
_BEHIND = 0.5  # of the gap between two samples
_SOLID = 0.3  # a metre: what is less dense stops no ray
_TOGETHER = 8  # samples of a ray that are looked at before it is asked whether it goes on
_LOWEST = -30.0  # degrees: nothing is seen below that is no ground
