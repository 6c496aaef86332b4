"""A world out of separately trained networks: it opens and walks, and what does not fit is said before anything is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import micro
from dreamx.checkpoints import native
from dreamx.cli import main as cli
from dreamx.data.latent_file import LatentRow, Latents
from dreamx.events import Event
from dreamx.geometry import from_keys
from dreamx.geometry.camera import lens_from_fov, level
from dreamx.memory import MemoryConfig
from dreamx.model.depth_net import Depth, DepthConfig
from dreamx.model.dit import DiT
from dreamx.model.place_field import PlaceFieldConfig
from dreamx.model.prompt import Taught
from dreamx.model.taught_event import TaughtEvent
from dreamx.model.vae import VAE
from dreamx.model.word_encoder import WordEncoder
from dreamx.networks import read_happenings
from dreamx.recipes.assemble_world import Assembly, main, world_config
from dreamx.recipes.event_steps import WEATHER
from dreamx.world import World

DIT = replace(micro.DIT, hint=True)
PLACES = PlaceFieldConfig(("village",), (4.0,), cells=8, layers=4, levels=(4,), entries=64, sky=(4, 8), hidden=8)
SIZE = (micro.SIZE, micro.SIZE)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders as training stages write them, some of which do not fit together."""
    root = tmp_path_factory.mktemp("parts")
    torch.manual_seed(0)
    text, vae = WordEncoder(micro.WORDS), VAE(replace(micro.ENCODER, hint=True))

    def transformer(name: str, **other: object) -> None:
        net = DiT(replace(DIT, **other))  # pyright: ignore[reportArgumentType]
        native.save(root / name, {"dit": (net, net.config), "text": (text, text.config)})

    transformer("dit")
    transformer("painter", view=None, hint=False)
    transformer("wide", channels=16)
    transformer("deaf", text=24)
    transformer("plain", hint=False)
    native.save(root / "vae", {"vae": (vae, vae.config)})
    depth, field = Depth(DepthConfig((16,), (1,), 2)), micro.field(PLACES)
    native.save(root / "depth", {"depth": (depth, depth.config)})
    native.save(root / "places", {"places": (field, field.config)})
    return root


def asked(parts: Path, out: Path) -> Assembly:
    return Assembly(parts / "vae", parts / "dit", out, parts / "depth", parts / "painter", parts / "places", size=SIZE)


def test_packed_memory_is_a_setting(parts: Path, tmp_path: Path) -> None:
    some = replace(asked(parts, tmp_path / "x"), overrides=("sampler.chunk=1", "sampler.window=6", "sampler.sinks=1"))
    assert world_config(some).past is None
    packed = world_config(replace(some, packed=3))
    assert packed.past is not None and packed.past.packed is not None
    assert (packed.past.packed.frames, packed.past.window, packed.past.sinks, packed.past.alone) == (3, 6, 1, ())
    assert world_config(replace(some, packed=0)).causal == world_config(some).causal, "0: a window alone"


