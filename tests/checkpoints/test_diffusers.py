"""Without its camera lane our transformer is diffusers' ``WanTransformer3DModel``: same weights, same files, same numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from torch import Tensor

from dreamx.checkpoints import transformer, weight_files
from dreamx.checkpoints.transformer import Checkpoint
from dreamx.convert import ConvertConfig, convert
from dreamx.frames import clean
from dreamx.geometry.camera import level
from dreamx.model.attention import MaskedAttention
from dreamx.model.causal_config import TransformerMeta
from dreamx.model.dit import DiT, DiTConfig
from official_small import same

#: Heads of 16 and of 20 channels: time takes what rows and columns leave over, so the split is another.
SIZES = (DiTConfig(6, 48, 3, 3, 80, 20, frequencies=32), DiTConfig(4, 40, 2, 2, 96, 16, patch=4, frequencies=64, eps=1e-5))
T, ROWS, COLS = 3, 2, 3


def weights(config: DiTConfig) -> Checkpoint:
    """Random and large enough that every part of the network matters."""
    rng = torch.Generator().manual_seed(7)
    state = {k: torch.randn(x.shape, generator=rng) for k, x in DiT(config).state_dict().items()}
    return Checkpoint(
        {k: x / max(1, x.shape[-1]) ** 0.5 if x.ndim > 1 else 0.3 * x for k, x in state.items()}, config, TransformerMeta()
    )


def theirs(folder: Path) -> WanTransformer3DModel:
    """What diffusers makes of the config and the weights of a folder that we wrote; every key must be there, and none more."""
    net = WanTransformer3DModel.from_config(weight_files.read_json(folder / "transformer" / "config.json"))
    assert isinstance(net, WanTransformer3DModel)
    net.load_state_dict(weight_files.read(folder))
    return net.eval()


@pytest.mark.parametrize("config", SIZES)
@pytest.mark.parametrize(
    ("sigma", "per_token"),
    [
        ([[0.9] * T, [0.3] * T], False),
        ([[0.9] * T, [0.3] * T], True),
        ([[0.0, 0.9375, 0.9375], [0.0, 0.625, 0.625]], True),  # a first image is known: its tokens have time 0
        ([[0.1, 0.5, 1.0], [0.7, 0.0, 0.25]], True),  # every frame has its own
    ],
)
@torch.no_grad()
def test_the_same_numbers(tmp_path: Path, config: DiTConfig, sigma: list[list[float]], per_token: bool) -> None:
    start = weights(config)
    transformer.write(tmp_path / "ours", start, "")
    convert(ConvertConfig(tmp_path / "ours", tmp_path / "w", "diffusers", shard=4e-5))
    net, dit = theirs(tmp_path / "w"), transformer.build(transformer.read(tmp_path / "ours"))
    z, text = _inputs(config)
    noise = torch.tensor(sigma)
    frames = replace(clean(z, level().map(lambda x: x.expand(2, T, *x.shape))), sigma=noise)
    time = 1000 * (noise.repeat_interleave(ROWS * COLS, 1) if per_token else noise[:, 0])
    want = net(z.transpose(1, 2), time, text, return_dict=False)[0].transpose(1, 2)
    got = dit(frames, text, MaskedAttention())
    assert want.std() > 0.3
    assert float((got - want).abs().max()) < 2e-5 * float(want.abs().max())
    other = dit(replace(frames, sigma=noise.roll(1, 0)), text, MaskedAttention())
    assert float((other - want).abs().max()) > 0.01 * float(want.abs().max())  # it does matter which time it is told


@pytest.mark.parametrize("config", SIZES)
def test_files_of_diffusers_come_in_and_go_out_bit_for_bit(tmp_path: Path, config: DiTConfig) -> None:
    start = weights(config)
    transformer.write(tmp_path / "ours", start, "")
    convert(ConvertConfig(tmp_path / "ours", tmp_path / "w", "diffusers"))
    net = theirs(tmp_path / "w")
    net.save_pretrained(tmp_path / "saved" / "transformer", max_shard_size="40KB")
    assert len(list((tmp_path / "saved/transformer").glob("*.safetensors"))) > 1
    convert(ConvertConfig(tmp_path / "saved", tmp_path / "back"))
    end = transformer.read(tmp_path / "back")
    assert end.config == config
    assert same(end.tensors, start.tensors)
    convert(ConvertConfig(tmp_path / "back", tmp_path / "official", "official"))
    convert(ConvertConfig(tmp_path / "official", tmp_path / "again", "diffusers"))
    assert same(weight_files.read(tmp_path / "again"), dict(net.state_dict()))


def _inputs(config: DiTConfig) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(3)
    p = config.patch
    return (
        torch.randn(2, T, config.channels, ROWS * p, COLS * p, generator=rng),
        torch.randn(2, 9, config.text, generator=rng),
    )
