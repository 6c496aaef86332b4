"""Learning what is said to happen: the words of each latent, and frames that read their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import event_house
from dreamx.checkpoints import native
from dreamx.data.encode import EncodeConfig, Latents, encode
from dreamx.data.latent_file import LatentRow
from dreamx.events import Event, going_on, told
from dreamx.frames import Frames, cat, clean
from dreamx.geometry.camera import Camera
from dreamx.memory import MemoryConfig
from dreamx.model.attention import MaskedAttention
from dreamx.model.masks import teacher_forced
from dreamx.model.vae import VAE, VAEConfig
from dreamx.model.word_encoder import WordConfig, WordEncoder, split
from dreamx.recipes.micro import DIT, TEXT
from dreamx.train import event_tuning
from dreamx.train.event_tuning import EventsStage
from dreamx.train.latents import LatentClips
from dreamx.train.run_config import RunConfig
from dreamx.train.teacher_forcing import TeachingConfig, teach
from dreamx.train.trained_networks import Networks, load, renew_text

CODEC = VAEConfig(latent=DIT.channels, encoder=(8, 12), decoder=(8, 12), blocks=(1, 1), patch=4, hint=True)
TEACHING = TeachingConfig(batch=4, chunk=1, windows=((4, 1),), drop_text=0.0, changed=3.0)
ROLLS = "The red ball starts rolling"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Latents of clips in which a ball rolls from 0.5 to 1.5 s, and of the same without; networks of random weights."""
    root = tmp_path_factory.mktemp("events")
    torch.manual_seed(0)
    native.save(root / "vae", {"vae": (VAE(CODEC), CODEC)})
    native.save(root / "nets", Networks.new(DIT, TEXT).parts())
    event_house.pairs(root / "clips", 2)
    encode(
        EncodeConfig(
            root / "clips", root / "vae", root / "z.safetensors", mirror=False, reverse=False, memory=MemoryConfig(), processes=1
        )
    )
    return root


def stage(root: Path, name: str, steps: int) -> EventsStage:
    run = RunConfig(root / name / "run", steps, save_seconds=None, save_steps=1, threads=1)
    return EventsStage(run, root / "z.safetensors", root / "nets", root / name / "out", root / "z.safetensors", teaching=TEACHING)


def test_events_are_told_while_they_go_on_and_for_a_second_at_least() -> None:
    light = Event("e1", "the light", "goes out", "", 1.0, 1.0)
    ball = Event("e2", "a ball", "rolls", "", 1.5, 4.0)
    both = (light, ball)
    assert [len(going_on(both, t, t)) for t in (0.9, 1.0, 1.4, 1.6, 1.99, 2.0, 3.9, 4.0)] == [0, 1, 1, 2, 2, 1, 1, 0]
    assert told(going_on(both, 1.6, 1.6)) == "The light goes out. A ball rolls"
    assert told(()) == ""


def test_each_latent_has_the_words_of_its_time(root: Path) -> None:
    data = LatentClips(root / "z.safetensors")
    data.drop_scene = 0.5
    seen: set[tuple[str, ...]] = set()
    for seed in range(20):
        known, prompts = data.batch(4, torch.Generator().manual_seed(seed))
        assert known.said is not None
        seen |= {tuple(prompts[i] for i in row) for row in known.said.tolist()}
    # Latent k is of video frames 4 k - 3 to 4 k at 16 frames a second; the ball rolls during frames 8 to 24.
    rolling = [k for k in range(9) if 4 * k >= 8 and 4 * (k - 1) < 24]
    for scene, still in (("Style: Game. A room.", "A room."), ("", "")):
        told_then = tuple(f"{scene} {ROLLS}".strip() if k in rolling else scene for k in range(9))
        assert told_then in seen
        assert (still,) * 9 in seen  # of the twins in which nothing happens
    assert len(seen) == 4


