"""w5b: the same curriculum at the released size, from Wan2.2-TI2V-5B. 704 x 1280 pixels, 16 frames per second, 64 GPUs.

``diff tiny.py w5b.py`` is the meaning of scale. It was never trained here: this table says what such a training would be, and
``dreamx train curriculum --scale w5b --dry-run`` what it would cost. Its stages read our own small autoencoder and text encoder,
not those of Wan2.2 yet, so that the command refuses to begin it (``WANTING``).

Sources, by letter: P, the paper DreamX-World 1.0; C, its released configs and code; R, the public recipes of the works that it
names (Self Forcing, Causal Forcing); without a letter a number is ours. Paper and code give no learning rate, no batch and no
number of steps of any stage. What follows in the paper and is no stage here: event tuning, the second distillation from pictures.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dreamx.data.encode import EncodeConfig, encode
from dreamx.data.sim.simulate import simulate
from dreamx.data.sim.simulated import SimulateConfig
from dreamx.model.causal_config import CausalConfig
from dreamx.model.dit import DiTConfig, ViewConfig
from dreamx.model.gap_rule import GapConfig
from dreamx.model.packed_config import PackedMemoryConfig
from dreamx.model.umt5 import UMT5Config
from dreamx.model.wan_vae import WanVAEConfig
from dreamx.recipes.step import Recipe, Step
from dreamx.rollout import Sampler
from dreamx.train import camera_control, causal, consistency, decoder, distill, memory_stage, reward
from dreamx.train.camera_control import CameraStage
from dreamx.train.candidates import CandidatesConfig
from dreamx.train.causal import CausalStage
from dreamx.train.consistency import ConsistencyStage
from dreamx.train.decoder import DecoderStage
from dreamx.train.distill import DistillStage
from dreamx.train.error_bank import ErrorBankConfig
from dreamx.train.memory_packing import PackingConfig
from dreamx.train.memory_stage import MemoryStage
from dreamx.train.reward import RewardStage
from dreamx.train.run_config import RunConfig
from dreamx.train.student_stream import StreamConfig
from dreamx.train.teacher_forcing import TeachingConfig

SIZE = (704, 1280)  # C: 44 x 80 latents, 880 tokens a latent frame
FRAMES = 21  # latent frames of a clip: 81 video frames, 5 seconds (P: 18480 tokens)
STRETCH = FRAMES  # R: teacher forcing sees all of them

VAE = WanVAEConfig()  # C: Wan2.2's own, which is not trained
TEXT = UMT5Config()  # C: umT5-XXL, which is not trained; captions are read once, before
DIT = DiTConfig(  # C
    channels=VAE.latent,
    width=3072,
    heads=24,
    layers=30,
    mlp=14336,
    text=TEXT.width,
    view=ViewConfig(width=768, heads=24),
)
BATCH = 1  # clips on each GPU; on 64 GPUs a step is 64 clips (R: 64)
TEACHING = TeachingConfig(
    batch=BATCH,
    shift=5.0,  # C
    chunk=3,  # C
    windows=((12, 3),),  # C: of 12 latent frames, 3 are sinks
    history_noise=0.1,
)
LONG = 3 * FRAMES  # latent frames of a clip with revisits (P: revisits and long clips; their length is not said)
PACKED = PackedMemoryConfig(frames=4, gaps=GapConfig(span=float(FRAMES), log=8.0))
PACKING = PackingConfig(batch=BATCH, shift=5.0, chunk=3, targets=2, windows=TEACHING.windows, history_noise=0.1)
BANK = ErrorBankConfig(levels=50, size=8)  # R: 50 levels
SAMPLER = Sampler(steps=4, shift=5.0, chunk=3, window=12, sinks=3)  # C
STREAM = StreamConfig(batch=BATCH, window=FRAMES, overlap=3, lengths=(FRAMES,))  # R
LONG_STREAM = StreamConfig(batch=BATCH, window=FRAMES, overlap=3, lengths=(63, 240), switch=0.5)  # R: 240; 63 before that is ours
PAST = CausalConfig(chunk=3, window=12, sinks=3, packed=PACKED)  # C, but for packed memory: the paper gives no counts
CANDIDATES = CandidatesConfig(group=4, clip=9, longest=81)  # R: groups of 24; 4 are what 80 GB hold with their caches
LR = 2e-6  # R, for everything that changes the backbone
LANE_LR = 1e-4  # the camera lane begins anew

#: Why the table cannot be run yet, as the end of a sentence.
WANTING = (
    "its stages read our own autoencoder and text encoder, not those of Wan2.2 yet; --dry-run says what it would cost, and "
    "--stage data makes its clips"
)


def curriculum(root: Path, threads: int = 8) -> Recipe:
    """The steps, in order; ``root`` is where everything goes, with Wan2.2-TI2V-5B in ``root/wan``."""

    def run(stage: str, steps: int, ema: float | None = 0.99) -> RunConfig:
        # R: betas, clip and average of causal forcing. Without decay: the average does its work.
        cfg = RunConfig(root / stage, steps, warmup=0.01, decay=0.0, betas=(0.0, 0.999), clip=10.0, ema=ema, threads=threads)
        return replace(cfg, dtype="bfloat16", save_seconds=1800.0)

    clips, latents, wan = root / "clips", root / "latents.safetensors", root / "wan"
    rounds, far = root / "rounds", root / "rounds.safetensors"
    names = ("camera", "causal", "memory", "consistency", "distill", "distill_long", "reward", "decoder")
    nets = {stage: root / stage / "model" for stage in names}
    matching = DistillStage(
        run("distill", 600),
        latents,
        nets["consistency"],
        nets["distill"],
        nets["camera"],
        sampler=SAMPLER,
        past=PAST,
        vae=wan,  # P, R: the teacher knows first frames as pictures
        stream=STREAM,
        lr=LR,
    )
    return (
        Step(
            "data",
            simulate,
            SimulateConfig(
                clips, scenes=20_000, clips=2, frames=4 * FRAMES - 3, width=SIZE[1], height=SIZE[0]
            ),  # P: rendered, driven and filmed; how many is not said
        ),
        Step("encode", encode, EncodeConfig(clips, wan, latents, mirror=False, reverse=False)),
        # P: the backbone is frozen, and the camera lane alone is trained.
        Step(
            "camera",
            camera_control.main,
            CameraStage(
                replace(run("camera", 20_000, ema=0.999), betas=(0.9, 0.95), clip=1.0, decay=0.5),
                latents,
                nets["camera"],
                DIT,
                start=wan,
                train=("view",),
                frames=STRETCH,
                batch=BATCH,
                lr=LANE_LR,
                shift=5.0,  # C
            ),
        ),
        # P: causal forcing. R: 5 to 10 thousand steps.
        Step(
            "causal",
            causal.main,
            CausalStage(run("causal", 8000), latents, nets["camera"], nets["causal"], TEACHING, frames=STRETCH, lr=LR),
        ),
        Step(
            "data_memory",
            simulate,
            SimulateConfig(rounds, ("walk",), 4000, 2, 4 * LONG - 3, SIZE[1], SIZE[0], first_seed=30_000),
        ),
        Step("encode_memory", encode, EncodeConfig(rounds, wan, far, mirror=False, reverse=False)),
        Step(
            "memory",
            memory_stage.main,
            MemoryStage(run("memory", 3000), far, nets["causal"], nets["memory"], PACKING, PACKED, BANK, frames=12, lr=LR),
        ),
        # R: 3 thousand steps or more; there the teacher is guided (3.0), and here it is not.
        Step(
            "consistency",
            consistency.main,
            ConsistencyStage(
                run("consistency", 3000),
                latents,
                nets["memory"],
                nets["consistency"],
                TEACHING,
                frames=STRETCH,
                lr=LR,
                lattice=48,  # R
            ),
        ),
        # R: 600 steps of 64 sequences; the learning rate of the critic, 5 updates of it for one, the teacher's guidance.
        Step("distill", distill.main, replace(matching, run=run("distill", 600))),
        # R: 3 thousand steps, with a LoRA there. No adversarial head: neither the paper nor the works that it names have one.
        Step(
            "distill_long",
            distill.main,
            replace(matching, run=run("distill_long", 3000), start=nets["distill"], out=nets["distill_long"], stream=LONG_STREAM),
        ),
        # P: two rewards, a soft update, and the distilled model kept near. R: the learning rate, with a LoRA there; the share 0.9
        # that the old policy keeps, the weight 1e-4 of the distance. How many updates is ours.
        Step(
            "reward",
            reward.main,
            RewardStage(
                replace(run("reward", 500), clip=1.0, betas=(0.9, 0.999)),  # R
                latents,
                nets["distill_long"],
                wan,
                nets["reward"],
                sampler=SAMPLER,
                candidates=CANDIDATES,
                lr=1e-5,
            ),
        ),
        # P: the decoder with which it is played has lost 75 % (that of Matrix-Game 3.0); how it was trained is not said.
        Step(
            "decoder",
            decoder.main,
            DecoderStage(
                replace(run("decoder", 20_000, ema=0.999), betas=(0.5, 0.95), clip=1.0),
                latents,
                wan,
                nets["decoder"],
                batch=4,  # pieces of 384 x 384 pixels
                lr=1e-4,
                prune=0.75,  # P
                crop=24,
            ),
        ),
    )
