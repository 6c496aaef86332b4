"""Stage: train the network that guesses the depth of an opening picture (``model.depth_net``) on single frames of clips.

Loss: L1 of log-depth where depth is known, and L1 of its differences between neighbours at three scales, which asks for edges
(the gradient term of MegaDepth, Li and Snavely 2018). Colours are varied: pictures that people bring are lit otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx.bounds import BatchSize, InputFolder, NonNegativeFloat, OutputFolder, PositiveFloat, PositiveInt
from dreamx.model.depth_net import Depth, DepthConfig
from dreamx.train.augment import jitter_colour
from dreamx.train.autoencoder import ClipWindows, Windows
from dreamx.train.outputs import claim
from dreamx.train.run import Run
from dreamx.train.run_config import RunConfig


@dataclass(frozen=True)
class DepthStage:
    """Train the network that guesses the depth of a picture."""

    run: RunConfig
    """Steps, seed, checkpoints: shared by all stages."""
    data: tuple[InputFolder, ...]
    """Folders of clips with depth."""
    out: OutputFolder
    """Folder of the trained network."""
    depth: DepthConfig = field(default_factory=DepthConfig)
    """Sizes of the network."""
    batch: BatchSize = 32
    """Frames in a step."""
    lr: PositiveFloat = 2e-3
    """Peak learning rate."""
    edges: NonNegativeFloat = 1.0
    """Weight of the loss of neighbour differences of log-depth."""
    vary: NonNegativeFloat = 0.15
    """How much colours vary."""
    sheet_every: PositiveInt = 500
    """Steps between contact sheets."""

    def __post_init__(self) -> None:
        if not self.data:
            raise ValueError("data is empty; give one folder of clips or more")


def main(cfg: DepthStage) -> None:
    """Train, and write ``cfg.out`` and a sheet of pictures with their depth, true and guessed."""
    claim(cfg, "depth", ["depth"], cfg.data)
    run = Run(cfg.run)  # first of all: it seeds
    net = run.own(Depth(cfg.depth), cfg.lr, name="depth", methods=("metres",))
    clips = ClipWindows(cfg.data, 1)  # windows of one frame

    def batch(step: int) -> Windows:
        rng = run.generator(step)
        frames = clips.draw(cfg.batch, rng)
        return Windows(jitter_colour(frames.video, cfg.vary, rng), frames.depth)

    for frames in run.steps(batch):
        loss, parts = depth_loss(net(frames.video[:, 0]), frames.depth[:, 0], net, cfg.edges)
        run.update(net, loss, parts)
        if (run.step + 1) % cfg.sheet_every == 0:
            show(run, net, clips)
    show(run, net, clips)
    run.export(cfg.out, {"depth": (net, net.config)})


def depth_loss(plane: Tensor, depth: Tensor, net: Depth, edges: float) -> tuple[Tensor, dict[str, Tensor]]:
    """Planes ``[N, H, W]`` against metres (0: unknown) -> the loss, and its parts (``off``: mean error, a share)."""
    known = ((depth > 0) & torch.isfinite(depth)).float()
    error = (plane - net.plane(torch.where(known > 0, depth, 1.0))) * known  # 1 m, any number: it is multiplied by 0
    total = error.abs().sum() / known.sum().clamp_min(1)
    steps = plane.new_zeros(())
    e, k = error[:, None], known[:, None]
    for scale in range(_SCALES):
        if scale:
            e, k = F.avg_pool2d(e, 2), -F.max_pool2d(-k, 2)  # known only where all four pixels are: the minimum
        for dim in (-1, -2):
            n = k.shape[dim] - 1
            both = k.narrow(dim, 0, n) * k.narrow(dim, 1, n)  # a step counts where both of its ends are known
            steps = steps + (e.diff(dim=dim).abs() * both).sum() / both.sum().clamp_min(1)
    with torch.no_grad():
        reach = torch.tensor(net.config.far / net.config.near).log() / 2  # one unit of the plane, in the logarithm of metres
        parts = {"off": (total * reach).exp() - 1, "edges": steps / (2 * _SCALES)}
    return total + edges * steps / (2 * _SCALES), {name: x.detach() for name, x in parts.items()}


def show(run: Run, net: Depth, clips: ClipWindows) -> None:
    """Write ``sheet.png``: pictures, their true depth, and the guess."""
    frames = clips.draw(_SHOWN, run.generator(0), vary=False)
    with run.ema(net), torch.no_grad():
        guess = net(frames.video[:, 0])
    planes = [p[:, None].expand(-1, 3, -1, -1) for p in (net.plane(frames.depth[:, 0]), guess)]
    run.sheet("sheet", torch.cat([frames.video[:, 0], *planes]), columns=_SHOWN)


_SCALES = 3
_SHOWN = 12
