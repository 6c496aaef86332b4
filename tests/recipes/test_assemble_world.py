"""A world out of separately trained networks: it opens and walks, and what does not fit is said before anything is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import micro
from dreamx.checkpoints import native
from dreamx.cli import main as cli
from dreamx.geometry import from_keys
from dreamx.geometry.camera import lens_from_fov
from dreamx.memory import MemoryConfig
from dreamx.model.depth_net import Depth, DepthConfig
from dreamx.model.dit import DiT
from dreamx.model.place_field import PlaceFieldConfig
from dreamx.model.vae import VAE
from dreamx.model.word_encoder import WordEncoder
from dreamx.recipes.assemble_world import Assembly, main, world_config
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
