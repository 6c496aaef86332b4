"""``dreamx generate`` makes the same video of repacked weights, and none of broken ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dreamx import released
from dreamx.checkpoints import components, official_names, transformer, weight_files
from dreamx.generate import main
from dreamx.geometry.official import autoregressive
from test_generate_released import ROWS, SIZES, config, folders, source  # pyright: ignore[reportUnusedImport]

__all__ = ["folders"]  # the fixture
Stored = dict[str, Tensor]


def packed(tensors: Stored) -> tuple[Stored, Stored]:
    """Matrices of blocks in float8 with a scale, other matrices in 16 bits, the rest in 32; and what that means."""
    stored, means = Stored(), Stored()
    for name, x in tensors.items():
        if x.ndim == 2 and "block" in name and "relative" not in name:
            scale = x.abs().max() / 448
            stored |= {name: (x / scale).to(torch.float8_e4m3fn), f"{name}_scale": scale}
            means[name] = (stored[name].float() * scale).bfloat16()
        else:
            stored[name] = means[name] = x.half() if x.ndim == 2 else x
    return stored, means


def repacked(folder: Path, world: Path, together: bool) -> Path:
    """The three networks of a world in three files without a config but that of the transformer, or all in one of them."""
    dit, kind = SIZES["causal"]
    tensors = official_names.to_official(transformer.read(world / "transformer").tensors, dit)
    text = components.read(world / "text_encoder")
    vae = components.read(world / "vae")
    assert text is not None and vae is not None and text.tokenizer is not None
    files = {"transformer": packed(tensors)[0], "vae": vae.tensors, "text_encoder": packed(text.tensors)[0]}
    prefixes = {"transformer": "model.diffusion_model.", "vae": "vae.", "text_encoder": "text_encoders.umt5xxl.transformer."}
    whole = {prefixes[k] + name: x for k, xs in files.items() for name, x in xs.items()}
    for name, own in files.items():
        (folder / name).mkdir(parents=True)
        save_file({k: x.contiguous() for k, x in (whole if together else own).items()}, folder / name / "repack.safetensors")
    (folder / "transformer/config.json").write_text(json.dumps(official_names.write_config(dit, kind)))
    (folder / "text_encoder/tokenizer.json").write_bytes(text.tokenizer.read_bytes())
    for name in ("a.png", "eval.json"):
        (folder / name).write_bytes((world / name).read_bytes())
    return folder


@pytest.mark.parametrize("together", [False, True])
def test_the_same_video(folders: dict[str, Path], tmp_path: Path, together: bool) -> None:
    world = repacked(tmp_path / "repack", folders["causal"], together)
    plain = tmp_path / "plain"
    found = transformer.read(folders["causal"] / "transformer")
    means = official_names.from_official(packed(official_names.to_official(found.tensors, found.config))[1], found.config)
    transformer.write(plain / "transformer", replace(found, tensors={k: x.float() for k, x in means.items()}), "")
    for name in ("vae", "text_encoder"):
        (plain / name).symlink_to(world / name)
    path = autoregressive(["w"], [1], 9)
    one, two = (next(source(f).walk(None, "a red car", 1, path)).frames for f in (world, plain))
    assert one.shape[2] == ROWS and torch.equal(one, two)
    text = components.build(components.read(world / "text_encoder", "text_encoder") or pytest.fail("no text encoder"))
    assert {x.dtype for x in text.state_dict().values()} == {torch.bfloat16}  # a network computes in one dtype
    dit = transformer.build(transformer.read(world / "transformer"))
    assert {x.dtype for x in dit.state_dict().values()} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("part", "file", "said"),
    [
        ("transformer", "dit.safetensors", "the network makes NaN or infinity, since its weight 'blocks.1.mlp.0.weight'"),
        ("vae", "vae.safetensors", "NaN or infinity, since its weight 'decoder.conv_in.weight' holds some"),
        ("text_encoder", "text.safetensors", "NaN or infinity, since its weight 'shared.weight' holds some"),
    ],
)
def test_broken_weights_make_nothing(
    folders: dict[str, Path],
    tmp_path: Path,
    part: str,
    file: str,
    said: str,
) -> None:
    world = tmp_path / "world"
    for name in ("transformer", "vae", "text_encoder"):
        (world / name).mkdir(parents=True)
        for own in (folders["causal"] / name).iterdir():
            (world / name / own.name).write_bytes(own.read_bytes())
    for name in ("a.png", "eval.json"):
        (world / name).write_bytes((folders["causal"] / name).read_bytes())
    tensors = {k: x.clone() for k, x in weight_files.read(world / part / file).items()}
    name = said.split("'")[1]
    tensors[name][:] = float("nan")
    save_file(tensors, world / part / file)
    with pytest.raises(ValueError, match=said):
        main(replace(config(world, tmp_path / "out"), frames=9))
    assert not (tmp_path / "out").exists()
    assert released.is_released(world)
