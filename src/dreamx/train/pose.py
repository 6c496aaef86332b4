"""Stage: train the depth network of a pose estimator (``eval.estimators.pose.flow_estimator``) on single frames.

It is the network and the loss of the stage ``depth``, and not the network of any world: a world judged by its own depth
would be forgiven its own errors. Two are made, of other seeds and of scenes that do not overlap: one that evaluates, one that
rewards. Half of the frames are mirrored, some are blurred: a dream is not sharp.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx.bounds import BatchSize, InputFolder, NonNegativeFloat, PositiveFloat, PositiveInt
from dreamx.clip import Clip, refuse_held_out
from dreamx.data.clip_list import clip_files
from dreamx.model.depth_net import Depth, DepthConfig
from dreamx.train.augment import jitter_colour
from dreamx.train.depth import depth_loss
from dreamx.train.model_card import ScoringStage, write_card
from dreamx.train.outputs import claim
from dreamx.train.run import Run


@dataclass(frozen=True)
class PoseStage(ScoringStage):
    """Train the depth network of a pose estimator."""

    data: InputFolder
    """Folder of clips with depth."""
    most: PositiveInt = 600
    """Most clips that are read, evenly from all."""
    depth: DepthConfig = field(default_factory=lambda: DepthConfig(widths=(24, 48, 80)))
    """Sizes of the network."""
    batch: BatchSize = 16
    """Frames in a step."""
    lr: PositiveFloat = 2.5e-3
    """Peak learning rate."""
    edges: NonNegativeFloat = 1.0
    """Weight of the loss of neighbour differences of log-depth."""
    vary: NonNegativeFloat = 0.15
    """How much colours vary."""


def main(cfg: PoseStage) -> None:
    """Train, and write ``cfg.out``."""
    claim(cfg, "pose", ["depth"], [cfg.data])
    run = Run(cfg.run)  # first of all: it seeds
    net = run.own(Depth(cfg.depth), cfg.lr, name="depth", methods=("metres",))
    clips = load_clips(cfg.data, range(cfg.first_seed, cfg.end_seed), cfg.most)
    for pictures, depth in run.steps(lambda step: draw(clips, cfg, run.generator(step))):
        loss, parts = depth_loss(net(pictures), depth, net, cfg.edges)
        run.update(net, loss, parts)
    run.export(cfg.out, {"depth": (net, net.config)}, {"depth": 8})
    write_card(run, cfg.out, (cfg.first_seed, cfg.end_seed), len(clips), cfg.batch)


def load_clips(folder: Path, seeds: range, most: int) -> list[Clip]:
    """Clips of these scenes (a clip's file is named after its scene), ``most`` of them, spread evenly.

    ValueError when there are none, or one has no depth.
    """
    found: list[Clip] = []
    files = [path for path in clip_files(folder) if _seed(path) in seeds]
    for path in files[:: max(1, -(-len(files) // most))]:
        clip = Clip.load(path)
        refuse_held_out(clip.seed)
        if clip.depth is None:
            raise ValueError(f"{path}: clips with depth are needed; render them again")
        found.append(clip)
    if not found:
        raise ValueError(f"{folder}: no clip of scenes {seeds.start} to {seeds.stop - 1}; render some, or choose other seeds")
    return found


def _seed(path: Path) -> int:
    name = path.stem.split("_")[0]
    if not (name.isascii() and name.isdigit()):
        raise ValueError(f"{path}: its name does not begin with the seed of its scene, as `dreamx data render` writes it")
    return int(name)


def draw(clips: list[Clip], cfg: PoseStage, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """``cfg.batch`` frames ``[B, 3, H, W]`` in [-1, 1], in other colours, and their depth ``[B, H, W]`` in metres, 0 where
    unknown. Half are mirrored, a quarter blurred."""
    pictures: list[Tensor] = []
    depths: list[Tensor] = []
    for i in torch.randint(len(clips), (cfg.batch,), generator=rng).tolist():
        clip = clips[i]
        assert clip.depth is not None
        at = int(torch.randint(len(clip.video), (1,), generator=rng))
        mirror, soft = torch.rand(2, generator=rng).tolist()
        picture, depth = clip.video[at] / 127.5 - 1, clip.depth[at].float()
        if soft < 0.25:  # one step of a 3 x 3 box: generated pictures are not sharp
            picture = F.avg_pool2d(F.pad(picture[None], (1, 1, 1, 1), mode="replicate"), 3, 1)[0]
        pictures.append(picture.flip(-1) if mirror < 0.5 else picture)
        depths.append(depth.flip(-1) if mirror < 0.5 else depth)
    return jitter_colour(torch.stack(pictures), cfg.vary, rng), torch.stack(depths)
