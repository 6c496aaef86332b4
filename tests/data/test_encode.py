"""Clips to latents: rows of every variant, and runs that were killed. (What a variant is: ``test_variants``.)"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

import micro
from dreamx.checkpoints import native
from dreamx.data import dataset
from dreamx.data import encode as encoding
from dreamx.data.clip_list import ListedClip
from dreamx.data.encode import EncodeConfig, Latents, encode
from dreamx.events import Event, Story
from dreamx.geometry.camera import relative_to
from dreamx.memory import MemoryConfig
from dreamx.model.vae import VAE, fingerprint
from dreamx.session import find
from dreamx.world import World
from moving_clips import MICRO, moving_clip
from repo import TESTS


@pytest.fixture
def folders(tmp_path: Path) -> EncodeConfig:
    (tmp_path / "clips").mkdir()
    for seed in range(2):
        moving_clip(seed, 9).save(tmp_path / "clips" / f"{seed}.safetensors")
    torch.manual_seed(0)
    native.save(tmp_path / "vae", {"vae": (VAE(MICRO), MICRO)})
    return EncodeConfig(tmp_path / "clips", tmp_path / "vae", tmp_path / "latents.safetensors")


def test_encode_writes_every_variant_of_every_clip(folders: EncodeConfig) -> None:
    encode(folders)
    with safe_open(folders.out, "pt") as f:
        z, pose, lens, words = f.get_tensor("z"), f.get_tensor("pose"), f.get_tensor("lens"), json.loads(f.metadata()["latents"])
    assert (z.shape, z.dtype) == ((8, 3, 4, 4, 4), torch.float16)
    assert (pose.shape, lens.shape) == ((8, 3, 4, 4), (8, 3, 4))
    rows = words["clips"]
    assert [(r["seed"], r["variant"]) for r in rows[3:5]] == [(0, "mirror reverse"), (1, "")]
    assert rows[0]["style"] == "game"
    vae = VAE(MICRO)
    native.load_into(vae, folders.vae / "vae.safetensors")
    assert words["vae"] == fingerprint(vae)
    clip = moving_clip(1, 9)
    with torch.no_grad():
        want = vae.encode(clip.video[None].float() / 127.5 - 1)[0]
    torch.testing.assert_close(z[4].float(), want, rtol=0, atol=2e-3)
    torch.testing.assert_close(pose[4], clip.camera.pose[::4])


def test_what_moves_is_not_reversed_and_what_cannot_be_said_is_not_mirrored(
    folders: EncodeConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    ball = Event("e1", "the ball", "rolls to the left", "", 0.1, 0.4)
    replace(moving_clip(0, 9), story=Story("A hall.", events=(ball,))).save(folders.clips / "0.safetensors")
    replace(moving_clip(1, 9), caption="The right lamp is lit.").save(folders.clips / "1.safetensors")
    moving_clip(2, 9).save(folders.clips / "2.safetensors")
    made = encode(replace(folders, processes=1))
    variants = [(row.seed, row.variant) for row in made.rows]
    assert variants == [
        (0, ""), (0, "mirror"), (1, ""), (1, "reverse"), (2, ""), (2, "mirror"), (2, "reverse"), (2, "mirror reverse"),
    ]  # fmt: skip
    assert len(made.z) == len(made.camera.pose) == 8
    said = capsys.readouterr().out
    assert "1 of 3 clips are not mirrored" in said and "1 of 3 clips are not reversed" in said


def test_encode_refuses_unequal_clips_and_writes_nothing(folders: EncodeConfig) -> None:
    moving_clip(3, 13).save(folders.clips / "3.safetensors")
    with pytest.raises(ValueError, match="frames"):
        encode(folders)
    assert folders.out is not None and not folders.out.exists()


def test_a_dataset_is_encoded_like_a_folder_into_latents_named_by_the_autoencoder(folders: EncodeConfig, tmp_path: Path) -> None:
    clips = [(str(seed), moving_clip(seed, 9)) for seed in range(2)]
    dataset.write(str(tmp_path / "dataset"), clips, dataset.Coding(crf=None))
    cfg = replace(folders, clips=tmp_path / "dataset", out=None, processes=1)
    want, got = encode(folders), encode(cfg)
    assert torch.equal(want.z, got.z) and want.rows == got.rows
    file = tmp_path / "dataset/latents" / f"{got.vae}.safetensors"
    assert torch.equal(Latents.load(file).z, got.z)
    assert len(dataset.read(str(tmp_path / "dataset"))) == 2


def test_an_encoding_that_was_killed_goes_on(folders: EncodeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(2, 10):
        moving_clip(seed, 9).save(folders.clips / f"{seed}.safetensors")
    cfg = replace(folders, processes=1)
    encode(cfg)
    assert cfg.out is not None
    whole = cfg.out.read_bytes()
    cfg.out.unlink()
    real, calls = encoding._encode, list[int]()

    def killed(cfg: EncodeConfig, some: list[ListedClip], out: Path) -> None:
        calls.append(len(some))
        if len(calls) == 2:
            raise SystemExit
        real(cfg, some, out)

    monkeypatch.setattr(encoding, "_encode", killed)
    with pytest.raises(SystemExit):
        encode(cfg)
    assert cfg.out is not None and not cfg.out.exists()
    encode(cfg)
    assert calls == [8, 2, 2] and cfg.out.read_bytes() == whole
    assert sorted(p.name for p in cfg.out.parent.iterdir()) == ["clips", "latents.safetensors", "vae"]


def test_hints_of_a_world_that_walks_itself_are_those_of_its_session(tmp_path: Path) -> None:
    own = micro.world(memory=MemoryConfig(views=1))
    own.export(tmp_path / "world")
    (tmp_path / "clips").mkdir()
    for seed in range(2):
        moving_clip(seed, 13).save(tmp_path / "clips" / f"{seed}.safetensors")
    cfg = EncodeConfig(tmp_path / "clips", tmp_path / "world", tmp_path / "own.safetensors", mirror=False, processes=1)
    made = encode(replace(cfg, world=str(tmp_path / "world")))
    true = encode(replace(cfg, out=tmp_path / "true.safetensors", memory=MemoryConfig(views=1)))
    assert made.hint is not None and true.hint is not None
    assert torch.equal(made.z, true.z) and made.hint.shape == true.hint.shape
    clip, world = moving_clip(1, 13), World.open(tmp_path / "world")
    row = [r.seed for r in made.rows].index(1)
    world.reset(clip.video[0], clip.caption, 1)
    assert not made.hint[row, 0].any(), "of the first latent nothing is remembered"
    for t in (1, 2, 3):
        dream = world.follow(relative_to(clip.camera, clip.camera[:1])[4 * t - 3 : 4 * t + 1])
        assert dream.frames.hint is not None and dream.frames.hint[..., -1, :, :].any()
        assert torch.equal(made.hint[row, t], dream.frames.hint[0, 0].half())
        world.decode(dream)
    assert (made.hint[row, 3] - true.hint[row, 3]).abs().max() > 0.1, "its copies are not those of true latents"


def test_a_world_that_cannot_walk_the_clips_is_refused(folders: EncodeConfig, tmp_path: Path) -> None:
    micro.world(memory=MemoryConfig()).export(tmp_path / "other")
    micro.world().export(tmp_path / "blind")
    wrong = (
        (lambda: replace(folders, world=str(tmp_path / "other"), memory=MemoryConfig()), "memory does not go with world"),
        (lambda: encode(replace(folders, world=str(tmp_path / "other"))), "world: .* has another autoencoder than"),
        (lambda: encode(replace(folders, world="nowhere")), "nowhere"),
        (
            lambda: encode(replace(folders, clips=TESTS / "files/micro", vae=find("tiny"), world="tiny")),
            "its pictures are 64 x 64, and",
        ),
        (lambda: encode(replace(folders, vae=tmp_path / "blind", world=str(tmp_path / "blind"))), "world: .* has no memory"),
    )
    for do, said in wrong:
        with pytest.raises(ValueError, match=said):
            do()
    assert folders.out is not None and not folders.out.exists()
