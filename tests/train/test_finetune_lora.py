"""LoRA in training: the network with it is the network it is merged into, and its files read back in each naming."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import finetune_house
from dreamx.checkpoints import lora as loras
from dreamx.checkpoints import lora_file, lora_writer, transformer
from dreamx.checkpoints.lora import Lora, LoraConfig
from dreamx.checkpoints.lora_writer import Naming
from dreamx.convert import ConvertConfig, convert
from dreamx.frames import clean
from dreamx.geometry.camera import level
from dreamx.model.attention import MaskedAttention
from dreamx.model.dit import DiT
from dreamx.recipes import wan_micro
from dreamx.train import finetune
from dreamx.train.adapters import AdapterConfig, add_adapters, layers_to_adapt, lora_of

EVERYWHERE = AdapterConfig(rank=3, alpha=6.0, layers=("blocks", "patch", "head", "text", "time"))


def network() -> DiT:
    dit = DiT(wan_micro.DIT)
    dit.load_state_dict(wan_micro.drawn({k: x.shape for k, x in dit.state_dict().items()}, 0))
    return dit


def factors() -> Lora:
    """Random ones for every linear layer."""
    rng, found = torch.Generator().manual_seed(0), dict[str, torch.Tensor]()
    shapes = {k: x.shape for k, x in DiT(wan_micro.DIT).state_dict().items()}
    for layer in layers_to_adapt(wan_micro.DIT, EVERYWHERE.layers):
        out, inner = shapes[f"{layer}.weight"]
        found |= {f"{layer}.down": torch.randn(3, inner, generator=rng), f"{layer}.up": torch.randn(out, 3, generator=rng)}
    return Lora(found, LoraConfig(3, 6.0))


@pytest.mark.parametrize("naming", list(lora_writer.FILES))
def test_each_naming_reads_back(naming: Naming, tmp_path: Path) -> None:
    lora = factors()
    assert {"patch.up", "head.up", "blocks.2.view.o.down", "text.0.up"} <= lora.factors.keys()
    file = lora_writer.write(tmp_path, lora, wan_micro.DIT, naming)
    for place in (file, tmp_path):
        again = lora_file.read(place, wan_micro.DIT)
        assert again.config == lora.config
        assert again.factors.keys() == lora.factors.keys()
        assert all(torch.equal(x, lora.factors[k]) for k, x in again.factors.items())


def test_the_names_are_theirs(tmp_path: Path) -> None:
    lora = Lora({k: x for k, x in factors().factors.items() if k.startswith("blocks.0.time.q")}, LoraConfig(3, 6.0))
    held = {n: lora_writer.write(tmp_path / n, lora, wan_micro.DIT, n) for n in lora_writer.FILES}
    names = {n: sorted(transformer.weight_files.mapped(file)) for n, file in held.items()}
    assert names["peft"] == [f"base_model.model.blocks.0.self_attn.q.lora_{x}.weight" for x in "AB"]
    assert names["diffusers"] == [f"transformer.blocks.0.attn1.to_q.lora_{x}.weight" for x in "AB"]
    assert names["official"] == ["blocks.0.self_attn.q.alpha", *(f"blocks.0.self_attn.q.lora_{x}.weight" for x in "AB")]
    ends = ("alpha", "lora_down.weight", "lora_up.weight")
    assert names["comfyui"] == [f"diffusion_model.blocks.0.self_attn.q.{x}" for x in ends]


def test_beside_the_layer_is_within_it() -> None:
    dit, rng = network(), torch.Generator().manual_seed(1)
    frames = clean(torch.randn(1, 3, 48, 4, 2, generator=rng), level().map(lambda x: x.expand(1, 3, *x.shape)))
    text = torch.randn(1, 5, wan_micro.TEXT.width, generator=rng)
    with torch.no_grad():
        plain = dit(frames, text, MaskedAttention())
        added = add_adapters(dit, EVERYWHERE)
        assert len(added) == 2 + 4 + 3 * 14
        assert torch.equal(dit(frames, text, MaskedAttention()), plain), "it begins with nothing"
        for name, p in dit.named_parameters():
            if name.endswith(".up"):
                p.copy_(0.05 * torch.randn(p.shape, generator=rng))
        beside = dit(frames, text, MaskedAttention())
        merged = network()
        merged.load_state_dict(loras.merge(merged.state_dict(), lora_of(dit.state_dict(), EVERYWHERE), 1.0))
        within = merged(frames, text, MaskedAttention())
    assert float((beside - plain).abs().max()) > 0.1
    assert float((beside - within).abs().max()) < 1e-4 * float(plain.abs().max())


def test_a_trained_one_is_a_lora_for_convert(tmp_path: Path) -> None:
    world = finetune_house.stand_in(tmp_path)
    cfg = finetune_house.stage(tmp_path, "a", world, finetune_house.encoded(tmp_path, world), train="lora")
    finetune.main(replace(cfg, lora=AdapterConfig(2, layers=("time.q", "mlp"), names="comfyui")))
    made = ConvertConfig(world, tmp_path / "merged", kind="causal", lora=tmp_path / "a/out", merge=1.0)
    convert(made)
    before, after = transformer.read(world), transformer.read(tmp_path / "merged")
    changed = {k for k, x in after.tensors.items() if not torch.equal(x, before.tensors[k])}
    assert changed == {f"blocks.{i}.{layer}.weight" for i in range(3) for layer in ("time.q", "mlp.0", "mlp.2")}
