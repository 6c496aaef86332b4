"""The autoencoder and the text encoder of the released models on disk, in every layout and back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from dreamx import cli
from dreamx.checkpoints import components, native, umt5_names, wan_vae_names, weight_files
from dreamx.conformance.vectors import read as read_vectors
from dreamx.convert import ConvertConfig, convert
from dreamx.model import umt5, wan_vae
from dreamx.model.dit import DiT, DiTConfig
from dreamx.model.umt5 import UMT5, UMT5Config
from dreamx.model.vae import VAE, VAEConfig
from dreamx.model.wan_vae import WanVAE, WanVAEConfig
from dreamx.model.word_encoder import WordConfig, WordEncoder
from repo import TESTS

To = Literal["dreamx", "official-pth", "diffusers"]
OFFICIAL = read_vectors(TESTS / "files/wan22_vae.safetensors").weights()
TEXT = UMT5Config(rows=40, width=24, heads=3, head=4, mlp=36, layers=2)


def text_weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    shapes = umt5.shapes(TEXT)
    return {a: torch.randn(shapes[b]) for a, b in umt5_names.names(TEXT).items()}


def released(folder: Path) -> tuple[Path, Path]:
    """A folder as it was released: both files, and the tokenizer where it lies."""
    (folder / "google/umt5-xxl").mkdir(parents=True)
    (folder / "google/umt5-xxl/tokenizer.json").write_text("{}")
    vae, text = folder / "Wan2.2_VAE.pth", folder / "models_t5_umt5-xxl-enc-bf16.pth"
    torch.save(OFFICIAL, vae)
    torch.save({k: x.bfloat16() for k, x in text_weights().items()}, text)
    return vae, text


def through(folder: Path, source: Path, steps: list[To]) -> Path:
    for i, to in enumerate(steps):
        out = folder / f"{i}-{to}"
        convert(ConvertConfig(source, out, to, shard=2e-5))
        source = out
    return source


@pytest.mark.parametrize(
    "steps",
    [
        ["official-pth"],
        ["dreamx", "official-pth"],
        ["diffusers", "official-pth"],
        ["dreamx", "diffusers", "dreamx", "official-pth"],
    ],
)
def test_round_trips_are_bit_equal(tmp_path: Path, steps: list[To]) -> None:
    vae, text = released(tmp_path / "released")
    lasts = [through(tmp_path / "vae", vae, steps), through(tmp_path / "text", text, steps)]
    for source, last in zip((vae, text), lasts, strict=True):
        was, now = weight_files.read(source), weight_files.read(last)
        assert was.keys() == now.keys()
        assert all(torch.equal(now[k], x) and now[k].dtype == x.dtype for k, x in was.items())
    assert (lasts[1] / "google/umt5-xxl/tokenizer.json").read_text() == "{}"
    assert sorted(p.name for p in tmp_path.rglob(".*")) == []


def _inside(folder: Path) -> Path:
    found = [folder / name for name in ("vae", "text_encoder") if (folder / name).is_dir()]
    return found[0] if found else folder


@pytest.mark.parametrize("steps", [[], ["dreamx"], ["diffusers"]])
def test_whatever_the_layout_it_is_the_same_network(tmp_path: Path, steps: list[To]) -> None:
    vae, text = (_inside(through(tmp_path / str(i), s, steps)) for i, s in enumerate(released(tmp_path / "released")))
    one, two = components.read(vae), components.read(text)
    assert one is not None
    assert two is not None
    assert (one.name, two.name) == ("vae", "text")
    assert two.tokenizer is not None
    assert two.tokenizer.read_text() == "{}"
    net = components.build(one)
    assert isinstance(net, WanVAE)
    config = wan_vae_names.config_of(OFFICIAL)
    want = wan_vae.load(wan_vae_names.from_official(OFFICIAL, config), config)
    z = torch.randn(1, 2, 6, 2, 3)
    with torch.inference_mode():
        assert torch.equal(net.decode(z).rgb, want.decode(z).rgb)
        words = components.build(components.CheckpointPart(two.tensors, two.config), dtype=torch.float32)
        assert isinstance(words, UMT5)
        plain = {k: x.bfloat16().float() for k, x in text_weights().items()}
        assert torch.equal(words.encode([[3, 1]]), umt5.load(umt5_names.from_official(plain, TEXT), TEXT, None).encode([[3, 1]]))


def test_our_folder_says_which_network_it_holds(tmp_path: Path) -> None:
    vae, text = released(tmp_path / "released")
    assert isinstance(components.open_vae(through(tmp_path / "a", vae, ["dreamx"])), WanVAE)
    ours = through(tmp_path / "b", text, ["dreamx"])
    assert "umT5" in (ours / "README.md").read_text()
    (ours / "tokenizer.json").unlink()
    assert isinstance(components.open_text(ours), UMT5)
    small, words = VAEConfig(4, (8,), (8,), (1,)), WordConfig(8, 2, 1, 16, 4)
    native.save(tmp_path / "c", {"vae": (VAE(small), small), "text": (WordEncoder(words), words)})
    assert isinstance(components.open_vae(tmp_path / "c"), VAE)
    assert isinstance(components.open_text(tmp_path / "c"), WordEncoder)


def test_a_transformer_and_whatever_else_is_left_to_others(tmp_path: Path) -> None:
    config = DiTConfig(4, 24, 2, 1, 48, 16)
    native.save(tmp_path / "ours", {"dit": (DiT(config), config), "text": (nn.Linear(1, 1), TEXT)})
    save_file({"patch_embedding.weight": torch.zeros(1)}, tmp_path / "dit.safetensors")
    assert components.read(tmp_path / "dit.safetensors") is None


@pytest.mark.parametrize("which", ["vae", "text"])
def test_what_is_not_whole_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str], which: str) -> None:
    vae, text = released(tmp_path / "released")
    source = vae if which == "vae" else text
    lost = "decoder.conv1.bias" if which == "vae" else "blocks.1.norm2.weight"
    ours = through(tmp_path / "a", source, ["dreamx"])
    cut, less = tmp_path / "cut.pth", tmp_path / "less.pth"
    cut.write_bytes(source.read_bytes()[:-5000])
    torch.save({k: x for k, x in weight_files.read(source).items() if k != lost}, less)
    file = next(ours.glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-100])
    for path, said in (
        (cut, "cut short"),
        (less, f"'{lost}' is missing"),
        (ours, "cut short"),
        (tmp_path / "released", "name the one to read"),
    ):
        assert said in refused(capsys, path, tmp_path / "out")


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Both networks in every layout."""
    folder = tmp_path_factory.mktemp("layouts")
    steps: tuple[list[To], ...] = (["dreamx"], ["official-pth"], ["diffusers"])
    sources = released(folder / "released")
    return [through(folder / f"{i}{name}", s, x) for i, s in enumerate(sources) for x in steps for name in x]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_file_cut_anywhere(layouts: list[Path], data: st.DataObject) -> None:
    folder = data.draw(st.sampled_from(layouts), "folder")
    file = data.draw(st.sampled_from(sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "README.md")), "file")
    whole = file.read_bytes()
    few = st.integers(0, min(40, len(whole) - 1))
    keep = data.draw(st.one_of(st.integers(0, len(whole) - 1), few, few.map(lambda n: len(whole) - 1 - n)), "bytes kept")
    out = folder.parent / "out"
    try:
        file.write_bytes(whole[:keep])
        if whole[keep:] == b"\n":
            assert components.read(folder) is not None  # the last line break of JSON is no loss
            return
        with pytest.raises(ValueError, match=re.escape(file.name)) as e:
            convert(ConvertConfig(folder, out))
        assert len(str(e.value).splitlines()) == 1
        assert not out.exists()
    finally:
        file.write_bytes(whole)