def test_the_scene_makes_room_for_what_happens(root: Path) -> None:
    data = LatentClips(root / "z.safetensors")
    data.words, data.drop_scene = 6, 0.5
    _, prompts = data.batch(32, torch.Generator().manual_seed(0))
    assert ROLLS in prompts
    assert max(len(split(p)) for p in prompts) <= 6


def test_rows_of_a_file_keep_their_events(root: Path) -> None:
    rows = Latents.load(root / "z.safetensors").rows
    assert {(len(r.events), r.caption) for r in rows} == {(1, "Style: Game. A room."), (0, "A room.")}


def test_a_frame_reads_its_own_words_alone() -> None:
    torch.manual_seed(0)
    nets = Networks.new(DIT, TEXT).double()
    for p in nets.parameters():
        torch.nn.init.normal_(p, std=0.2)
    camera = Camera(torch.eye(4).repeat(1, 3, 1, 1).double(), torch.tensor([0.7, 0.7, 0.5, 0.5]).repeat(1, 3, 1).double())
    frames = clean(torch.randn(1, 3, DIT.channels, 8, 8).double(), camera)
    twice = cat(frames, frames.with_z(torch.randn_like(frames.z), torch.ones(1, 3).double()))
    table = MaskedAttention(teacher_forced(3, 1, 3, 1))

    def velocity(prompts: list[str], said: list[int] | None) -> torch.Tensor:
        return nets(replace(twice, said=None if said is None else torch.tensor([said])), prompts, table).detach()

    same = velocity(["a room"], None)
    torch.testing.assert_close(velocity(["a room"], [0] * 6), same, rtol=0, atol=1e-12)
    # Other words for the last frame, in both halves: nothing before it hears of them.
    other = velocity(["a room", "it rains"], [0, 0, 1, 0, 0, 1])
    torch.testing.assert_close(other[:, [0, 1, 3, 4]], same[:, [0, 1, 3, 4]], rtol=0, atol=1e-12)
    assert float((other[:, 5] - same[:, 5]).abs().max()) > 1e-3
    # As at play: that frame alone has other words, the past has been told its own.
    torch.testing.assert_close(velocity(["it rains"], None)[:, 0], velocity(["a", "it rains"], [1, 0, 0, 1, 0, 0])[:, 0])


def test_where_something_changes_counts_more(tmp_path: Path) -> None:
    z = torch.zeros(1, 5, DIT.channels, 8, 8)
    z[:, 2:, :, 4, 6] = 0.8  # one place changes in the third latent, and stays so
    z[:, :, :, 0, 0] = 2.0  # another is never as memory says, but nothing changes there
    hint = torch.cat([torch.zeros_like(z), torch.ones(1, 5, 1, 8, 8)], 2)
    camera = Camera(torch.eye(4).repeat(1, 5, 1, 1), torch.ones(1, 5, 4))
    Latents(z.half(), camera, (LatentRow("a", "game", "room", 0),), "", hint.half()).save(tmp_path / "z.safetensors")
    plain = replace(TEACHING, batch=1, drop_hint=0.0, hint_noise=0.0)
    weight = teach(plain, LatentClips(tmp_path / "z.safetensors"), torch.Generator().manual_seed(1)).weight
    assert weight is not None
    expected = torch.ones(1, 5, 1, 8, 8)
    expected[0, 2, 0, 4, 6] = 1 + 3 * (0.8 - 0.3)
    torch.testing.assert_close(weight, expected, rtol=0, atol=2e-3)


