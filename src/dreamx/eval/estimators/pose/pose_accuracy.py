"""``dreamx eval estimators``: what estimators make of true renders of scenes that nobody trains on. Their own error.

Two come with the package, ``evaluation`` for tables and ``reward`` for training: networks of other seeds that saw other scenes,
so that no world is praised for the mistakes of the one it was trained by.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch

from dreamx import manifest
from dreamx.bounds import InputFolder, OutputFolder, PositiveInt, Seed
from dreamx.clip import FIRST_HELD_OUT_SEED, Clip
from dreamx.config import from_json, to_json
from dreamx.data.sim.simulate import simulate
from dreamx.data.sim.simulated import SimulateConfig, clip_path
from dreamx.eval.estimators.pose import Estimator, flow_estimator
from dreamx.eval.estimators.shipped import named, ship, write
from dreamx.eval.metrics.camera_error import OwnError, camera_error, own_error, path_length
from dreamx.geometry.camera import Camera
from dreamx.plaintext import read_json

#: Where the networks ``evaluation`` and ``reward`` are.
NETS = Path(str(resources.files("dreamx"))) / "eval" / "estimators" / "pose" / "nets"


@dataclass(frozen=True)
class EstimatorsConfig:
    """Measure pose estimators on true renders."""

    clips: PositiveInt = 24
    """So many walks of 5 seconds, each through a scene of its own."""
    first_seed: Seed = FIRST_HELD_OUT_SEED + 900_000
    """Of the scenes."""
    folder: OutputFolder = Path("runs/eval/estimators")
    """The renders are kept here, and estimators.json is written here."""
    learned: tuple[InputFolder, ...] = ()
    """Folders of networks that dreamx train pose wrote, or of worlds; none: the two that come with dreamx."""
    ship: OutputFolder | None = None
    """Copy these networks here, each under the name of its stage, with its own error beside it."""

    def __post_init__(self) -> None:
        if self.clips < 1:
            raise ValueError(f"clips must be 1 or more, not {self.clips}")
        if self.first_seed < FIRST_HELD_OUT_SEED:
            raise ValueError(f"first_seed must be {FIRST_HELD_OUT_SEED} or more: smaller ones may have been trained on")


def main(cfg: EstimatorsConfig) -> None:
    """Render what is missing, read every path, print the errors."""
    torch.set_num_threads(1)
    asked = {
        named(folder, "pose"): (folder, flow_estimator.load_flow_estimator(folder))
        for folder in cfg.learned or (NETS / "evaluation", NETS / "reward")
    }
    size = 64
    plan = SimulateConfig(
        cfg.folder / "clips", ("walk",), cfg.clips, 1, 81, size, size, first_seed=cfg.first_seed, evaluation=True
    )
    manifest.claim(cfg.folder, "renders of dreamx eval estimators", (r"clips", r"estimators\.json"), flag="folder")
    simulate(plan)
    files = [f for i in range(cfg.clips) if (f := clip_path(plan, cfg.first_seed + i, "walk", 0)).exists()]
    found: dict[str, OwnError] = {}
    for name, (folder, estimator) in asked.items():
        found[name] = estimate_all(name, estimator, [Clip.load(f) for f in files])
        print(f"{name}: {found[name]}", flush=True)
        if cfg.ship is not None:
            ship(folder, ["depth.safetensors"], found[name], cfg.ship / name)
    write(cfg.folder / "estimators.json", {n: to_json(e) for n, e in found.items()})


def estimate_all(name: str, estimator: Estimator, clips: list[Clip]) -> OwnError:
    """The estimator's own error on these clips; a line for each. A path that cannot be read counts as standing still."""
    read: list[Camera] = []
    for clip in clips:
        try:
            read.append(estimator(clip.video, clip.camera.lens[0], clip.fps))
            error = camera_error(read[-1], clip.camera)
            words = (
                f"{error.rotation:.2f} degrees, {error.translation:.3f} of {path_length(clip.camera):.2f} m, {error.score:.1f}"
            )
        except ValueError as e:
            read.append(Camera(torch.eye(4).expand(len(clip.video), 4, 4), clip.camera.lens))
            words = str(e)
        print(f"  {name}: scene {clip.seed}, {clip.style} {clip.scene}: {words}", flush=True)
    return own_error(read, [clip.camera for clip in clips])


def evaluation_estimator() -> tuple[Estimator, OwnError]:
    """The estimator that tables use where there is no truth, and its own error, as it was measured by this command."""
    return _shipped("evaluation")


def reward_estimator() -> tuple[Estimator, OwnError]:
    """The estimator for rewards: of another training seed and other scenes than ``evaluation``, and its own error."""
    return _shipped("reward")


def _shipped(name: str) -> tuple[Estimator, OwnError]:
    error = read_json(NETS / name / "error.json")
    return flow_estimator.load_flow_estimator(NETS / name), from_json(OwnError, error)
