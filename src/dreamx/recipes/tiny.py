"""tiny: the world we ship. 64 x 64 pixels, 16 frames per second, trained and played on two CPU cores.

The whole curriculum, one stage after another; each resumes where it stopped. Lens: 70 degrees. Every number that makes this scale
what it is stands here.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dreamx.data.encode import EncodeConfig, encode
from dreamx.data.scene.homes.home import HOMES
from dreamx.data.sim.simulate import simulate
from dreamx.data.sim.simulated import SimulateConfig
from dreamx.data.sim.start_pictures import StartsConfig, starts
from dreamx.geometry.camera import lens_from_fov
from dreamx.lookahead import LookaheadConfig
from dreamx.memory import MemoryConfig
from dreamx.model.causal_config import CausalConfig
from dreamx.model.depth_net import DepthConfig
from dreamx.model.dit import DiTConfig, ViewConfig
from dreamx.model.packed_config import PackedMemoryConfig
from dreamx.model.place_field import PlaceFieldConfig
from dreamx.model.vae import VAEConfig
from dreamx.model.word_encoder import WordConfig
from dreamx.recipes.event_steps import WEATHER, event_steps
from dreamx.recipes.judges import judges
from dreamx.recipes.step import Recipe, Step, WorldExport, export_world
from dreamx.recipes.student_steps import distill_step, reward_step
from dreamx.rollout import Sampler
from dreamx.text_to_image import OpeningConfig
from dreamx.train import autoencoder, camera_control, causal, depth, known_places, memory_stage
from dreamx.train.autoencoder import AutoencoderStage
from dreamx.train.camera_control import CameraStage
from dreamx.train.causal import CausalStage
from dreamx.train.depth import DepthStage
from dreamx.train.known_places import PlacesStage
from dreamx.train.memory_packing import PackingConfig
from dreamx.train.memory_stage import MemoryStage
from dreamx.train.run_config import RunConfig
from dreamx.train.sample_sheets import SamplesConfig
from dreamx.train.teacher_forcing import TeachingConfig
from dreamx.world import WorldConfig

SIZE = 64
FRAMES = 31  # latent frames of a clip: 121 video frames, 7.5 seconds
STRETCH = 12  # latent frames that the transformer is trained on, and sees at play: 3 seconds; what is older, memory shows

VAE = VAEConfig(latent=16, decoder=(64, 112, 160), blocks=(1, 2, 2), hint=True)
DEPTH = DepthConfig(widths=(32, 64, 128, 128), blocks=(1, 2, 3, 2))
TEXT = WordConfig(width=96, heads=4, layers=1, rows=2048, words=64)
DIT = DiTConfig(
    channels=VAE.latent,
    width=160,
    heads=5,
    layers=5,
    mlp=640,
    text=TEXT.width,
    view=ViewConfig(width=64, heads=2, rope=16),
    hint=True,
)
TEACHING = TeachingConfig(
    batch=8,
    shift=3.0,
    chunk=1,
    windows=((STRETCH, 1), (STRETCH, 1), (8, 1), (STRETCH, 0)),
    history_noise=0.25,
    drop_hint=0.15,
    drop_view=0.1,
    hint_noise=0.2,
)
LR, MUON = 2.5e-3, False  # at equal time AdamW is no worse (docs/LOG.md)
SAMPLER = Sampler(steps=4, shift=3.0, chunk=1, window=STRETCH, sinks=1, context_noise=0.2)
MANY_STEPS = replace(SAMPLER, steps=16, stochastic=False)  # for the contact sheets of training
BOTH_WAYS = replace(MANY_STEPS, chunk=STRETCH, sinks=0)
STUDENT = replace(SAMPLER, steps=2)
MEMORY = MemoryConfig(views=3)  # as the transformer is taught; at play there is time for one more
WORLD = WorldConfig(
    SIZE,
    SIZE,
    lens_from_fov(70, SIZE, SIZE),
    sampler=SAMPLER,
    memory=replace(MEMORY, views=4, detail=True),
    foresight=LookaheadConfig(latents=6, unknown=0.2, steps=6, guidance=2.0),
    places_alone=True,  # the transformer was not trained on what the fields show, and drifts
    lasting_alone=True,  # with a past, night is a grid of colours after 15 s
    event_guidance=0.5,  # 0: 20.4 dB while something happens, 0.5: 21.7, 1: 19.8 (docs/LOG.md)
    opening=OpeningConfig(steps=16, guidance=2.0),
)
# Nothing need be dreamt ahead of a student that draws what memory does not show; and what memory would magnify it draws anew.
STUDENT_WORLD = replace(WORLD, sampler=STUDENT, memory=replace(MEMORY, views=4, detail=True, magnified=1.5), foresight=None)
PACKED = PackedMemoryConfig(frames=4)
# Where re-projected memory shows a place there is nothing to learn from recalled frames, so it is dropped half of the time.
PACKING = PackingConfig(8, 3.0, 1, TEACHING.windows, 0.25, drop_hint=0.5, drop_view=0.1, hint_noise=0.2)
PAST = CausalConfig(SAMPLER.chunk, SAMPLER.window, SAMPLER.sinks, alone=(), from_before=False, packed=PACKED)
PACKED_WORLD = replace(WORLD, past=PAST)
PICTURES = 1350  # further scenes, of which the painter and the depth network learn single pictures
LOOKAHEAD = replace(TEACHING, ahead=0.5, unseen=1.0)
PLACES = PlaceFieldConfig(
    names=tuple(HOMES),
    half=tuple(m.HALF for m in HOMES.values()),
    levels=(32, 80, 200, 500, 1250),
    entries=2**18,
)
_BEFORE = {"lookahead_1": "ahead", "lookahead_2": "again"}  # their folders up to version 0.1


def stage_folder(root: Path, stage: str) -> Path:
    """Folder of a stage; its earlier name where that is there."""
    before = root / _BEFORE.get(stage, stage)
    return before if before.exists() else root / stage


def curriculum(root: Path, threads: int = 2) -> Recipe:
    """The steps, in order; ``root`` is where everything goes."""

    def run(stage: str, steps: int, decay: float = 0.5, ema: float = 0.998, muon: bool = False) -> RunConfig:
        return RunConfig(stage_folder(root, stage), steps, decay=decay, ema=ema, muon=muon, threads=threads)

    clips, latents, further = root / "clips", root / "latents.safetensors", root / "further.safetensors"
    homes = root / "homes"
    pictures, drawn = root / "pictures", root / "pictures.safetensors"
    happenings = root / "happenings"
    teachers = ("camera", "causal", "lookahead_1", "lookahead_2", "events", "events_again", "distill", "reward", "memory")
    names = ("autoencoder", "depth", "places", "painter", *teachers)
    nets = {stage: stage_folder(root, stage) / "model" for stage in names}
    encoding = EncodeConfig(clips, nets["autoencoder"], latents, most=1600, mirror=False, reverse=False, memory=MEMORY)

    world = WorldExport(
        nets["autoencoder"],
        nets["events_again"],
        root / "world",
        nets["depth"],
        nets["painter"],
        nets["places"],
        seen=further,
        drawn=drawn,
        told=root / "weather_homes.safetensors",
        happenings=WEATHER,
        small=True,
        world=WORLD,
    )
    learning, start = run("memory", 4000, decay=0.7), nets["lookahead_2"]
    memory = MemoryStage(learning, further, start, nets["memory"], PACKING, PACKED, frames=STRETCH)

    in_two_steps = replace(world, world=STUDENT_WORLD, dit=nets["distill"])
    student = [make(nets, further, STUDENT, STRETCH, FRAMES, run) for make in (distill_step, reward_step)]
    return (
        Step(
            "data",
            simulate,
            SimulateConfig(clips, ("walk",), scenes=800, clips=3, frames=4 * FRAMES - 3, width=SIZE, height=SIZE),
        ),
        Step(
            "autoencoder",
            autoencoder.main,
            AutoencoderStage(run("autoencoder", 7000), clips, nets["autoencoder"], VAE, batch=4, lr=1.5e-3, depth=1.0),
        ),
        Step("encode", encode, encoding),
        Step(
            "camera",
            camera_control.main,
            CameraStage(
                run("camera", 300, decay=0.2, muon=MUON),
                latents,
                nets["camera"],
                DIT,
                TEXT,
                frames=STRETCH,
                batch=8,
                lr=LR,
                shift=3.0,
                samples=SamplesConfig(nets["autoencoder"], BOTH_WAYS),
            ),
        ),
        Step(
            "causal",
            causal.main,
            CausalStage(
                run("causal", 4600, muon=MUON),
                latents,
                nets["camera"],
                nets["causal"],
                TEACHING,
                frames=STRETCH,
                lr=LR,
                samples=SamplesConfig(nets["autoencoder"], MANY_STEPS),
            ),
        ),
        Step(
            "pictures",
            simulate,
            SimulateConfig(pictures, ("walk",), PICTURES, clips=4, frames=1, width=SIZE, height=SIZE, first_seed=1000),
        ),
        Step(
            "depth",
            depth.main,
            DepthStage(run("depth", 8000, decay=0.6), (clips, pictures), nets["depth"], DEPTH, batch=32, lr=2e-3, edges=1.0),
        ),
        Step("encode_ahead", encode, replace(encoding, out=further, depth=nets["depth"], ahead=(3, 8))),
        # Memory as it is at play, and views that are dreamt before they are walked to; twice, with a learning rate that falls.
        Step(
            "lookahead_1",
            causal.main,
            CausalStage(
                run("lookahead_1", 4600, decay=0.6),
                further,
                nets["causal"],
                nets["lookahead_1"],
                LOOKAHEAD,
                frames=STRETCH,
                lr=1.5e-3,
            ),
        ),
        Step(
            "lookahead_2",
            causal.main,
            CausalStage(
                run("lookahead_2", 4400, decay=0.7),
                further,
                nets["lookahead_1"],
                nets["lookahead_2"],
                LOOKAHEAD,
                frames=STRETCH,
                lr=1.3e-3,
            ),
        ),
        # Six places by heart.
        Step(
            "homes",
            simulate,
            SimulateConfig(homes, ("walk",), 48, 40, 32, SIZE, SIZE, fps=4.0, first_seed=40000, kinds=tuple(HOMES)),
        ),
        Step("places", known_places.main, PlacesStage(run("places", 9400, decay=0.7), (homes,), nets["places"], PLACES)),
        *judges(root, clips, happenings, SIZE, stage_folder),
        *event_steps(root, nets, further, happenings, LOOKAHEAD, MEMORY, SIZE, STRETCH, run),
        Step("encode_pictures", encode, EncodeConfig(pictures, nets["autoencoder"], drawn, mirror=False, reverse=False)),
        Step(
            "painter",
            camera_control.main,
            CameraStage(
                run("painter", 1500, decay=0.6),
                drawn,
                nets["painter"],
                replace(DIT, view=None, hint=False),
                TEXT,
                batch=64,
                lr=LR,
                shift=2.0,
                drop_first=1.0,
            ),
        ),
        Step("world", export_world, world),
        # The same with packed memory, in a folder of its own until it is measured to be better.
        Step("memory", memory_stage.main, memory),
        Step("packed_world", export_world, replace(world, world=PACKED_WORLD, out=root / "packed_world", dit=memory.out)),
        Step("starts", starts, StartsConfig(root / "world" / "starts", SIZE, SIZE, homes=tuple(HOMES))),
        # A student of it, and that student reinforced, in folders of their own: on open ground the student draws more, and keeps
        # less to what memory shows (docs/LOG.md).
        student[0],
        Step("distilled_world", export_world, replace(in_two_steps, out=root / "distilled_world")),
        student[1],
        Step("rewarded_world", export_world, replace(in_two_steps, out=root / "rewarded_world", dit=nets["reward"])),
    )
