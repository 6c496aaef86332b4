"""Every training stage from committed inputs, and its first losses: what the golden curves are of."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import event_house
import finetune_house
import planted_stills
from dreamx.clip import Clip
from dreamx.data.clip_list import clip_files
from dreamx.data.sim.stills import stills_file
from dreamx.eval.estimators.events.event_classifier import ClassifierConfig
from dreamx.model.depth_net import DepthConfig
from dreamx.model.place_field import PlaceFieldConfig
from dreamx.recipes import micro
from dreamx.train import classifier, depth, event_tuning, features, finetune, known_places, pose
from dreamx.train.adversarial_head import AdversarialConfig
from dreamx.train.clip_rewards import RewardConfig
from dreamx.train.distill import DistillStage
from dreamx.train.finetune import FinetuneStage
from dreamx.train.reward import RewardStage
from dreamx.train.run_config import RunConfig
from repo import TESTS

CLIPS, START, GOLDEN = TESTS / "files/micro", TESTS / "golden/start", TESTS / "golden/micro.json"
FIRST = 5
SMALL = DepthConfig((16, 16), (1, 1), heads=1)
PLACES = PlaceFieldConfig(
    ("plaza", "maze"), (12.0, 12.0), cells=16, layers=8, samples=16, levels=(8, 16), entries=256, sky=(4, 8), hidden=16
)


def stages(root: Path) -> dict[str, Callable[[], object]]:
    """The first steps of every stage by name; each writes its log to ``root`` / name."""

    def run(stage: str) -> RunConfig:
        return RunConfig(root / stage, FIRST, save_seconds=None)

    found: dict[str, Callable[[], object]] = {}
    for step in micro.curriculum(root, clips=CLIPS):
        if step.trains:
            now = replace(run(step.name), betas=step.cfg.run.betas, ema=step.cfg.run.ema)
            cfg = replace(step.cfg, run=now)
            if isinstance(cfg, RewardStage):  # cameras of a group differ by less than what is read by flow is sure of
                cfg = replace(cfg, reward=RewardConfig(camera=0.0, references=4))
            found[step.name] = partial(step.run, cfg)
            if step.name == "decoder":
                small = replace(
                    step.cfg, run=replace(now, folder=root / "decoder_pruned"), out=root / "decoder_pruned/model", prune=0.75
                )
                found["decoder_pruned"] = partial(step.run, small)
            if step.name == "distill":
                also = pictures_and_head(step.cfg, root, replace(now, folder=root / "distill_pictures"))
                found["distill_pictures"] = partial(step.run, also)
    shutil.copy(START / "latents.safetensors", root)
    out = root / "models"
    for seed in range(2):
        planted_stills.planted(seed).save(stills_file(root, seed))
    return {
        **found,
        "events": lambda: event_tuning.main(
            event_tuning.EventsStage(
                run("events"),
                event_house.eventful(root / "latents.safetensors", root / "eventful.safetensors"),
                START / "camera",
                out / "events",
                teaching=replace(micro.TEACHING, changed=3.0),
            )
        ),
        "finetune": lambda: finetune.main(released(root, run("finetune"), out / "finetune")),
        "features": lambda: features.main(
            features.FeatureStage(run("features"), root, out / "features", end_seed=50, features=planted_stills.SMALL, batch=8)
        ),
        "depth": lambda: depth.main(depth.DepthStage(run("depth"), (CLIPS,), out / "depth", SMALL, batch=4)),
        "pose": lambda: pose.main(pose.PoseStage(run("pose"), CLIPS, out / "pose", depth=SMALL, batch=4)),
        "places": lambda: known_places.main(
            known_places.PlacesStage(run("places"), (CLIPS,), out / "places", PLACES, batch=512, shaped=256)
        ),
        "colours_alone": lambda: known_places.main(
            known_places.PlacesStage(
                run("colours_alone"), (without_depth(root / "flat"),), out / "colours_alone", PLACES, batch=512, shaped=256
            )
        ),
        "classifier": lambda: classifier.main(
            classifier.ClassifierStage(
                run("classifier"),
                event_house.pairs(root / "pairs", 8),
                out / "classifier",
                end_seed=50,
                classifier=ClassifierConfig((16, 16), (1, 1)),
                batch=4,
            )
        ),
    }


def pictures_and_head(cfg: DistillStage, root: Path, run: RunConfig) -> DistillStage:
    """Distillation with all that can be switched on: windows from pictures, packed memory, an adversarial head."""
    stream, head = replace(cfg.stream, lengths=(3 * micro.FRAMES,)), AdversarialConfig(0.1, lr=1e-2, width=16)
    out, vae = root / "distill_pictures/model", root / "autoencoder/model"
    return replace(cfg, run=run, out=out, past=micro.PAST, vae=vae, stream=stream, adversarial=head)


def without_depth(folder: Path) -> Path:
    """The clips as films have them."""
    folder.mkdir()
    for path in clip_files(CLIPS):
        replace(Clip.load(path), depth=None).save(folder / path.name)
    return folder


def released(root: Path, run: RunConfig, out: Path) -> FinetuneStage:
    """Fine-tuning of a checkpoint of random weights, on two of the clips."""
    world = finetune_house.stand_in(root / "released")
    return FinetuneStage(run, world, finetune_house.encoded(root / "released", world), out, batch=4, lr=1e-3)


#: What a stage reads: folders of stages before it, and the network that stands there.
BEFORE = {
    "causal": {"camera": "camera"},
    "memory": {"causal": "camera"},
    "consistency": {"memory": "camera", "autoencoder": "autoencoder"},
    "distill": {"consistency": "camera", "camera": "camera"},
    "distill_pictures": {"consistency": "camera", "camera": "camera", "autoencoder": "autoencoder"},
    "reward": {"distill": "camera", "autoencoder": "autoencoder"},
    "decoder": {"autoencoder": "autoencoder"},
    "decoder_pruned": {"autoencoder": "autoencoder"},
}

#: Names of a step's loss, by the number of networks that are trained: one, a decoder and its critic, a student and its critic.
LOSSES = ("loss", "vae.loss", "critic.loss")


def curve(root: Path, stage: str) -> list[float]:
    stage_of = stages(root)
    for folder, network in BEFORE.get(stage, {}).items():
        shutil.copytree(START / network, root / folder / "model")
    stage_of[stage]()
    rows = map(json.loads, (root / stage / "log.jsonl").read_text().splitlines())
    return [next(row[name] for name in LOSSES if name in row) for row in rows]


def curves() -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    with TemporaryDirectory() as root:
        names = list(stages(Path(root)))
    for stage in names:
        with TemporaryDirectory() as root:
            found[stage] = curve(Path(root), stage)
    return found
