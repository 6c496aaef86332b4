"""Every stage, two steps each, in the processes that torchrun starts: ``torchrun_stages.py INPUTS OUT``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from dreamx.eval.estimators.events.event_classifier import ClassifierConfig
from dreamx.interrupt import leave
from dreamx.model.depth_net import DepthConfig
from dreamx.recipes import micro
from dreamx.rollout import Sampler
from dreamx.train import (
    autoencoder,
    camera_control,
    causal,
    classifier,
    consistency,
    decoder,
    depth,
    distill,
    event_tuning,
    memory_stage,
    pose,
    reward,
)
from dreamx.train.candidates import CandidatesConfig
from dreamx.train.clip_rewards import RewardConfig
from dreamx.train.run_config import RunConfig
from dreamx.train.sample_sheets import SamplesConfig

DEPTH = DepthConfig((16, 16), (1, 1), heads=1)
#: What each stage writes.
FILES = {
    "autoencoder": ("vae",),
    "decoder": ("vae",),
    "camera": ("dit", "text"),
    "frozen": ("dit", "text"),
    "causal": ("dit", "text"),
    "memory": ("dit", "text"),
    "consistency": ("dit", "text"),
    "distill": ("dit", "text"),
    "reward": ("dit", "text"),
    "events": ("dit", "text"),
    "depth": ("depth",),
    "pose": ("depth",),
    "classifier": ("classifier",),
}


def stages(given: Path, out: Path) -> dict[str, Callable[[], object]]:
    """In an order in which each finds what it goes on from."""

    def run(stage: str) -> RunConfig:
        return RunConfig(out / stage, 2, save_seconds=None, threads=1)

    nets = {stage: out / stage / "model" for stage in FILES}
    clips, latents, vae = given / "clips", given / "latents.safetensors", nets["autoencoder"]
    first = autoencoder.AutoencoderStage(run("autoencoder"), clips, vae, micro.VAE, batch=1, sheet_every=1)
    sharp = decoder.DecoderStage(run("decoder"), clips, vae, nets["decoder"], batch=1, critic=(8, 16), alone=1, sheet_every=1)
    looks = SamplesConfig(vae, Sampler(steps=2, chunk=1, window=6, sinks=1), every=1, clips=1)
    learns = camera_control.CameraStage(run("camera"), latents, nets["camera"], micro.DIT, micro.TEXT, batch=2, samples=looks)
    frozen = replace(learns, run=run("frozen"), out=nets["frozen"], start=nets["camera"], train=("view",), samples=None)
    forward = causal.CausalStage(run("causal"), latents, nets["camera"], nets["causal"], micro.TEACHING)
    packs = memory_stage.MemoryStage(
        run("memory"), latents, nets["causal"], nets["memory"], micro.PACKING, micro.PACKED, frames=4
    )
    few = consistency.ConsistencyStage(
        run("consistency"), latents, nets["causal"], nets["consistency"], micro.TEACHING, lattice=8
    )
    matches = distill.DistillStage(
        run("distill"),
        latents,
        nets["consistency"],
        nets["distill"],
        nets["camera"],
        sampler=micro.SAMPLER,
        stream=micro.STREAM,
        ratio=1,
    )
    reinforces = reward.RewardStage(
        run("reward"),
        latents,
        nets["distill"],
        vae,
        nets["reward"],
        sampler=micro.SAMPLER,
        candidates=CandidatesConfig(group=2, clip=1, longest=2),
        reward=RewardConfig(references=2),
        sheet_every=1,
    )
    told = event_tuning.EventsStage(
        run("events"), given / "eventful.safetensors", nets["causal"], nets["events"], latents, teaching=micro.TEACHING
    )
    reads = pose.PoseStage(run("pose"), clips, nets["pose"], depth=DEPTH, batch=2)
    events = classifier.ClassifierStage(
        run("classifier"), given / "events", nets["classifier"], classifier=ClassifierConfig((16, 16), (1, 1)), batch=2
    )
    return {
        "autoencoder": partial(autoencoder.main, first),
        "decoder": partial(decoder.main, sharp),
        "camera": partial(camera_control.main, learns),
        "frozen": partial(camera_control.main, frozen),
        "causal": partial(causal.main, forward),
        "memory": partial(memory_stage.main, packs),
        "consistency": partial(consistency.main, few),
        "distill": partial(distill.main, matches),
        "reward": partial(reward.main, reinforces),
        "events": partial(event_tuning.main, told),
        "depth": partial(depth.main, depth.DepthStage(run("depth"), (clips,), nets["depth"], DEPTH, batch=2, sheet_every=1)),
        "pose": partial(pose.main, reads),
        "classifier": partial(classifier.main, events),
    }


if __name__ == "__main__":
    autoencoder._MEASURED = 2  # pyright: ignore[reportPrivateUsage]
    for stage in stages(Path(sys.argv[1]), Path(sys.argv[2])).values():
        stage()
    leave(0)