def test_it_opens_and_walks(parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "my world"
    sides = [str(side) for side in SIZE]
    flags = [f"--{name}={parts / name}" for name in ("vae", "dit", "depth", "painter", "places")]
    settings = ("--set", "sampler.steps=2", "--set", "sampler.chunk=1")
    cli(["world", "assemble", *flags, "--size", *sides, *settings, "--out", str(out)])
    said = capsys.readouterr().out
    assert f"dreamx play --world '{out}' opens it" in said
    assert f"dreamx data starts --out '{out}'/starts --width 32 --height 32 --homes village" in said
    world = World.open(out)
    assert world.size == SIZE
    assert (world.config.sampler.steps, world.config.sampler.chunk, world.config.memory) == (2, 1, MemoryConfig())
    assert world.depth is not None
    assert world.painter is not None
    assert world.places is not None
    assert world.places.config == PLACES
    want = native.read(parts / "dit" / "dit.safetensors")
    assert all(torch.equal(x, want[k]) for k, x in world.dit.state_dict().items())
    opening = world.reset(micro.picture(), "a park")
    walked = torch.cat([world.step(from_keys(["w"] * world.frames_per_step)) for _ in range(2)])
    assert (opening.shape, walked.shape) == ((1, 3, *SIZE), (8, 3, *SIZE))
    main(asked(parts, out))  # again, with other settings: the folder is its own
    assert World.open(out).config.sampler.steps == 4


def test_settings_of_another_world(parts: Path, tmp_path: Path) -> None:
    cfg = replace(asked(parts, tmp_path), like="tiny", size=None)
    tiny = world_config(cfg)
    assert (tiny.height, tiny.width) == (64, 64)
    assert tiny.foresight is not None
    assert world_config(replace(cfg, size=(32, 32))) == replace(tiny, height=32, width=32), "the same shape: the same lens"
    assert world_config(replace(cfg, size=(32, 64))).lens == lens_from_fov(70, 64, 32)
    assert world_config(replace(cfg, fov=90.0)).lens == lens_from_fov(90, 64, 64)
    without = world_config(replace(cfg, views=0))
    assert (without.memory, without.foresight) == (None, None)
    few = world_config(replace(cfg, views=1)).memory
    assert few is not None
    assert tiny.memory is not None
    assert few == replace(tiny.memory, views=1)
    assert world_config(replace(cfg, overrides=("speed.fps=8", "memory.metres=2"))).speed.fps == 8
    own = replace(asked(parts, tmp_path), dit=parts / "plain")
    assert world_config(own).memory is None, "nothing was said, and the transformer does not read it"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dit": "wide"}, "dit: .*wide reads latents of 16 channels, and the autoencoder in .*vae makes 8"),
        ({"painter": "wide"}, "painter: .*wide makes latents of 16 channels, and the autoencoder in .*vae reads 8"),
        ({"dit": "deaf"}, "dit: the transformer in .*deaf reads words of 24 channels, and its text encoder makes 16"),
        ({"painter": "deaf"}, "painter: the transformer in .*deaf reads words of 24 channels"),
        ({"dit": "plain", "views": 3}, "views: memory is wanted, and the transformer in .*plain was not taught to read it"),
        ({"depth": None}, "depth is missing: memory begins with the depth of the first picture"),
        ({"views": 0}, "places: .*places holds places known by heart, which are shown by way of memory, and this world has none"),
        ({"size": None}, "size is missing; give rows and columns"),
        ({"size": (40, 32)}, "size: rows and columns must be multiples of 16 .*, not 40 and 32"),
        ({"vae": "dit"}, "holds no network 'vae' but dit, text"),
        ({"depth": "vae"}, "holds no network 'depth' but vae"),
        ({"places": "vae"}, "holds no network 'places' but vae"),
        ({"like": "nowhere"}, "'nowhere' is no world"),
        ({"overrides": ("sampler.stops=1",)}, "set: sampler.stops: 'stops' is no field; the fields are steps"),
        ({"overrides": ("sampler.steps=0",)}, "set: sampler.steps=0 cannot be: .*steps must be 1 or more"),
        ({"views": 0, "places": None, "overrides": ("foresight=none", "memory.views=2")}, "memory holds nothing"),
        ({"like": "tiny", "overrides": ("memory=none",), "places": None}, "foresight needs memory"),
        ({"seen": "depth"}, "seen and drawn go together"),
        ({"told": "depth"}, "told goes with seen and drawn"),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_is_written(
    parts: Path, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    out = tmp_path / "world"
    changed = {k: parts / v if isinstance(v, str) and k not in ("like",) else v for k, v in change.items()}
    with pytest.raises(ValueError, match=said) as e:
        main(replace(asked(parts, out), **changed))  # pyright: ignore[reportArgumentType]
    assert "\n" not in str(e.value)
    assert not out.exists()


FOG = {"name": "fog", "begins": "The fog comes up", "lasts": "Fog hangs in the air", "ends": "The fog lifts", "seconds": 2.0}
DOG = Event("e1", "the dog", "barks in the fog", "", 0.5, 1.5)


def latents(file: Path, *rows: LatentRow) -> Path:
    n = len(rows)
    camera = level().map(lambda x: x.expand(n, 2, *x.shape).clone())
    Latents(torch.zeros(n, 2, 8, 4, 4, dtype=torch.float16), camera, rows, "x").save(file)
    return file


def test_happenings_are_given_to_a_world_and_taken_from_another(parts: Path, tmp_path: Path) -> None:
    file = tmp_path / "happenings.json"
    file.write_text(json.dumps([FOG, {"name": "dog", "begins": "A dog barks", "indoors": False}]))
    out, other = tmp_path / "w", tmp_path / "other"
    sides = [str(side) for side in SIZE]
    flags = [f"--{name}={parts / name}" for name in ("vae", "dit", "depth", "painter", "places")]
    cli(["world", "assemble", *flags, "--size", *sides, "--happenings", str(file), "--out", str(out)])
    want = (TaughtEvent(**FOG), TaughtEvent("dog", "A dog barks", indoors=False))  # pyright: ignore[reportArgumentType]
    taught = World.open(out).taught
    assert taught == Taught((), (), True, want)
    main(replace(asked(parts, other), like=str(out), size=None, overrides=("sampler.flush=2",)))
    again = World.open(other)
    assert again.taught == taught and again.config.sampler.flush == 2
    again.reset(micro.picture(), "a park")
    again.step(from_keys([""] * again.frames_per_step), "fog")
    assert [o.name for o in again.ongoing] == ["fog"]
    assert again.note == "", "its vocabulary is unknown, not empty"
    main(replace(asked(parts, tmp_path / "plain"), like="tiny"))
    assert World.open(tmp_path / "plain").taught == Taught((), (), True, read_happenings(WEATHER))


def test_words_of_happenings_are_looked_up_in_the_latents(parts: Path, tmp_path: Path) -> None:
    plain = latents(tmp_path / "plain.safetensors", LatentRow("the air hangs", "game", "park", 1))
    told = latents(tmp_path / "told.safetensors", LatentRow("fog comes up, lifts", "game", "park", 1, events=(DOG,)))
    file = tmp_path / "happenings.json"
    file.write_text(json.dumps([FOG]))
    cfg = replace(asked(parts, tmp_path / "w"), seen=plain, drawn=plain, happenings=file)
    with pytest.raises(ValueError, match="happenings: the words of 'fog' hold 'fog', which is none of the words"):
        main(cfg)
    assert not (tmp_path / "w").exists()
    main(replace(cfg, told=told))
    taught = World.open(tmp_path / "w").taught
    assert taught is not None and taught.events and [h.name for h in taught.happenings] == ["fog"]
    assert {"dog", "barks", "lifts", "hangs"} <= set(taught.words) and "dog" not in taught.drawn


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "must be a list of happenings"),
        ("[1]", "happenings.0: must be an object"),
        ('[{"name": "fog"}]', "happenings.0: the key 'begins' is missing"),
        ('[{"name": "fog", "begins": "fog", "ends": "x"}]', "ends is never told where lasts is empty"),
        ('[{"name": "fog", "begins": "fog", "second": 1}]', "'second' is unknown"),
        ("[", "json"),
    ],
)
def test_a_wrong_file_of_happenings_is_refused(parts: Path, tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "happenings.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=said) as e:
        main(replace(asked(parts, tmp_path / "w"), happenings=file))
    assert "happenings.json" in str(e.value) and "\n" not in str(e.value)
    assert not (tmp_path / "w").exists()


def test_a_folder_of_somebody_else_stays_as_it_is(parts: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"out: .* holds notes.txt, which this command did not write"):
        main(asked(parts, tmp_path))
    with pytest.raises(ValueError, match="out"):
        main(asked(parts, parts / "vae"))
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_the_decoder_may_guess_the_depth(parts: Path, tmp_path: Path) -> None:
    main(replace(asked(parts, tmp_path / "w"), depth=None, decoder_depth=True))
    world = World.open(tmp_path / "w")
    assert world.depth is None
    assert world.config.memory is not None


def test_places_that_nobody_would_see_are_refused_when_a_world_is_opened(parts: Path, tmp_path: Path) -> None:
    """A world with fields and without memory opened, and showed nothing of them."""
    main(asked(parts, tmp_path / "w"))
    world = World.open(tmp_path / "w")
    world.config = replace(world.config, memory=None)
    world.export(tmp_path / "blind")
    with pytest.raises(
        ValueError, match="blind holds places known by heart, which are shown by way of memory, and this world has"
    ):
        World.open(tmp_path / "blind")


def test_of_a_place_of_ones_own_pictures_come_from_clips(parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    field = micro.field(replace(PLACES, names=("room",)))
    native.save(tmp_path / "places", {"places": (field, field.config)})
    main(replace(asked(parts, tmp_path / "mine"), places=tmp_path / "places"))
    assert "starts --width 32 --height 32 --clips CLIPS\n" in capsys.readouterr().out
