"""``dreamx eval estimators``: what estimators make of true renders of scenes that nobody trains on. Their own error."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch

from dreamx.clip import FIRST_HELD_OUT_SEED, Clip
from dreamx.config import from_json, to_json
from dreamx.data.simulate import SimulateConfig, clip_path, simulate
from dreamx.eval.camera import OwnError, camera_error, own_error, path_length
from dreamx.eval.pose import Estimator, flow, learned
from dreamx.geometry.camera import Camera
from dreamx.world import find


@dataclass(frozen=True)
class EstimatorsConfig:
    """Measure pose estimators on true renders."""

    clips: int = 24
    """So many walks of 5 seconds, each through a scene of its own."""
    first_seed: int = FIRST_HELD_OUT_SEED + 900_000
    """Of the scenes."""
    folder: Path = Path("runs/eval/estimators")
    """The renders are kept here, and estimators.json is written here."""
    world: str = "tiny"
    """The world whose depth network the estimator by flow uses; its picture is the size of the renders."""
    learned: tuple[Path, ...] = ()
    """Folders of networks that dreamx train pose wrote."""

    def __post_init__(self) -> None:
        if self.clips < 1:
            raise ValueError(f"clips must be 1 or more, not {self.clips}")
        if self.first_seed < FIRST_HELD_OUT_SEED:
            raise ValueError(f"first_seed must be {FIRST_HELD_OUT_SEED} or more: smaller ones may have been trained on")


def main(cfg: EstimatorsConfig) -> None:
    """Render what is missing, read every path, print the errors."""
    torch.set_num_threads(1)
    size = 64
    plan = SimulateConfig(cfg.folder / "clips", cfg.clips, 1, 81, size, size, first_seed=cfg.first_seed, evaluation=True)
    simulate(plan)
    files = [f for i in range(cfg.clips) if (f := clip_path(plan, cfg.first_seed + i, 0)).exists()]
    asked: dict[str, Estimator] = {f"flow, depth of {cfg.world}": flow.load(find(cfg.world))}
    asked |= {str(folder): learned.load(folder) for folder in cfg.learned}
    found: dict[str, OwnError] = {}
    for name, estimator in asked.items():
        found[name] = read_all(name, estimator, [Clip.load(f) for f in files])
        print(f"{name}: {found[name]}", flush=True)
    target = cfg.folder / "estimators.json"
    temporary = target.with_suffix(".tmp")
    temporary.write_text(json.dumps({n: to_json(e) for n, e in found.items()}, indent=2) + "\n")
    temporary.replace(target)


def read_all(name: str, estimator: Estimator, clips: list[Clip]) -> OwnError:
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


def evaluation() -> tuple[Estimator, OwnError]:
    """The estimator that tables use where there is no truth, and its own error, as it was measured by this command."""
    file = Path(str(resources.files("dreamx"))) / "eval" / "pose" / "nets" / "flow.json"
    return flow.load(find("tiny")), from_json(OwnError, json.loads(file.read_text(encoding="utf-8")))
