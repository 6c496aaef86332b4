"""open_ground: a transformer that draws what memory does not show, to follow that of ``tiny``, which was never taught to.

Memory showed ``tiny`` 97 % of the pictures that it learned from, so on open ground it fades to one colour (docs/LOG.md). This one
first learns to draw from cameras alone, both ways in time, then from its past, with memory dropped or hidden for most clips. From
there it is distilled to two steps on its own pictures, and, by itself, taught the weather; both are added, and distilled on with
memory of its own pictures. It is larger, and follows ``tiny`` in the same folder, whose autoencoder, depth network, painter and
fields it uses. Not shipped yet.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dreamx.data.encode import EncodeConfig, encode
from dreamx.data.scene.homes.home import HOMES
from dreamx.data.sim.simulate import simulate
from dreamx.data.sim.simulated import SimulateConfig
from dreamx.recipes import tiny
from dreamx.recipes.event_steps import EARS
from dreamx.recipes.step import Recipe, Step, WorldExport, export_world
from dreamx.recipes.weight_sum import WeightSum, add_training
from dreamx.train import camera_control, distill, event_tuning
from dreamx.train.camera_control import CameraStage
from dreamx.train.distill import DistillStage
from dreamx.train.event_tuning import EventsStage
from dreamx.train.run_config import RunConfig
from dreamx.train.score_matching import ScoreConfig
from dreamx.train.student_stream import StreamConfig
from dreamx.train.teacher_forcing import TeachingConfig

#: Words are heard from the first step on, so that no text encoder has to be replaced later.
TEXT = EARS
DIT = replace(tiny.DIT, width=192, heads=6, layers=8, mlp=768, text=TEXT.width)
#: As at play: what memory would magnify is drawn anew.
MEMORY = replace(tiny.MEMORY, views=4, magnified=1.5)
SCENES, FIRST = 560, 1000
TEACHING = TeachingConfig(
    batch=8,
    shift=3.0,
    chunk=1,
    windows=((tiny.STRETCH, 1), (tiny.STRETCH, 1), (8, 1), (tiny.STRETCH, 0), (1, 0)),
    history_noise=0.25,
    drop_text=0.1,
    drop_hint=0.35,
    drop_view=0.05,
    hint_noise=0.2,
    hide_hint=0.4,
    changed=3.0,
)
#: Weather alone: of one stretch in three each latent stands by itself, for then nothing but words tells night from day.
WEATHER = replace(
    TEACHING,
    windows=((tiny.STRETCH, 1), (1, 0), (tiny.STRETCH, 1), (8, 1), (tiny.STRETCH, 0), (1, 0)),
    drop_text=0.05,
    drop_hint=0.3,
    changed=5.0,
)
STUDENT = tiny.STUDENT  # two steps a chunk
#: Most windows that follow a sequence's first are judged whole: given a first frame of one colour, a teacher goes on with it.
STREAM = StreamConfig(batch=8, window=tiny.STRETCH, overlap=1, lengths=(12, 45, 45, 122), drop_hint=0.5, known=0.3)
#: Nothing is dreamt ahead.
WORLD = replace(tiny.WORLD, sampler=STUDENT, memory=replace(MEMORY, detail=True), foresight=None)


def curriculum(root: Path, threads: int = 2) -> Recipe:
    """The steps, in order; ``root`` is the folder of a finished ``tiny``."""
    home, nets = root / "open_ground", {k: root / k / "model" for k in ("autoencoder", "depth", "places", "painter")}
    clips, unseen, shown = home / "clips", home / "unseen.safetensors", home / "shown.safetensors"
    weather, weather_homes = home / "weather", home / "weather_homes"
    homes, elsewhere = home / "weather_homes.safetensors", home / "weather.safetensors"
    stages = ("camera", "causal", "weather_1", "weather_2", "teacher", "distill", "played")
    out = {k: home / k / "model" for k in stages}
    encoding = EncodeConfig(clips, nets["autoencoder"], unseen, mirror=False, reverse=False)
    recalled = replace(encoding, depth=nets["depth"], memory=MEMORY)
    walks = SimulateConfig(clips, ("walk",), SCENES, 3, 4 * tiny.FRAMES - 3, tiny.SIZE, tiny.SIZE, first_seed=FIRST)
    weather_walks = replace(walks, out=weather, subset=("weather",), scenes=132, clips=1, first_seed=42200)
    at_home = replace(weather_walks, out=weather_homes, scenes=72, clips=2, first_seed=42000, kinds=tuple(HOMES))

    def run(stage: str, steps: int, decay: float, ema: float) -> RunConfig:
        return RunConfig(home / stage, steps, decay=decay, ema=ema, dtype="bfloat16", threads=threads)

    first = CameraStage(
        run("camera", 6200, 0.3, 0.998),
        unseen,
        out["camera"],
        DIT,
        TEXT,
        frames=tiny.STRETCH,
        batch=8,
        lr=1.5e-3,
        shift=3.0,
        drop_first=0.15,
    )
    then = EventsStage(
        run("causal", 2400, 0.5, 0.995),
        homes,
        first.out,
        out["causal"],
        shown,
        share=0.75,
        teaching=TEACHING,
        frames=tiny.STRETCH,
        lr=1e-3,
        more=(elsewhere,),
    )
    heard = replace(
        then,
        run=run("weather_1", 1000, 0.3, 0.99),
        start=then.out,
        out=out["weather_1"],
        plain=unseen,
        share=0.3,
        teaching=WEATHER,
        lr=8e-4,
    )
    heard_again = replace(
        heard, run=run("weather_2", 650, 0.8, 0.99), start=heard.out, out=out["weather_2"], plain=shown, share=0.55, lr=6e-4
    )
    # Both ways again, from the causal networks, which know more.
    teacher = replace(first, run=run("teacher", 2000, 0.5, 0.998), out=out["teacher"], start=then.out, lr=1e-3)
    student = DistillStage(
        run("distill", 850, 0.0, 0.98),
        shown,
        then.out,
        out["distill"],
        teacher.out,
        sampler=STUDENT,
        stream=STREAM,
        score=ScoreConfig(shift=3.0, guidance=0.0),
        keep=0.1,
        lr=1e-4,
        critic_lr=2e-4,
        ratio=2,
        draws=2,
        shared=True,
    )
    both = WeightSum(student.out, heard_again.out, then.out, home / "sum" / "model")
    # As at play: memory shows it what it drew itself. Teacher and critic do not see that, and judge what comes of it.
    played = replace(
        student,
        run=run("played", 420, 0.0, 0.98),
        data=unseen,
        start=both.out,
        out=out["played"],
        stream=replace(STREAM, lengths=(45, 80)),
        score=ScoreConfig(shift=3.0, guidance=0.0, hints=False),
        world=home / "before",
    )
    alone = nets["autoencoder"], both.out, home / "before", nets["depth"], nets["painter"], nets["places"]
    parts = nets["autoencoder"], played.out, home / "world", nets["depth"], nets["painter"], nets["places"]
    return (
        Step("open-data", simulate, walks),
        Step("open-encode", encode, encoding),
        Step("open-camera", camera_control.main, first),
        Step("open-weather", simulate, weather_walks),
        Step("open-weather-homes", simulate, at_home),
        Step("open-recall", encode, replace(recalled, out=shown, most=504)),
        Step(
            "open-recall-weather",
            encode,
            replace(recalled, clips=weather, out=elsewhere, memory=replace(MEMORY, contradicted=0.45)),
        ),
        Step(
            "open-recall-homes",
            encode,
            replace(recalled, clips=weather_homes, out=homes, places=nets["places"]),
        ),
        Step("open-causal", event_tuning.main, then),
        Step("open-teacher", camera_control.main, teacher),
        Step("open-distill", distill.main, student),
        Step("open-weather-heard", event_tuning.main, heard),
        Step("open-weather-again", event_tuning.main, heard_again),
        Step("open-sum", add_training, both),
        Step("open-before", export_world, WorldExport(*alone, world=WORLD)),
        Step("open-played", distill.main, played),
        Step("open-world", export_world, WorldExport(*parts, small=True, world=WORLD)),
    )
