"""Stage: learn places by heart. A map of features for each place learns the latents that cameras in it see (``model.place_map``).

Loss: mean squared error of latents, whose variance is 1, of frames drawn from all clips of the places. The transformer and its
text encoder are copied as they are; it reads what the map recalls as it reads what memory shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx.bounds import InputFile, OutputFolder, PositiveFloat, PositiveInt
from dreamx.geometry.camera import Camera
from dreamx.model.place_map import PlaceMapConfig
from dreamx.train.latents import LatentClips
from dreamx.train.outputs import StartFolder, claim
from dreamx.train.run import Run
from dreamx.train.run_config import RunConfig
from dreamx.train.trained_networks import add_place_map, load


@dataclass(frozen=True)
class PlacesStage:
    """Learn places by heart."""

    run: RunConfig
    """Steps, seed, checkpoints: shared by all stages."""
    data: InputFile
    """File of latents, of clips in these places, and of any others."""
    start: StartFolder
    """Folder of networks that get the maps."""
    out: OutputFolder
    """Folder of the networks with their maps."""
    place_map: PlaceMapConfig
    """Sizes of the maps."""
    batch: PositiveInt = 96
    """Latent frames in a step."""
    lr: PositiveFloat = 3e-3
    """Peak learning rate."""


def main(cfg: PlacesStage) -> None:
    """Train, and write ``cfg.out``."""
    claim(cfg, "places", ["dit", "text"], [cfg.data, cfg.start])
    data, run = LatentClips(cfg.data), Run(cfg.run)
    nets = load(cfg.start)
    nets.dit = add_place_map(nets.dit, cfg.place_map)
    data.refuse_other(nets.dit.config.channels)
    data.locate(cfg.place_map.names)
    rows = known_rows(data)
    assert nets.dit.place_map is not None
    net = run.own(nets.dit.place_map, cfg.lr, name="places", methods=("recall",))
    for z, place, camera in run.steps(lambda step: draw(data, rows, cfg, run.generator(step))):
        loss = F.mse_loss(net.recall(place, camera, *z.shape[-2:]), z)
        run.update(net, loss, {"explained": 1 - loss.detach() / z.var()})
    run.export(cfg.out, nets.parts())


def known_rows(data: LatentClips) -> Tensor:
    """Return the numbers of the clips that are of a place. ValueError where there is none."""
    rows = torch.empty(0) if data.place is None else (data.place >= 0).nonzero()[:, 0]
    if not len(rows):
        raise ValueError("data: no clip is of any of place_map.names; simulate walks of those kinds, and encode them")
    return rows


def draw(data: LatentClips, rows: Tensor, cfg: PlacesStage, rng: torch.Generator) -> tuple[Tensor, Tensor, Camera]:
    """``cfg.batch`` latents ``[B, C, h, w]``, their places ``[B]`` and cameras ``[B]``; a pure function of ``rng``."""
    assert data.place is not None
    row = rows[torch.randint(len(rows), (cfg.batch,), generator=rng)]
    time = torch.randint(data.z.shape[1], (cfg.batch,), generator=rng)
    return data.z[row, time].float(), data.place[row], data.camera[row, time]
