"""The networks that score worlds, as steps of a recipe: each twice, for evaluation and for rewards, of scenes of their own.

What was trained for one never sees the scenes of the other, so that a reward cannot be earned by what the evaluation overlooks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dreamx.data.sim.simulate import simulate
from dreamx.data.sim.simulated import SimulateConfig
from dreamx.data.sim.stills import StillsConfig, stills
from dreamx.recipes.step import Recipe, Step
from dreamx.train import classifier, features, pose
from dreamx.train.classifier import ClassifierStage
from dreamx.train.features import FeatureStage
from dreamx.train.pose import PoseStage
from dreamx.train.run_config import RunConfig


def judges(root: Path, clips: Path, happenings: Path, size: int, folder: Callable[[Path, str], Path]) -> Recipe:
    """Steps for pictures of ``size`` pixels, of ``clips`` of walks; those with events are put into ``happenings``.

    folder: gives that of a stage below ``root``.
    """
    looked_at = root / "stills"

    def run(stage: str, seed: int) -> RunConfig:
        return RunConfig(folder(root, stage), 1500, decay=0.7, ema=0.99, threads=2, seed=seed)

    def feels(stage: str, seed: int) -> RunConfig:
        return replace(run(stage, seed), steps=3000, dtype="bfloat16")

    def model(stage: str) -> Path:
        return folder(root, stage) / "model"

    return (
        # What reads cameras from pictures (eval/estimators/pose).
        Step("pose_evaluation", pose.main, PoseStage(run("pose_evaluation", 11), clips, model("pose_evaluation"), 0, 400)),
        Step("pose_reward", pose.main, PoseStage(run("pose_reward", 12), clips, model("pose_reward"), 400, 800)),
        # What tells whether an event happened (eval/estimators/events).
        Step(
            "happenings",
            simulate,
            SimulateConfig(happenings, ("events", "still"), scenes=800, clips=2, width=size, height=size),
        ),
        Step(
            "classifier_evaluation",
            classifier.main,
            ClassifierStage(run("classifier_evaluation", 11), happenings, model("classifier_evaluation"), 0, 400),
        ),
        Step(
            "classifier_reward",
            classifier.main,
            ClassifierStage(run("classifier_reward", 12), happenings, model("classifier_reward"), 400, 800),
        ),
        # By what dreams are compared with unpaired true renders (eval/estimators/features).
        Step("stills", stills, StillsConfig(looked_at, scenes=600, width=size, height=size)),
        Step(
            "features_evaluation",
            features.main,
            FeatureStage(feels("features_evaluation", 11), looked_at, model("features_evaluation"), 0, 300),
        ),
        Step(
            "features_reward",
            features.main,
            FeatureStage(feels("features_reward", 12), looked_at, model("features_reward"), 300, 600),
        ),
    )
