"""Single pictures of many places, with what is in them: what feature networks learn from, and what dreams are compared with.

A file of stills holds pictures from random free places of one scene, level or nearly so, with its kind and look, which things are
in plain view, and the depth. Each file is a pure function of its seed and the settings.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from dreamx import atomic, tensor_file
from dreamx.bounds import FieldOfView, OutputFolder, Pixels, PositiveInt, Probability, Seed, Workers
from dreamx.clip import refuse_held_out
from dreamx.data.opengl import refuse_without_simulator
from dreamx.data.output_options import open_folder
from dreamx.data.scene.homes.home import HOMES
from dreamx.data.scene.places import ALL_KINDS, place
from dreamx.data.scene.render import Renderer
from dreamx.data.scene.scene import EYE, FOV, KINDS, STYLES, Scene, stand
from dreamx.data.sim.jobs import run_jobs
from dreamx.geometry.camera import Camera, lens_from_fov, rotation, se3_inverse

#: Things that pictures are asked for: nouns of the landmarks of random scenes, and of home places.
THINGS = (
    "tree", "house", "tower", "hall", "block", "bench", "lamp", "fountain", "sphere", "obelisk", "statue", "stall", "pavilion",
    "pond", "pillar", "ball", "crate", "cone", "window", "picture", "sofa", "bed", "shelf", "table", "fridge", "plant",
    "church", "inn", "shop", "smithy", "well", "cottage", "fireplace", "globe", "shed", "glasshouse", "gate", "keep", "stable",
    "maze", "lagoon", "volcano", "hut", "fire", "lighthouse", "pier", "ruin", "wreck", "lake", "chalet", "snowman", "palace",
    "bridge", "sled", "sleigh", "boiler", "gears", "books", "easel", "crates", "planets", "clock", "piano", "machine",
)  # fmt: skip
COARSE = 8  # rows and columns of the depth that is kept
_REACH = 16.0  # metres within which a thing counts as in view
_CLOSE = 1.2  # metres that something may stand before the middle of a thing and still be a part of it


@dataclass(frozen=True)
class Stills:
    """Pictures uint8 ``[N, 3, H, W]``; ``depth [N, 8, 8]``: means of log metres, from 0.3 to 60 m; ``kind``, ``look``: indices
    ``[N]`` into ``ALL_KINDS`` and ``STYLES``; ``things``: bool ``[N, len(THINGS)]``."""

    pictures: Tensor
    depth: Tensor
    kind: Tensor
    look: Tensor
    things: Tensor

    def __len__(self) -> int:
        return len(self.pictures)

    def save(self, path: Path) -> None:
        """Write a file of stills, whole or not at all."""
        with atomic.whole(path) as temporary:
            save_file({f.name: getattr(self, f.name).contiguous() for f in fields(self)}, temporary)

    @staticmethod
    def load(path: Path) -> Stills:
        """Read what ``save`` wrote. ValueError, one sentence, where it is something else."""
        try:
            return Stills(**tensor_file.load(path))
        except (OSError, ValueError, TypeError) as e:
            why = f"not a readable file of stills ({type(e).__name__}); make it again with dreamx data stills"
            raise ValueError(f"{path}: {why}") from e


@dataclass(frozen=True)
class StillsConfig:
    """Render single pictures from random free places of scenes, with what is in them."""

    out: OutputFolder
    """Folder of the files, one a scene."""
    scenes: PositiveInt = 800
    """Scenes, one a seed."""
    views: PositiveInt = 16
    """Pictures of each random scene; of a home place three times as many, for it is built far more slowly."""
    homes: Probability = 0.2
    """Share of the seeds that visit a home place."""
    width: Pixels = 64
    """Pixels."""
    height: Pixels = 64
    """Pixels."""
    fov: FieldOfView = FOV
    """Vertical field of view, degrees."""
    first_seed: Seed = 0
    """Seed of the first scene."""
    processes: Workers = 0
    """Worker processes; 0: one for each core."""
    evaluation: bool = False
    """Allow the seeds that are reserved for evaluation."""

    def __post_init__(self) -> None:
        if not self.evaluation:
            refuse_held_out(self.first_seed + self.scenes - 1)


#: A home place is cheap to draw and dear to build.
_MORE_AT_HOME = 3


def stills(cfg: StillsConfig) -> int:
    """Render what is missing; returns how many files there are now. ValueError when the machine cannot draw."""
    settings = {name: getattr(cfg, name) for name in ("views", "homes", "width", "height", "fov")}
    open_folder(cfg.out, "stills of dreamx data stills", (r"stills_\d{7,}\.safetensors", r"skipped\.txt"), settings)
    seeds = range(cfg.first_seed, cfg.first_seed + cfg.scenes)
    todo = {str(s): (cfg, s) for s in sorted(seeds, key=lambda s: place_of(s, cfg.homes)) if not stills_file(cfg.out, s).exists()}
    if todo:
        refuse_without_simulator()
    lost = run_jobs(_make, todo, cfg.processes, lambda _: None)
    if lost:
        atomic.write_text(cfg.out / "skipped.txt", "".join(f"scene {seed}: {why}\n" for seed, why in lost.items()))
    count = sum(stills_file(cfg.out, s).exists() for s in seeds)
    print(f"{count} files of stills in {cfg.out}", flush=True)
    return count


def stills_file(folder: Path, seed: int) -> Path:
    """Path of the stills of a scene."""
    return folder / f"stills_{seed:07d}.safetensors"


def place_of(seed: int, homes: float) -> tuple[str, str]:
    """Kind and look of the place of a seed: a share of ``homes`` are home places, in their own look; all equally often."""
    rng = np.random.default_rng([seed, 41])
    if rng.random() < homes:
        kind = str(rng.choice(list(HOMES)))
        return kind, HOMES[kind].STYLE
    return str(rng.choice(KINDS)), str(rng.choice(STYLES))


def _make(cfg: StillsConfig, seed: int) -> None:
    kind, style = place_of(seed, cfg.homes)
    views = cfg.views * (_MORE_AT_HOME if kind in HOMES else 1)
    lens = lens_from_fov(cfg.fov, cfg.width, cfg.height)
    render_stills(place(seed, style, kind), views, (cfg.height, cfg.width), lens, np.random.default_rng([seed, 43])).save(
        stills_file(cfg.out, seed)
    )


def render_stills(
    scene: Scene, count: int, size: tuple[int, int], lens: tuple[float, ...], rng: np.random.Generator, tilt: float = 12.0
) -> Stills:
    """``count`` pictures of ``size`` (height, width) from free places of a scene, up to ``tilt`` degrees up or down."""
    cameras = [free_view(scene, torch.tensor(lens), rng, tilt) for _ in range(count)]
    with Renderer(scene, size[1], size[0]) as renderer:
        drawn = [renderer.render(camera) for camera in cameras]
    depth = torch.stack([d for _, d in drawn])
    one = torch.ones(count, dtype=torch.long)
    return Stills(
        torch.stack([p for p, _ in drawn]),
        F.adaptive_avg_pool2d(depth.clamp(0.3, 60.0).log()[:, None], COARSE)[:, 0],
        one * ALL_KINDS.index(scene.kind),
        one * STYLES.index(scene.style),
        torch.stack([in_view(scene, camera, d) for camera, d in zip(cameras, depth, strict=True)]),
    )


def free_view(scene: Scene, lens: Tensor, rng: np.random.Generator, tilt: float = 0.0) -> Camera:
    """A camera at a free place; mostly with some room ahead, so that few pictures show nothing but a wall."""
    ground = scene.ground()
    x = y = heading = 0.0
    for _ in range(8):
        x, y = (float(v) for v in ground[int(rng.integers(len(ground)))])
        heading = float(rng.uniform(0, 360))
        f, ahead = np.radians(heading), np.arange(0.2, 1.2, 0.2)
        if scene.free(x + ahead * np.cos(f), y + ahead * np.sin(f)).all() or rng.random() < 0.2:
            break
    camera = stand(x, y, heading)
    pitch = rotation("x", torch.tensor(float(rng.uniform(-tilt, tilt)) * float(rng.random() < 0.5)))
    pose = camera.pose.clone()
    pose[:3, :3] = pose[:3, :3] @ pitch
    return Camera(pose, lens)


def in_view(scene: Scene, camera: Camera, depth: Tensor) -> Tensor:
    """Tell which of ``THINGS`` stand in plain view, bool ``[len(THINGS)]``: by landmarks and the picture's depth ``[H, W]``."""
    seen = torch.zeros(len(THINGS), dtype=torch.bool)
    to_camera = se3_inverse(camera.pose.double())
    rows, columns = depth.shape
    for mark in scene.landmarks:
        noun = thing(mark.words)
        if noun is None or seen[noun]:
            continue
        for height in (0.5, EYE, 2.6):
            there = torch.tensor([mark.x, -height, mark.y], dtype=torch.float64)
            x, y, z = (to_camera[:3, :3] @ there + to_camera[:3, 3]).tolist()
            if not 0.3 < z < _REACH:
                continue
            u, v = (float(camera.lens[i]) * p / z + float(camera.lens[i + 2]) for i, p in ((0, x), (1, y)))
            if 0.02 < u < 0.98 and 0.02 < v < 0.98 and float(depth[int(v * rows), int(u * columns)]) > z - _CLOSE - 0.25 * z:
                seen[noun] = True
    return seen


def thing(words: str) -> int | None:
    """Index in ``THINGS`` of a landmark, by the first noun of them that its words hold; None for none."""
    return next((THINGS.index(w) for w in words.replace(",", " ").split() if w in THINGS), None)


def cat(parts: list[Stills]) -> Stills:
    """Several sets as one."""
    return Stills(*(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(Stills)))


def load_stills(folder: Path, seeds: range) -> tuple[Stills, int]:
    """All stills of these scenes in a folder, and of how many scenes they are. ValueError where there are none."""
    files = [f for f in sorted(folder.glob("stills_*.safetensors")) if int(f.stem.removeprefix("stills_")) in seeds]
    if not files:
        raise ValueError(f"{folder}: no stills of scenes {seeds.start} to {seeds.stop - 1}; make some with dreamx data stills")
    return cat([Stills.load(f) for f in files]), len(files)
