"""Stage: train the network that reads camera motion from pictures (``eval.pose.motion``) on frames of clips.

Loss: L1 of where the cells went, in cells, and of their log-distance, both known exactly from the simulator's depth and cameras,
and the errors of the motion that geometry makes of them. Some windows are seen through cameras that are turned a little more and
rolled, blurred or in other colours: a dream moves as nobody commanded, and is not sharp.

Two networks are made, of other seeds and of scenes that do not overlap: one that evaluates, one that rewards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx.clip import Clip, refuse_held_out
from dreamx.data.shots import clip_files
from dreamx.eval.pose.motion import Motion, MotionConfig
from dreamx.geometry.camera import rays, rigid, rotation, se3_inverse
from dreamx.train.run import Run, RunConfig


@dataclass(frozen=True)
class PoseStage:
    """``data`` is a folder of clips with depth. Scenes ``first_seed`` up to ``end_seed`` of it are learned from, at most ``most``
    clips, spread evenly; ``out`` gets the network. A step sees ``batch`` windows of four frames within ``span`` frames.

    aside: half of the windows are, of so many that are drawn, the one whose camera goes farthest to the side: to go aside looks
    much like to turn, and walkers seldom do it.
    turned: degrees that a varied frame is turned and rolled at most.
    distance, rotation, translation: weights of these losses beside that of the cells (of a log-metre, a degree, a metre)."""

    run: RunConfig
    data: Path
    out: Path
    first_seed: int = 0
    end_seed: int = 1_000_000
    most: int = 600
    motion: MotionConfig = field(default_factory=MotionConfig)
    batch: int = 6
    span: int = 10
    aside: int = 5
    lr: float = 2e-3
    turned: float = 6.0
    distance: float = 0.2
    rotation: float = 0.4
    translation: float = 3.0


@dataclass(frozen=True)
class Window:
    """Four frames of each of B places. pictures ``[B, 4, 3, H, W]`` in [-1, 1], ``pose [B, 4, 4, 4]``, ``depth [B, 4, H, W]``
    metres along z, 0 where nobody knows."""

    pictures: Tensor
    pose: Tensor
    depth: Tensor


def main(cfg: PoseStage) -> None:
    """Train, and write ``cfg.out``."""
    run = Run(cfg.run)  # first of all: it seeds
    net = run.own(Motion(cfg.motion), cfg.lr, name="motion")
    clips = load_clips(cfg.data, range(cfg.first_seed, cfg.end_seed), cfg.most, cfg.motion)
    for window in run.steps(lambda step: draw(clips, cfg, run.generator(step))):
        loss, parts = pose_loss(net, window, cfg)
        run.update(net, loss, parts)
    run.export(cfg.out, {"motion": (net, net.config)})


def load_clips(folder: Path, seeds: range, most: int, motion: MotionConfig) -> list[Clip]:
    """Clips of these scenes (a clip's file is named after its scene), ``most`` of them, spread evenly.

    ValueError when there are none, one has no depth, or another lens or size.
    """
    found: list[Clip] = []
    files = [path for path in clip_files(folder) if int(path.stem.split("_")[0]) in seeds]
    for path in files[:: max(1, -(-len(files) // most))]:
        clip = Clip.load(path)
        refuse_held_out(clip.seed)
        if clip.depth is None or clip.video.shape[-1] != motion.size or clip.video.shape[-2] != motion.size:
            raise ValueError(f"{path}: clips of {motion.size}x{motion.size} pixels with depth are needed; render them again")
        if float((clip.camera.lens[0] - torch.tensor(motion.lens)).abs().max()) > 1e-3:
            raise ValueError(f"{path}: its lens is {clip.camera.lens[0].tolist()}, and motion.lens another; make them equal")
        found.append(clip)
    if not found:
        raise ValueError(f"{folder}: no clip of scenes {seeds.start} to {seeds.stop - 1}; render some, or choose other seeds")
    return found


def draw(clips: list[Clip], cfg: PoseStage, rng: torch.Generator) -> Window:
    """``cfg.batch`` windows: four frames of a clip within ``cfg.span`` frames, forwards or backwards, half of them mirrored,
    half of them varied."""
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for more in torch.rand(cfg.batch, generator=rng).lt(0.5).tolist():
        drawn = [_place(clips, cfg.span, rng) for _ in range(cfg.aside if more else 1)]
        _, clip, start, span = max(drawn, key=lambda place: place[0])
        assert clip.depth is not None
        at = start + torch.randperm(span + 1, generator=rng)[:4].sort().values
        mirror, back, vary = torch.rand(3, generator=rng).lt(0.5).tolist()
        at = at.flip(0) if back else at
        part = (clip.video[at] / 127.5 - 1, clip.camera.pose[at], clip.depth[at].float())
        part = mirrored(*part) if mirror else part
        parts.append(varied(*part, cfg, rng) if vary else part)
    return Window(*(torch.stack(x) for x in zip(*parts, strict=True)))


def _place(clips: list[Clip], span: int, rng: torch.Generator) -> tuple[float, Clip, int, int]:
    """Metres to the side, clip, first frame and length of a window drawn by chance."""
    clip = clips[int(torch.randint(len(clips), (1,), generator=rng))]
    span = min(span, len(clip.video) - 1)
    start = int(torch.randint(len(clip.video) - span, (1,), generator=rng))
    a, b = clip.camera.pose[start], clip.camera.pose[start + span]
    return float(((b - a)[:3, 3] * a[:3, 0]).sum().abs()), clip, start, span


def mirrored(pictures: Tensor, pose: Tensor, depth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Left and right exchanged, in the pictures and in the world."""
    m = torch.diag(torch.tensor([-1.0, 1, 1, 1]))
    return pictures.flip(-1), m @ pose @ m, depth.flip(-1)


def varied(pictures: Tensor, pose: Tensor, depth: Tensor, cfg: PoseStage, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Each frame seen by a camera at the same place that is turned a little: exact, because it needs no depth.

    What it newly sees is unknown (depth 0, colours of the border). Blur and colours are of the window, noise of the frame.
    """
    n, _, h, w = pictures.shape
    yaw, pitch, roll = cfg.turned * (2 * torch.rand(3, n, generator=rng) - 1)
    a = torch.deg2rad(roll)
    c, s, o, i = torch.cos(a), torch.sin(a), torch.zeros(n), torch.ones(n)
    rolled = torch.stack([c, -s, o, s, c, o, o, o, i], -1).unflatten(-1, (3, 3))
    r = rotation("y", yaw) @ rotation("x", pitch) @ rolled  # the new axes in the old ones
    lens = torch.tensor(cfg.motion.lens)
    new = rays(lens, h, w)
    old = new @ r.mT[:, None]  # [N, H, W, 3]: the same directions in the old axes
    grid = 2 * (old[..., :2] / old[..., 2:] * lens[:2] + lens[2:]) - 1
    seen = (grid.abs() < 1).all(-1)
    pictures = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    depth = F.grid_sample(depth[:, None], grid, mode="nearest", align_corners=False)[:, 0]
    depth = depth * seen / old[..., 2]  # a length along the ray stays, and z is a share of it
    gain, shift, soft = torch.rand(3, generator=rng).tolist()
    if soft > 0.5:
        kernel = torch.tensor([soft - 0.5, 1.0, soft - 0.5])
        kernel = (kernel[:, None] * kernel / kernel.sum() ** 2).expand(3, 1, 3, 3)
        pictures = F.conv2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), kernel, groups=3)
    pictures = pictures * (0.8 + 0.4 * gain) + 0.2 * (shift - 0.5)
    pictures = pictures + 0.03 * torch.randn(pictures.shape, generator=rng)
    return pictures.clamp(-1, 1), pose @ rigid(r, torch.zeros(n, 3)), depth


#: Frames of a window that are compared.
_PAIRS = torch.tensor([(0, 1), (1, 2), (2, 3), (2, 0), (3, 1), (0, 3)])


def pose_loss(net: Motion, window: Window, cfg: PoseStage) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of a window, and its parts: error of cells (in cells), of distances (a share), of rotation and translation."""
    b = len(window.pictures)
    features = net.features(window.pictures.flatten(0, 1)).unflatten(0, (b, 4))
    first, second = _PAIRS.unbind(1)
    seen = net.seen(features[:, first].flatten(0, 1), features[:, second].flatten(0, 1))
    pose, depth = window.pose, window.depth
    move = (se3_inverse(pose[:, second]) @ pose[:, first]).flatten(0, 1)  # a's axes to b's
    from_a, into_b = depth[:, first].flatten(0, 1), depth[:, second].flatten(0, 1)
    cells = net.config.size // 4
    middle = from_a.unflatten(-1, (cells, 4)).unflatten(-3, (cells, 4))[:, :, 1:3, :, 1:3]  # around the middle of a cell
    z = middle.amin((2, 4)).flatten(1)  # [N, P]: the nearer of two surfaces
    points = net.cells() * z[..., None]
    moved = points @ move[:, :3, :3].mT + move[:, None, :3, 3]
    to = moved[..., :2] / moved[..., 2:].clamp(min=0.05)
    lens = to.new_tensor(net.config.lens)
    grid = 2 * (to * lens[:2] + lens[2:]) - 1
    there = F.grid_sample(into_b[:, None], grid[:, None], mode="nearest", align_corners=False)[:, 0, 0]
    known = ((z > 0) & (z < net.config.far) & (moved[..., 2] > 0.05) & (grid.abs() < 1).all(-1) & (there > 0)).float()
    off = ((seen.to - to) * (lens[:2] * cells)).abs().sum(-1).clamp(max=8)
    flow = (off * known).sum() / known.sum().clamp(min=1)
    near = (z > 0).float() * (z < net.config.far)
    distance = ((seen.distance.log() - z.clamp(min=net.config.near).log()).abs() * near).sum() / near.sum().clamp(min=1)
    angle, metres = motion_error(net.solve(seen), move)
    loss = (
        flow + cfg.distance * distance + cfg.rotation * angle.clamp(max=5).mean() + cfg.translation * metres.clamp(max=0.5).mean()
    )
    parts = {"cells": flow, "distance": distance, "degrees": angle.mean(), "metres": metres.mean()}
    return loss, {k: v.detach() for k, v in parts.items()}


def motion_error(got: Tensor, want: Tensor) -> tuple[Tensor, Tensor]:
    """Degrees and metres ``[N]`` between rigid motions ``[N, 4, 4]``; the angle is that of its sine, with a gradient at 0."""
    r = got[:, :3, :3].mT @ want[:, :3, :3]
    axis = torch.stack([r[:, 2, 1] - r[:, 1, 2], r[:, 0, 2] - r[:, 2, 0], r[:, 1, 0] - r[:, 0, 1]], -1) / 2
    angle = torch.rad2deg((axis.square().sum(-1) + 1e-10).sqrt())
    metres = ((got[:, :3, 3] - want[:, :3, 3]).square().sum(-1) + 1e-8).sqrt()
    return angle, metres