def test_a_new_text_encoder_is_not_heard_at_first(root: Path) -> None:
    torch.manual_seed(1)
    nets = load(root / "nets")
    other = renew_text(nets, WordConfig(width=48, heads=2, layers=2, words=12, repeat=True))
    camera = Camera(torch.eye(4).repeat(1, 2, 1, 1), torch.ones(1, 2, 4))
    frames, table = clean(torch.randn(1, 2, DIT.channels, 8, 8), camera), MaskedAttention(torch.ones(2, 2, dtype=torch.bool))
    told, silent = (other(frames, [words], table) for words in ("it rains", ""))
    assert torch.equal(told, silent)
    assert other.dit.config == replace(DIT, text=48)
    for block in nets.dit.blocks:  # as if the old one had never been heard
        torch.nn.init.zeros_(block.text.o.weight)  # pyright: ignore
        torch.nn.init.zeros_(block.text.o.bias)  # pyright: ignore
    torch.testing.assert_close(told, nets(frames, ["it rains"], table))


def test_words_are_repeated_to_the_end() -> None:
    torch.manual_seed(0)
    once = WordEncoder(WordConfig(width=8, heads=2, words=7))
    again = WordEncoder(WordConfig(width=8, heads=2, words=7, repeat=True))
    again.load_state_dict(once.state_dict())
    prompts = ["it rains now", ""]
    a, b = once(prompts), again(prompts)
    assert torch.equal(b[0], a[0, [0, 1, 2, 0, 1, 2, 0]])
    assert torch.equal(b[1], torch.zeros(7, 8))


def test_a_killed_run_ends_as_a_whole_one(root: Path) -> None:
    event_tuning.main(stage(root, "whole", 4))
    event_tuning.main(stage(root, "killed", 2))
    event_tuning.main(stage(root, "killed", 4))
    for part in ("dit", "text"):
        a, b = (native.read(root / name / "out" / f"{part}.safetensors") for name in ("whole", "killed"))
        assert all(torch.equal(a[k], b[k]) for k in a)


def test_clips_without_events_are_refused(root: Path, tmp_path: Path) -> None:
    data = Latents.load(root / "z.safetensors")
    replace(data, rows=tuple(replace(r, events=()) for r in data.rows)).save(tmp_path / "plain.safetensors")
    with pytest.raises(ValueError, match="data: nothing happens in the clips"):
        event_tuning.main(replace(stage(root, "none", 1), data=tmp_path / "plain.safetensors"))
    assert not (root / "none" / "out").exists()


def test_more_files_are_drawn_from_and_must_have_events(root: Path, tmp_path: Path) -> None:
    once = replace(stage(root, "more", 3), out=tmp_path / "a")
    event_tuning.main(once)
    event_tuning.main(replace(once, more=(once.data,), out=tmp_path / "b", run=replace(once.run, folder=tmp_path / "b_run")))
    same = [(tmp_path / n / "dit.safetensors").read_bytes() for n in "ab"]
    assert same[0] == same[1], "the same file twice is the same file"
    event_house.pairs(tmp_path / "other", 1)
    encode(EncodeConfig(tmp_path / "other", root / "vae", tmp_path / "other.safetensors", memory=MemoryConfig(), processes=1))
    run = replace(once.run, folder=tmp_path / "c_run")
    event_tuning.main(replace(once, more=(tmp_path / "other.safetensors",), out=tmp_path / "c", run=run))
    assert (tmp_path / "c/dit.safetensors").read_bytes() != same[0]
    calm = Latents.load(root / "z.safetensors")
    replace(calm, rows=tuple(replace(r, events=()) for r in calm.rows)).save(tmp_path / "calm.safetensors")
    with pytest.raises(ValueError, match=r"^more: nothing happens"):
        event_tuning.main(replace(once, more=(tmp_path / "calm.safetensors",), out=tmp_path / "d"))
    assert not (tmp_path / "d").exists()


def test_words_that_name_no_frame_are_refused() -> None:
    camera = Camera(torch.eye(4).repeat(1, 3, 1, 1), torch.ones(1, 3, 4))
    with pytest.raises(ValueError, match="said"):
        Frames(torch.zeros(1, 3, 2, 4, 4), torch.zeros(1, 3), torch.zeros(1, 3), camera, said=torch.zeros(1, 2))