def test_a_deleted_file(layouts: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    for folder in layouts:
        for file in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".md"):
            if file.name in ("tokenizer.json", "config.json") or file.name.endswith(".index.json"):
                continue  # weights are whole without: shards say themselves how many they are, and shapes what sizes
            whole = file.read_bytes()
            file.unlink()
            try:
                err = refused(capsys, folder, folder.parent / "out")
                assert file.name in err or "holds no checkpoint" in err or "no file" in err, err
            finally:
                file.write_bytes(whole)


def test_swapped_files(layouts: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    """The weights of one network under the name of the other, and beside its config."""
    vae, text = layouts[:3], layouts[3:]
    for one, other, said in (
        (vae[0] / "vae.safetensors", text[0] / "text.safetensors", "these are text encoder weights, not an autoencoder"),
        (text[0] / "text.safetensors", vae[0] / "vae.safetensors", "has no place in the text encoder umT5"),
        (vae[2] / "vae/config.json", text[2] / "text_encoder/config.json", "z_dim: is missing"),
        (text[2] / "text_encoder/config.json", vae[2] / "vae/config.json", "model_type: the text encoder"),
    ):
        whole = one.read_bytes()
        try:
            one.write_bytes(other.read_bytes())
            err = refused(capsys, one.parent, one.parent / "out")
            assert said in err
            assert str(one) in err
        finally:
            one.write_bytes(whole)


def refused(capsys: pytest.CaptureFixture[str], source: Path, out: Path) -> str:
    """What the command says: one sentence, exit code 2, and nothing is written."""
    with pytest.raises(SystemExit) as left:
        cli.main(["convert", str(source), "--out", str(out)])
    err = capsys.readouterr().err
    assert left.value.code == 2
    assert len(err.splitlines()) == 1
    assert not out.exists()
    return err


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vae, text = released(tmp_path / "released")
    cli.main(["convert", str(vae), "--out", str(tmp_path / "vae"), "--dtype", "bfloat16"])
    assert "an autoencoder of Wan2.2; 6 channels, 16x16 pixels a place" in capsys.readouterr().out
    assert {x.dtype for x in weight_files.mapped(tmp_path / "vae/vae.safetensors").values()} == {torch.bfloat16}
    (tmp_path / "released/google/umt5-xxl/tokenizer.json").unlink()
    cli.main(["convert", str(text), "--out", str(tmp_path / "text")])
    assert "copy the tokenizer.json of google/umt5-xxl" in capsys.readouterr().out
    for flags, said in ((["--to", "official"], "say official-pth"), (["--merge", "1"], "no transformer; leave them out")):
        with pytest.raises(SystemExit):
            cli.main(["convert", str(vae), "--out", str(tmp_path / "no"), *flags])
        assert said in capsys.readouterr().err


def test_a_wan21_autoencoder_is_told_apart(tmp_path: Path) -> None:
    save_file(
        {"encoder.conv1.weight": torch.zeros(1), "encoder.downsamples.0.residual.0.gamma": torch.zeros(1)},
        tmp_path / "a.safetensors",
    )
    with pytest.raises(ValueError, match="Wan2.1"):
        components.read(tmp_path / "a.safetensors")
    assert WanVAEConfig().latent == 48
