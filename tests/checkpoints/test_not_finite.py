"""NaN and infinity leave on no way out: one sentence names the tensor, and nothing is half written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dreamx import cli
from dreamx.checkpoints import native, official_names, weight_files
from dreamx.model.broken import refuse_broken
from dreamx.model.vae import to_bytes
from dreamx.model.word_encoder import WordConfig, WordEncoder
from official_small import CAUSAL, save, theirs
from test_convert_refuses import refused
from test_parts import OFFICIAL, text_weights

ONE = "blocks.1.ffn.0.weight"
DIFFUSERS = "blocks.1.ffn.net.0.proj.weight"


def broken(tensors: dict[str, Tensor], name: str, value: float) -> dict[str, Tensor]:
    changed = {k: x.clone() for k, x in tensors.items()}
    changed[name].flatten()[3] = value
    return changed


def config(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(official_names.write_config(*CAUSAL)))
    return folder


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("to", ["dreamx", "official", "official-pth", "diffusers"])
def test_every_layout(tmp_path: Path, capsys: pytest.CaptureFixture[str], to: str, value: float) -> None:
    file = save(config(tmp_path / "w") / "w.safetensors", broken(theirs("causal"), ONE, value))
    err = refused(capsys, file, "--to", to)
    assert f"{DIFFUSERS if to == 'diffusers' else ONE!r}".strip("'") in err and "holds NaN or infinity" in err


@pytest.mark.parametrize("to", ["dreamx", "official", "official-pth", "diffusers"])
def test_what_is_too_large_for_a_dtype(tmp_path: Path, capsys: pytest.CaptureFixture[str], to: str) -> None:
    file = save(config(tmp_path / "w") / "w.safetensors", broken(theirs("causal"), ONE, 7e4))
    assert "has numbers too large for float16" in refused(capsys, file, "--to", to, "--dtype", "float16")


@pytest.mark.parametrize("to", ["dreamx", "official-pth", "diffusers"])
def test_the_other_networks(tmp_path: Path, capsys: pytest.CaptureFixture[str], to: str) -> None:
    for name, tensors in (("decoder.conv1.bias", OFFICIAL), ("blocks.1.norm2.weight", text_weights())):
        (tmp_path / "w").mkdir(exist_ok=True)
        file = save(tmp_path / "w" / f"{name}.safetensors", broken(tensors, name, float("nan")))
        assert "holds NaN or infinity" in refused(capsys, file, "--to", to)


def test_a_merge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of factors that are numbers, and whose product is none in the dtype of the weights."""
    half = {k: x.half() for k, x in theirs("causal").items()}
    file = save(config(tmp_path / "w") / "w.safetensors", half)
    layer = ONE.removesuffix(".weight")
    pair = {f"{layer}.lora_A.weight": torch.full((1, 48), 300.0), f"{layer}.lora_B.weight": torch.full((96, 1), 300.0)}
    lora = save(tmp_path / "lora.safetensors", pair)
    for to in ("dreamx", "official"):
        err = refused(capsys, file, "--to", to, "--lora", str(lora), "--merge", "1")
        assert ONE in err and "NaN or infinity" in err
    assert "--merge" in refused(capsys, file, "--lora", str(lora), "--merge", "nan")


def test_a_folder_of_folders_is_not_left_behind(tmp_path: Path) -> None:
    file = save(config(tmp_path / "w") / "w.safetensors", broken(theirs("causal"), ONE, float("nan")))
    with pytest.raises(SystemExit):
        cli.main(["convert", str(file), "--out", str(tmp_path / "a" / "b" / "c")])
    assert not (tmp_path / "a").exists()


def test_a_network_of_ours_that_is_broken_is_not_opened(tmp_path: Path) -> None:
    net = WordConfig(8, 2, 1, 16, 4)
    native.save(tmp_path, {"text": (WordEncoder(net), net)})
    file = tmp_path / "text.safetensors"
    tensors = weight_files.read(file)
    name = next(k for k, x in tensors.items() if x.numel() > 3 and x.is_floating_point())
    save_file(broken(tensors, name, float("nan")), file)
    with pytest.raises(ValueError, match=f"text.safetensors: '{name}' holds NaN or infinity"):
        native.load_into(WordEncoder(net), file)


def test_pictures_and_latents() -> None:
    with pytest.raises(ValueError, match="NaN or infinity instead of pictures"):
        to_bytes(torch.tensor([0.0, float("nan")]))
    assert to_bytes(torch.tensor([-1.0, 0.0, 1.0])).tolist() == [0, 128, 255]
    net = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match="in step 1 the network makes NaN or infinity; try float32"):
        refuse_broken(torch.tensor(float("inf")), "in step 1", net)
    with torch.no_grad():
        net.bias[0] = float("nan")
    with pytest.raises(ValueError, match="since its weight 'bias' holds some"):
        refuse_broken(torch.tensor(float("nan")), "in step 1", net)
    refuse_broken(torch.zeros(1), "in step 1", net)
