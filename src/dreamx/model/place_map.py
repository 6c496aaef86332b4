"""Places known by heart: a map of learned features for each, which says what a camera in it sees.

A window of three seconds and a few re-projected views do not tell what lies behind the next corner. A network can know it, if it
is told where it stands: here every place has a grid of features, coarse and fine (as in the radiance fields of Plenoxels, Yu et
al. 2021, and DirectVoxGO, Sun et al. 2022). Each latent pixel samples it at a few distances along its ray, and a small network
makes its latent of the samples: a light field of latents, not of colours, so that 64 rays are a picture. The transformer gets
what it recalls as it gets what memory shows (``Frames.hint``), where memory shows nothing. Our addition to DreamX-World 1.0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dreamx.bounds import PositiveFloat, PositiveInt, Probability, Width
from dreamx.frames import Frames, hint_shape
from dreamx.geometry.camera import Camera, rays


@dataclass(frozen=True)
class PlaceMapConfig:
    """Sizes of the maps."""

    names: tuple[str, ...]
    """The places, each with a map of its own."""
    half: tuple[PositiveFloat, ...]
    """Metres from the middle of each map to its edges."""
    height: PositiveFloat = 7.0
    """Metres from the ground to the top of a map."""
    cells: tuple[PositiveInt, ...] = (96, 24)
    """Cells along both sides of the ground, of each level."""
    layers: PositiveInt = 6
    """Cells along the height, of each level."""
    channels: Width = 8
    """Features of a cell."""
    samples: PositiveInt = 16
    """Samples along a ray."""
    near: PositiveFloat = 0.6
    """Depth of the first sample, metres; the others follow at equal ratios."""
    far: PositiveFloat = 40.0
    """Depth of the last sample, metres."""
    hidden: Width = 256
    """Hidden channels of the network that reads the samples of a ray."""
    sure: Probability = 0.9
    """How much of a place is said to be known (``Frames.hint``) where only the map knows it."""

    def __post_init__(self) -> None:
        if not self.names or len(set(self.names)) < len(self.names):
            raise ValueError(f"place_map.names must be different names, one at least, not {list(self.names)}")
        if len(self.half) != len(self.names):
            raise ValueError(
                f"place_map.half must be {len(self.names)} numbers, one for each of place_map.names, not {len(self.half)}"
            )
        if not self.cells or any(not 2 <= n <= _MOST_CELLS for n in self.cells) or not 2 <= self.layers <= _MOST_CELLS:
            raise ValueError(
                f"place_map.cells and place_map.layers must be numbers from 2 to {_MOST_CELLS}, not {list(self.cells)} and"
                f" {self.layers}"
            )
        if self.far <= self.near:
            raise ValueError(f"place_map.far must be more than place_map.near, {self.near}, not {self.far}")


class PlaceMap(nn.Module):
    """The maps, and what reads them: latents of ``latent`` channels."""

    def __init__(self, config: PlaceMapConfig, latent: int) -> None:
        super().__init__()
        self.config = c = config
        # [1, C, places x layers, z, x]: the maps one above the other, so that one call samples all.
        shapes = [(1, c.channels, len(c.names) * c.layers, n, n) for n in c.cells]
        self.levels = nn.ParameterList([nn.Parameter(torch.empty(shape)) for shape in shapes])
        self.first = nn.Linear(len(c.cells) * c.samples * c.channels + 6 * _OCTAVES, c.hidden)
        self.second = nn.Linear(c.hidden, c.hidden)
        self.last = nn.Linear(c.hidden, latent)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Random features."""
        for level in self.levels:
            nn.init.normal_(level, std=0.1 / _GAIN)
        for layer in (self.first, self.second, self.last):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def recall(self, place: Tensor, camera: Camera, rows: int, cols: int) -> Tensor:
        """Return the latents that cameras ``[N]`` see, ``[N, C, rows, cols]``.

        place: ``[N]`` numbers of places. camera: in the axes of the place, whose ground is y = 0.
        """
        x = F.gelu(self.first(self._sample(place, camera, rows, cols)))
        x = x + F.gelu(self.second(x))
        return self.last(x).permute(0, 3, 1, 2)

    @torch.no_grad()  # it learns by a loss of its own (train.known_places)
    def fill(self, frames: Frames) -> Tensor:
        """Return the hint of frames, ``[B, T, C + 1, H, W]``, with what the map recalls where memory knows less than the map."""
        hint = frames.z.new_zeros(hint_shape(frames.z)) if frames.hint is None else frames.hint
        here = torch.zeros_like(frames.index, dtype=torch.bool) if frames.place is None else frames.place >= 0  # [B, T]
        if frames.place is None or not bool(here.any()):
            return hint
        known = hint[here][:, -1:]  # [N, 1, H, W]
        recalled = self.recall(frames.place[here], frames.camera.map(lambda x: x[here]), *hint.shape[-2:]).to(hint)
        latents = known * hint[here][:, :-1] + (1 - known) * recalled
        return hint.index_put((here,), torch.cat([latents, known.clamp(min=self.config.sure)], 1))

    def _sample(self, place: Tensor, camera: Camera, rows: int, cols: int) -> Tensor:
        """Features along the rays of cameras ``[N]``, and of their directions, for the sky: ``[N, rows, cols, D]``."""
        c = self.config
        dtype = self.levels[0].dtype
        pose, lens = camera.pose.to(dtype), camera.lens.to(dtype)
        depth = torch.logspace(0, 1, c.samples, c.far / c.near, dtype=dtype, device=pose.device) * c.near  # [S]
        ray = rays(lens, rows, cols) @ pose[:, None, :3, :3].mT  # [N, rows, cols, 3]
        point = pose[:, None, None, None, :3, 3] + ray[..., None, :] * depth[:, None]  # [N, rows, cols, S, 3]
        half = torch.tensor(c.half, dtype=dtype, device=pose.device)[place]
        ground = point[..., (0, 2)] / half[:, None, None, None, None]  # x, z: -1 and 1 are the edges
        # y points down. Within the layers of its own place, from the middle of the lowest to that of the highest.
        height = (-point[..., 1] / c.height).clamp(0, 1) * (c.layers - 1)
        layer = place.to(dtype)[:, None, None, None] * c.layers + height
        deep = len(c.names) * c.layers
        at = torch.cat([ground, (2 * layer[..., None] + 1) / deep - 1], -1).flatten(0, 2)[None, :, :, None]  # [1, P, S, 1, 3]
        found = [F.grid_sample(level, at.to(level.dtype), padding_mode="border", align_corners=False) for level in self.levels]
        features = torch.stack([x[0, ..., 0] for x in found]).permute(2, 0, 1, 3)  # [rays, levels, C, S]
        angles = F.normalize(ray, dim=-1)[..., None] * 2.0 ** torch.arange(_OCTAVES, device=ray.device)  # [N, rows, cols, 3, O]
        waves = torch.cat([angles.sin(), angles.cos()], -1).flatten(-2)
        return torch.cat([_GAIN * features.flatten(1).unflatten(0, ray.shape[:3]), waves], -1)


_MOST_CELLS = 512
_OCTAVES = 4  # of the waves of a ray's direction
_GAIN = 10.0  # a cell is seen in few batches: so its features move ten times as far with an optimiser's step as other weights
