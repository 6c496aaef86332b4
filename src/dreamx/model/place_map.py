"""Places known by heart: a map of learned features for each, which the transformer reads along its lines of sight.

A window of three seconds and a few re-projected views do not tell what lies behind the next corner. A network can know it, if it
is told where it stands: here every place has a grid of features (as the radiance fields of Plenoxels, Yu et al. 2021, and
DirectVoxGO, Sun et al. 2022, have), coarse and fine. Each latent pixel samples it at a few distances along its ray, and a small
network turns a token's samples into what is added to that token. What the features mean is learned with the transformer; nothing
is rendered from them. Our addition to DreamX-World 1.0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dreamx.bounds import PositiveFloat, PositiveInt, Width
from dreamx.geometry.camera import Camera, rays


@dataclass(frozen=True)
class PlaceMapConfig:
    """Sizes of the maps."""

    names: tuple[str, ...]
    """The places, each with a map of its own."""
    half: PositiveFloat = 32.0
    """Metres from the middle of a map to its edges."""
    height: PositiveFloat = 8.0
    """Metres from the ground to the top of a map."""
    cells: tuple[PositiveInt, ...] = (96, 32, 8)
    """Cells along both sides of the ground, of each level."""
    layers: PositiveInt = 4
    """Cells along the height, of each level."""
    channels: Width = 8
    """Features of a cell."""
    samples: PositiveInt = 10
    """Samples along a ray."""
    near: PositiveFloat = 0.6
    """Depth of the first sample, metres; the others follow at equal ratios."""
    far: PositiveFloat = 40.0
    """Depth of the last sample, metres."""
    hidden: Width = 256
    """Hidden channels of the network that reads the samples of a token."""

    def __post_init__(self) -> None:
        if not self.names or len(set(self.names)) < len(self.names):
            raise ValueError(f"place_map.names must be different names, one at least, not {list(self.names)}")
        if not self.cells or any(not 2 <= n <= _MOST_CELLS for n in self.cells) or not 2 <= self.layers <= _MOST_CELLS:
            raise ValueError(
                f"place_map.cells and place_map.layers must be numbers from 2 to {_MOST_CELLS}, not {list(self.cells)} and"
                f" {self.layers}"
            )
        if self.far <= self.near:
            raise ValueError(f"place_map.far must be more than place_map.near, {self.near}, not {self.far}")


class PlaceMap(nn.Module):
    """The maps, and what reads them."""

    def __init__(self, config: PlaceMapConfig, width: int, patch: int) -> None:
        super().__init__()
        self.config, self.patch = config, patch
        c = config
        # [1, C, places x layers, z, x]: the maps one above the other, so that one call samples all.
        shapes = [(1, c.channels, len(c.names) * c.layers, n, n) for n in c.cells]
        self.levels = nn.ParameterList([nn.Parameter(torch.empty(shape)) for shape in shapes])
        self.read = nn.Sequential(
            nn.Linear(len(c.cells) * c.samples * c.channels * patch**2, c.hidden), nn.GELU("tanh"), nn.Linear(c.hidden, width)
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Random features, read as 0."""
        for level in self.levels:
            nn.init.normal_(level, std=0.1 / _GAIN)
        for layer in (self.read[0], self.read[2]):
            nn.init.xavier_uniform_(layer.weight)  # pyright: ignore[reportArgumentType]
            nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]
        nn.init.zeros_(self.read[2].weight)  # pyright: ignore[reportArgumentType]

    def index(self, name: str) -> int:
        """The number of a place, -1 where it is none of these."""
        return self.config.names.index(name) if name in self.config.names else -1

    def forward(self, place: Tensor, camera: Camera, rows: int, cols: int) -> Tensor:
        """Return what tokens of frames ``[B, T]`` of ``rows x cols`` latent pixels know by heart: ``[B, T, P, width]``.

        place: ``[B, T]`` numbers of places, -1 for none, of which nothing is known: 0. camera: in the axes of the place, whose
        ground is y = 0.
        """
        p = self.patch
        here = place.flatten() >= 0
        cameras = camera.map(lambda x: x.flatten(0, 1)[here])
        samples = self._sample(place.flatten()[here], cameras, rows, cols)  # [N, rows, cols, D]
        tokens = samples.unflatten(2, (cols // p, p)).unflatten(1, (rows // p, p)).transpose(2, 3).flatten(3).flatten(1, 2)
        out = tokens.new_zeros(len(here), tokens.shape[1], self.read[2].out_features)  # pyright: ignore[reportArgumentType,reportCallIssue]
        known = self.read(tokens)
        return out.to(known.dtype).index_put((here.nonzero()[:, 0],), known).unflatten(0, place.shape)

    def _sample(self, place: Tensor, camera: Camera, rows: int, cols: int) -> Tensor:
        """Features along the rays of cameras ``[N]``, ``[N, rows, cols, levels samples C]``."""
        c = self.config
        dtype = self.levels[0].dtype
        pose, lens = camera.pose.to(dtype), camera.lens.to(dtype)
        depth = torch.logspace(0, 1, c.samples, c.far / c.near, dtype=dtype, device=pose.device) * c.near  # [S]
        ray = rays(lens, rows, cols) @ pose[:, None, :3, :3].mT  # [N, rows, cols, 3]
        point = pose[:, None, None, None, :3, 3] + ray[..., None, :] * depth[:, None]  # [N, rows, cols, S, 3]
        ground = point[..., (0, 2)] / c.half  # x, z: -1 and 1 are the edges
        # y points down. Within the layers of its own place, from the middle of the lowest to that of the highest.
        height = (-point[..., 1] / c.height).clamp(0, 1) * (c.layers - 1)
        layer = place.to(dtype)[:, None, None, None] * c.layers + height
        deep = len(c.names) * c.layers
        at = torch.cat([ground, (2 * layer[..., None] + 1) / deep - 1], -1).flatten(0, 2)[None, :, :, None]  # [1, P, S, 1, 3]
        found = [F.grid_sample(level, at.to(level.dtype), padding_mode="border", align_corners=False) for level in self.levels]
        return _GAIN * torch.cat([x[0, ..., 0].permute(1, 2, 0).flatten(1) for x in found], -1).unflatten(0, ray.shape[:3])


_MOST_CELLS = 512
_GAIN = 10.0  # a cell is seen in few batches: so its features move ten times as far with an optimiser's step as other weights
