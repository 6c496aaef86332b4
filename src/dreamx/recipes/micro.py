"""micro: the whole curriculum in less than a minute, on 32 x 32 pixels. It learns little; that every stage works is the point.

Tests run it from eight committed clips, and compare the first losses of each stage with golden curves; ``diff micro.py tiny.py``
is the meaning of scale.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dreamx.data.encode import EncodeConfig, encode
from dreamx.data.sim.simulate import simulate
from dreamx.data.sim.simulated import SimulateConfig
from dreamx.geometry.camera import lens_from_fov
from dreamx.memory import MemoryConfig
from dreamx.model.causal_config import CausalConfig
from dreamx.model.dit import DiTConfig, ViewConfig
from dreamx.model.packed_config import PackedMemoryConfig
from dreamx.model.vae import VAEConfig
from dreamx.model.word_encoder import WordConfig
from dreamx.recipes.step import Recipe, Step, WorldExport, export_world
from dreamx.rollout import Sampler
from dreamx.train import autoencoder, camera_control, causal, consistency, decoder, distill, memory_stage, reward
from dreamx.train.autoencoder import AutoencoderStage
from dreamx.train.camera_control import CameraStage
from dreamx.train.candidates import CandidatesConfig
from dreamx.train.causal import CausalStage
from dreamx.train.clip_rewards import RewardConfig
from dreamx.train.consistency import ConsistencyStage
from dreamx.train.decoder import DecoderStage
from dreamx.train.distill import DistillStage
from dreamx.train.error_bank import ErrorBankConfig
from dreamx.train.memory_packing import PackingConfig
from dreamx.train.memory_stage import MemoryStage
from dreamx.train.reward import RewardStage
from dreamx.train.run_config import RunConfig
from dreamx.train.sample_sheets import SamplesConfig
from dreamx.train.student_stream import StreamConfig
from dreamx.train.teacher_forcing import TeachingConfig
from dreamx.world import WorldConfig

SIZE = 32
FRAMES = 6  # latent frames of a clip: 21 video frames

VAE = VAEConfig(latent=8, encoder=(16, 24, 32), decoder=(16, 24, 32), blocks=(1, 1, 1), hint=True)
TEXT = WordConfig(width=32, heads=2, layers=1, rows=512, words=64)
DIT = DiTConfig(
    channels=VAE.latent,
    width=64,
    heads=2,
    layers=2,
    mlp=128,
    text=TEXT.width,
    frequencies=64,
    view=ViewConfig(width=32, heads=1, rope=16),
    hint=True,
)
TEACHING = TeachingConfig(batch=4, shift=3.0, chunk=1, windows=((FRAMES, 1), (4, 1)), history_noise=0.25)
SAMPLER = Sampler(steps=4, shift=3.0, chunk=1, window=FRAMES, sinks=1, context_noise=0.1)
STREAM = StreamConfig(batch=2, window=FRAMES, overlap=1, lengths=(FRAMES, 2 * FRAMES), switch=0.5)
MEMORY = MemoryConfig(views=2)
PACKED = PackedMemoryConfig(frames=2)
PACKING = PackingConfig(batch=4, shift=3.0, chunk=1, targets=2, windows=((4, 1), (3, 1)), tries=4, history_noise=0.25)
PAST = CausalConfig(SAMPLER.chunk, SAMPLER.window, SAMPLER.sinks, alone=(), from_before=False, packed=PACKED)
WORLD = WorldConfig(SIZE, SIZE, lens_from_fov(70, SIZE, SIZE), sampler=SAMPLER, memory=MEMORY, past=PAST)


def curriculum(root: Path, threads: int = 1, clips: Path | None = None) -> Recipe:
    """The steps, in order; ``root`` is where everything goes. Given ``clips``, nothing is rendered."""

    def run(stage: str, steps: int) -> RunConfig:
        return RunConfig(root / stage, steps, ema=0.9, log_every=20, threads=threads)

    rendered, latents = clips or root / "clips", root / "latents.safetensors"
    names = ("autoencoder", "camera", "causal", "memory", "consistency", "distill", "reward", "decoder")
    nets = {stage: root / stage / "model" for stage in names}
    data = SimulateConfig(rendered, ("walk",), scenes=4, clips=2, frames=4 * FRAMES - 3, width=SIZE, height=SIZE)
    return (
        *(() if clips else (Step("data", simulate, data),)),
        Step(
            "autoencoder",
            autoencoder.main,
            AutoencoderStage(run("autoencoder", 60), rendered, nets["autoencoder"], VAE, batch=4, lr=3e-3),
        ),
        Step("encode", encode, EncodeConfig(rendered, nets["autoencoder"], latents, memory=MEMORY, processes=1)),
        Step(
            "camera",
            camera_control.main,
            CameraStage(run("camera", 60), latents, nets["camera"], DIT, TEXT, batch=4, lr=2e-3, shift=3.0),
        ),
        Step("causal", causal.main, CausalStage(run("causal", 60), latents, nets["camera"], nets["causal"], TEACHING, lr=2e-3)),
        Step(
            "memory",
            memory_stage.main,
            MemoryStage(
                run("memory", 30),
                latents,
                nets["causal"],
                nets["memory"],
                PACKING,
                PACKED,
                ErrorBankConfig(levels=4, size=8),
                frames=4,
                lr=1e-3,
            ),
        ),
        Step(
            "consistency",
            consistency.main,
            ConsistencyStage(
                run("consistency", 30),
                latents,
                nets["memory"],
                nets["consistency"],
                TEACHING,
                lr=1e-3,
                lattice=16,
                samples=SamplesConfig(nets["autoencoder"], SAMPLER),
            ),
        ),
        Step(
            "distill",
            distill.main,
            DistillStage(
                run("distill", 12),
                latents,
                nets["consistency"],
                nets["distill"],
                nets["camera"],
                sampler=SAMPLER,
                stream=STREAM,
                lr=1e-4,
                critic_lr=1e-3,
                ratio=2,
            ),
        ),
        Step(
            "reward",
            reward.main,
            RewardStage(
                run("reward", 4),
                latents,
                nets["distill"],
                nets["autoencoder"],
                nets["reward"],
                sampler=SAMPLER,
                candidates=CandidatesConfig(group=3, clip=2, longest=FRAMES - 2),
                reward=RewardConfig(references=4),
                frames=FRAMES,
                lr=1e-4,
                draws=2,
                look_every=3,
            ),
        ),
        Step(
            "decoder",
            decoder.main,
            DecoderStage(
                replace(run("decoder", 20), betas=(0.5, 0.95)),
                rendered,
                nets["autoencoder"],
                nets["decoder"],
                critic=(8, 16),
                alone=3,
            ),
        ),
        Step("world", export_world, WorldExport(nets["decoder"], nets["distill"], root / "world", world=WORLD)),
    )
