"""``dreamx eval estimators``: what estimators make of true renders of scenes that nobody trains on. Their own error.

Two come with the package, ``evaluation`` for tables and ``reward`` for training: networks of other seeds that saw other scenes,
so that no world is praised for the mistakes of the one it was trained by.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from dreamx.bounds import InputFolder, OutputFolder, PositiveInt, Seed
from dreamx.clip import FIRST_HELD_OUT_SEED, Clip
from dreamx.data.sim.simulate import simulate
from dreamx.data.sim.simulated import SimulateConfig, clip_path
from dreamx.eval.estimators.pose import Estimator, flow_estimator
from dreamx.eval.estimators.shipped import AccuracyConfig, ShippedName, measure_each, open_asked, read_own
from dreamx.eval.metrics.camera_error import OwnError, camera_error, own_error, path_length
from dreamx.geometry.camera import Camera

#: Where the networks ``evaluation`` and ``reward`` are.
NETS = Path(__file__).with_name("nets")


@dataclass(frozen=True)
class EstimatorsConfig(AccuracyConfig):
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


def main(cfg: EstimatorsConfig) -> None:
    """Render what is missing, read every path, print the errors."""
    asked = open_asked(cfg, "estimators", "clips", "pose", NETS, flow_estimator.load_flow_estimator)
    plan = SimulateConfig(cfg.folder / "clips", ("walk",), cfg.clips, 1, 81, 64, 64, first_seed=cfg.first_seed, evaluation=True)
    simulate(plan)
    files = [f for i in range(cfg.clips) if (f := clip_path(plan, cfg.first_seed + i, "walk", 0)).exists()]
    clips = [Clip.load(f) for f in files]
    measure_each(cfg, "estimators", "depth", asked, lambda name, estimator: estimate_all(name, estimator, clips))


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


@lru_cache(maxsize=2)
def shipped_estimator(name: ShippedName) -> tuple[Estimator, OwnError]:
    """The estimator that tables use where there is no truth, or that for rewards, and its own error, as measured here."""
    return flow_estimator.load_flow_estimator(NETS / name), read_own(NETS / name, OwnError)
