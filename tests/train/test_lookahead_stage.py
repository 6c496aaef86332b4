"""Learning to look ahead: what memory shows of later latents is encoded, and batches ask for those latents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import micro
from dreamx.checkpoints import native
from dreamx.data.encode import EncodeConfig, Latents, encode
from dreamx.memory import MemoryConfig
from dreamx.model.depth_net import Depth, DepthConfig
from dreamx.model.place_field import PlaceFieldConfig
from dreamx.model.vae import VAE, VAEConfig
from dreamx.train.latents import LatentClips
from dreamx.train.teacher_forcing import TeachingConfig, teach
from moving_clips import moving_clip

CODEC = VAEConfig(latent=4, encoder=(8, 12), decoder=(8, 12), blocks=(1, 1), patch=4, hint=True)
DEEP = DepthConfig(widths=(16, 32), blocks=(1, 1), heads=2)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> EncodeConfig:
    """A folder of two clips, and networks of random weights."""
    root = tmp_path_factory.mktemp("ahead")
    torch.manual_seed(0)
    vae, deep = VAE(CODEC), Depth(DEEP)
    for p in (*vae.parameters(), *deep.parameters()):
        torch.nn.init.normal_(p, std=0.1)
    native.save(root / "vae", {"vae": (vae, CODEC)})
    native.save(root / "deep", {"depth": (deep, DEEP)})
    (root / "clips").mkdir()
    for i in range(2):
        moving_clip(i, 25, "j").save(root / "clips" / f"{i}.safetensors")
    memory = MemoryConfig(views=2)
    return EncodeConfig(
        root / "clips", root / "vae", root / "x.safetensors", mirror=False, reverse=False, memory=memory, processes=1
    )


def beside(cfg: EncodeConfig, name: str) -> Path:
    """A file of that name in the folder that latents go to."""
    assert cfg.out is not None
    return cfg.out.with_name(name)


def made(cfg: EncodeConfig, name: str, ahead: tuple[int, int] | None, depth: bool = False) -> Latents:
    deep = cfg.vae.parent / "deep" if depth else None
    return encode(replace(cfg, out=beside(cfg, f"{name}.safetensors"), ahead=ahead, depth=deep))


def test_one_latent_ahead_is_the_next_one(clips: EncodeConfig) -> None:
    one = made(clips, "one", (1, 1))
    assert one.hint is not None and one.ahead is not None and one.to is not None
    assert one.to[:, 1:].tolist() == [list(range(1, 7))] * 2
    assert torch.equal(one.ahead, one.hint)


def test_further_ahead_memory_knows_less_and_the_file_keeps_it(clips: EncodeConfig) -> None:
    far = made(clips, "far", (3, 5))
    assert far.hint is not None and far.ahead is not None and far.to is not None
    early = slice(1, 4)  # later ones are cut off at the end of the clip
    assert bool((far.to[:, early] - torch.arange(1, 4) >= 2).all()) and int(far.to.max()) == 6
    assert float(far.ahead[:, early, -1].float().mean()) < float(far.hint[:, early, -1].float().mean())
    again = Latents.load(beside(clips, "far.safetensors"))
    assert again.ahead is not None and again.to is not None
    assert torch.equal(again.ahead, far.ahead) and torch.equal(again.to, far.to)


def test_the_depth_of_the_opening_changes_what_memory_shows(clips: EncodeConfig) -> None:
    plain, deep = made(clips, "plain", None), made(clips, "deep", None, depth=True)
    assert plain.hint is not None and deep.hint is not None and plain.ahead is None
    assert torch.equal(plain.z, deep.z) and not torch.equal(plain.hint, deep.hint)


def test_a_batch_asks_for_frames_further_on_from_the_same_past(clips: EncodeConfig) -> None:
    made(clips, "batch", (3, 5))
    data = LatentClips(beside(clips, "batch.safetensors"), 4)
    plain = TeachingConfig(batch=6, chunk=1, windows=((4, 1),), drop_hint=0.0)
    now, then = (teach(replace(plain, ahead=share), data, torch.Generator().manual_seed(1)) for share in (0.0, 1.0))
    assert torch.equal(now.noisy.index, then.noisy.index)
    poses = now.noisy.camera.pose, then.noisy.camera.pose
    assert torch.equal(poses[0][:, 0], poses[1][:, 0])  # the frame that opens stays
    assert not torch.equal(poses[0][:, 1:], poses[1][:, 1:])
    assert torch.equal(then.past.camera.pose, now.past.camera.pose)
    # The velocity belongs to the frame that the camera names: taken out of its noise, that frame is in the file.
    clean = then.noise - then.target
    flat = data.z.float().flatten(0, 1).flatten(1)
    gap = torch.cdist(clean[:, 1:].flatten(0, 1).flatten(1), flat).amin(1)
    assert float(gap.max()) < 1e-2


def test_fields_of_a_place_go_before_memory(clips: EncodeConfig, tmp_path: Path) -> None:
    """Of the clip in the place all is known, as the field shows it; of the other, and in a mirror, what memory shows."""
    names = ("here", "elsewhere")
    (tmp_path / "clips").mkdir()
    for i, name in enumerate(names):
        replace(moving_clip(i, 25, "j"), scene=name).save(tmp_path / "clips" / f"{i}.safetensors")
    torch.manual_seed(0)
    field = micro.field(PlaceFieldConfig(("here",), (8.0,), cells=8, layers=4, samples=8, levels=(4,), entries=64, sky=(4, 8)))
    native.save(tmp_path / "fields", {"places": (field, field.config)})
    plain = replace(clips, clips=tmp_path / "clips", out=tmp_path / "plain.safetensors", mirror=True)
    before, after = encode(plain), encode(replace(plain, out=tmp_path / "x.safetensors", places=tmp_path / "fields"))
    assert before.hint is not None and after.hint is not None
    for row, x, y in zip(after.rows, before.hint, after.hint, strict=True):
        at_home = row.scene == "here" and "mirror" not in row.variant
        assert torch.equal(x, y) != at_home
        assert bool((y[1:, -1] == 1).all()) or not at_home
    assert torch.equal(before.z, after.z)
    again = encode(replace(plain, out=tmp_path / "x.safetensors", places=tmp_path / "fields"))
    assert again.made == after.made != before.made
    with pytest.raises(ValueError, match="places goes with memory"):
        replace(plain, memory=None, places=tmp_path / "fields")
