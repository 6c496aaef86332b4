"""Encoding for released checkpoints: latents by the autoencoder of Wan2.2, and captions embedded by umT5 beside them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import finetune_house
import micro
from dreamx.checkpoints import components
from dreamx.clip import Clip
from dreamx.convert import ConvertConfig, convert
from dreamx.data import text_embeddings
from dreamx.data.encode import EncodeConfig, encode
from dreamx.data.latent_file import Latents
from dreamx.data.text_embeddings import TextEmbeddings, file_beside
from dreamx.memory import MemoryConfig
from dreamx.model.umt5 import UMT5
from dreamx.model.wan_vae import WanVAE


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("house")
    finetune_house.stand_in(root)
    finetune_house.clips(root, 3)
    return root


def config(house: Path, out: Path, text: Path | None = None) -> EncodeConfig:
    world = house / "causal"
    return EncodeConfig(house / "clips", world, out / "l.safetensors", reverse=False, text=text or world, processes=1)


def test_latents_cameras_and_captions(house: Path, tmp_path: Path) -> None:
    made = encode(config(house, tmp_path))
    read = Latents.load(tmp_path / "l.safetensors")
    assert torch.equal(read.z, made.z)
    vae_part = components.read(house / "causal/Wan2.2_VAE.pth", "vae")
    text_part = components.read(house / "causal/models_t5_umt5-xxl-enc-bf16.pth", "text_encoder")
    assert vae_part is not None and text_part is not None
    vae, text = components.build(vae_part), components.build(text_part)
    assert isinstance(vae, WanVAE) and isinstance(text, UMT5)
    clip = Clip.load(sorted((house / "clips").iterdir())[0])
    row = next(i for i, r in enumerate(read.rows) if r.caption == clip.caption and not r.variant)
    with torch.no_grad():
        z = vae.encode(clip.video[None].float() / 127.5 - 1)[0]
    assert float((read.z[row] - z).abs().max()) < 2e-3 * float(z.abs().max())
    assert read.path is not None
    assert torch.equal(read.path.pose[row], clip.camera.pose)
    assert read.path.pose.shape == (len(read.rows), 21, 4, 4)
    words = TextEmbeddings.load(file_beside(tmp_path / "l.safetensors"))
    assert words.rows.keys() == {r.caption for r in read.rows} | {""}
    assert {x.dtype for x in words.rows.values()} == {torch.bfloat16}
    given = [clip.caption, ""]
    with torch.no_grad():
        said = text(given)
    again = words.batch(given, 512)
    assert again.shape == said.shape
    assert float((again - said).abs().max()) < 2**-8 * float(said.abs().max())
    assert bool((again[1, 1:] == 0).all()) and bool((again[1, 0] != 0).any())
    half = encode(replace(config(house, tmp_path / "half"), text_dtype="float16", most=1))
    assert half.vae == made.vae
    assert TextEmbeddings.load(file_beside(tmp_path / "half/l.safetensors")).rows[""].dtype == torch.float16


def test_other_layouts_are_the_same_autoencoder(house: Path, tmp_path: Path) -> None:
    for layout in ("dreamx", "diffusers"):
        convert(ConvertConfig(house / "causal/Wan2.2_VAE.pth", tmp_path / f"{layout}-vae", to=layout))
        text = house / "causal/models_t5_umt5-xxl-enc-bf16.pth"
        convert(ConvertConfig(text, tmp_path / f"{layout}-text", to=layout, part="text_encoder"))
    one = encode(replace(config(house, tmp_path / "0"), most=1))
    for layout in ("dreamx", "diffusers"):
        cfg = replace(config(house, tmp_path / layout, tmp_path / f"{layout}-text"), vae=tmp_path / f"{layout}-vae", most=1)
        other = encode(cfg)
        assert other.vae == one.vae
        assert float((other.z - one.z).abs().max()) < 1e-2
        words = [TextEmbeddings.load(file_beside(tmp_path / name / "l.safetensors")) for name in ("0", layout)]
        assert words[0].encoder == words[1].encoder


def test_killed_among_captions_it_goes_on(house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_embeddings, "_TOGETHER", 1)
    encode(config(house, tmp_path / "whole"))
    one, said = text_embeddings.Reader._one, list[str]()  # pyright: ignore[reportPrivateUsage]

    def counted(self: text_embeddings.Reader, caption: str) -> torch.Tensor:
        said.append(caption)
        if len(said) == 3:
            raise KeyboardInterrupt
        return one(self, caption)

    with monkeypatch.context() as m:
        m.setattr(text_embeddings.Reader, "_one", counted)
        with pytest.raises(KeyboardInterrupt):
            encode(config(house, tmp_path / "cut"))
        assert not (tmp_path / "cut/l.safetensors").exists()
        encode(config(house, tmp_path / "cut"))
    captions = TextEmbeddings.load(file_beside(tmp_path / "whole/l.safetensors")).rows
    assert len(said) == len(captions) + 1, "only the caption that it was killed at is read twice"
    for name in ("l.safetensors", "l.text.safetensors"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    file_beside(tmp_path / "cut/l.safetensors").unlink()
    encode(config(house, tmp_path / "cut"))  # latents alone are half of it
    assert file_beside(tmp_path / "cut/l.safetensors").is_file()


def test_fields_of_the_other_kind_are_refused(house: Path, tmp_path: Path) -> None:
    micro.world().export(tmp_path / "world")
    good = config(house, tmp_path / "new")
    for cfg, words in (
        (replace(good, memory=MemoryConfig()), "memory: the autoencoder of Wan2.2 sees no depth"),
        (replace(good, vae=tmp_path / "world"), "text: worlds of this autoencoder have a text encoder of their own"),
        (replace(good, text=house / "causal/Wan2.2_VAE.pth"), "text: .* holds no text encoder"),
        (replace(good, vae=house / "causal/model.safetensors"), "vae: .* holds no autoencoder"),
    ):
        with pytest.raises(ValueError, match=words):
            encode(cfg)
        assert not (tmp_path / "new").exists(), words
    with pytest.raises(ValueError, match="text_dtype goes with text"):
        replace(good, text=None, text_dtype="float16")
