"""Steps of the shipped world for what can happen in it: clips of it, and a transformer that hears the words for it.

Weather in the home places and elsewhere (``data.sim.weather_walks``), and events of single things. ``weather.json`` beside this
file offers the weather by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dreamx.data.encode import EncodeConfig, encode
from dreamx.data.scene.homes.home import HOMES
from dreamx.data.sim.simulate import simulate
from dreamx.data.sim.simulated import SimulateConfig
from dreamx.memory import MemoryConfig
from dreamx.model.word_encoder import WordConfig
from dreamx.recipes.step import Recipe, Step
from dreamx.train import event_tuning
from dreamx.train.event_tuning import EventsStage
from dreamx.train.run_config import RunConfig
from dreamx.train.teacher_forcing import TeachingConfig

WEATHER = Path(__file__).with_name("weather.json")
EARS = WordConfig(width=128, heads=4, layers=2, rows=4096, words=64, repeat=True)


def event_steps(
    root: Path,
    nets: dict[str, Path],
    plain: Path,
    happenings: Path,
    lookahead: TeachingConfig,
    memory: MemoryConfig,
    size: int,
    stretch: int,
    run: Callable[[str, int], RunConfig],
) -> Recipe:
    """Steps for pictures of ``size`` pixels, trained on ``stretch`` latents at once.

    ``nets``: folders of networks by stage; ``plain``: latents of walks; ``happenings``: clips of ``events`` and ``still``;
    ``lookahead``: the teaching of the stage before; ``run``: of a stage and its number of steps.
    """
    homes, elsewhere = root / "weather_homes", root / "weather"
    heard = {name: root / f"{name}.safetensors" for name in ("weather_homes", "weather", "things")}
    at_home = SimulateConfig(homes, ("weather",), 72, 4, 161, size, size, first_seed=42000, kinds=tuple(HOMES))
    away = replace(at_home, out=elsewhere, scenes=66, clips=1, first_seed=42200, kinds=SimulateConfig(root).kinds)
    # Memory is kept from the decoder where something changes, or the frames that are remembered would show what was there before.
    split = replace(memory, contradicted=0.45)
    hearing = EncodeConfig(
        homes, nets["autoencoder"], heard["weather_homes"], mirror=False, reverse=False, depth=nets["depth"], memory=split
    )
    # Of two stretches in five each latent stands alone: without the frames before, words are all that tells night from day.
    alone = ((1, 0), (1, 0), (stretch, 1), (8, 1), (stretch, 0))
    teaching = replace(lookahead, windows=alone, drop_hint=0.1, drop_text=0.0, changed=5.0)
    events = EventsStage(
        replace(run("events", 1800), ema=0.99, dtype="bfloat16"),
        heard["weather_homes"],
        nets["lookahead_2"],
        nets["events"],
        plain,
        share=0.15,
        teaching=teaching,
        frames=stretch,
        lr=1e-3,
        text=EARS,
        more=(heard["weather_homes"], heard["weather"], heard["things"]),
    )
    # Walks in which nothing happens come back: after the stage before, whole turns on open ground were 0.7 dB worse.
    again = replace(
        events,
        run=replace(run("events_again", 700), decay=0.8, ema=0.99, dtype="bfloat16"),
        start=nets["events"],
        out=nets["events_again"],
        share=0.6,
        teaching=replace(teaching, windows=((stretch, 1), (stretch, 1), (8, 1), (stretch, 0), (1, 0)), drop_hint=0.15),
        lr=8e-4,
        text=None,
        more=(heard["weather_homes"], heard["weather"]),
    )
    return (
        Step("simulate_weather_homes", simulate, at_home),
        Step("simulate_weather", simulate, away),
        Step("encode_weather_homes", encode, replace(hearing, places=nets["places"], most=150, memory=memory)),
        Step("encode_weather", encode, replace(hearing, clips=elsewhere, out=heard["weather"])),
        Step("encode_things", encode, replace(hearing, clips=happenings, out=heard["things"], most=826)),
        Step("events", event_tuning.main, events),
        Step("events_again", event_tuning.main, again),
    )
