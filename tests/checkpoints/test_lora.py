"""A LoRA comes in by the names of others, is kept apart or added, and does not fit where it does not belong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dreamx import cli
from dreamx.checkpoints import diffusers_names, official_names, transformer, weight_files
from dreamx.convert import ConvertConfig, convert
from official_small import CAUSAL, found, same, save, theirs

RANK = 4
CONFIG = CAUSAL[0]
#: Released names of all linear layers of the blocks, which is what the released scripts change.
LAYERS = [
    k.removesuffix(".weight")
    for k, s in official_names.shapes(CONFIG).items()
    if k.startswith("blocks.") and len(s) == 2 and "mod" not in k
]


def factors(rank: int = RANK) -> dict[str, tuple[Tensor, Tensor]]:
    """Down ``[rank, in]`` and up ``[out, rank]`` of every layer."""
    rng = torch.Generator().manual_seed(5)
    shapes = official_names.shapes(CONFIG)
    made: dict[str, tuple[Tensor, Tensor]] = {}
    for layer in LAYERS:
        out, into = shapes[f"{layer}.weight"]
        made[layer] = (torch.randn(rank, into, generator=rng), torch.randn(out, rank, generator=rng))
    return made


def peft(prefix: str = "base_model.model.", middle: str = "", rename: Callable[[str], str] = str) -> dict[str, Tensor]:
    """As peft writes them."""
    named = {
        f"{prefix}{rename(k)}.lora_{part}{middle}.weight": x
        for k, ab in factors().items()
        for part, x in zip("AB", ab, strict=True)
    }
    return {k: x.contiguous() for k, x in named.items()}


def kohya() -> dict[str, Tensor]:
    """As other trainers write them, alpha beside each pair."""
    named: dict[str, Tensor] = {}
    for layer, (down, up) in factors().items():
        named |= {f"diffusion_model.{layer}.lora_down.weight": down, f"diffusion_model.{layer}.lora_up.weight": up}
        named[f"diffusion_model.{layer}.alpha"] = torch.tensor(8.0)
    return named


def added(scale: float) -> dict[str, Tensor]:
    """The released weights with the LoRA, computed plainly in float64."""
    whole = theirs("causal")
    for layer, (down, up) in factors().items():
        whole[f"{layer}.weight"] = (whole[f"{layer}.weight"].double() + scale * (up.double() @ down.double())).float()
    return whole


def near(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.allclose(x, b[k], rtol=1e-6, atol=1e-5) for k, x in a.items())


@pytest.fixture
def base(tmp_path: Path) -> Path:
    transformer.write(tmp_path / "base", found("causal"), "")
    return tmp_path / "base"


def test_all_linear_layers_of_the_blocks_are_there() -> None:
    assert len(LAYERS) == 3 * (8 + 4 + 2)  # attention to itself and to text, camera lane, feed-forward
    assert found("causal").config == CONFIG


@pytest.mark.parametrize(
    ("tensors", "beside", "scale"),
    [
        (peft(), None, 1.0),  # alpha is the rank, as in the released yaml
        (peft(middle=".default"), {"lora_alpha": 2}, 2 / RANK),
        (peft("transformer.", rename=diffusers_names.to_diffusers), {"lora_alpha": 16}, 16 / RANK),
        (kohya(), None, 8 / RANK),
    ],
    ids=["peft", "default", "diffusers", "kohya"],
)
def test_it_is_added_or_kept_apart(
    tmp_path: Path, base: Path, tensors: dict[str, Tensor], beside: dict[str, int] | None, scale: float
) -> None:
    file = save(tmp_path / "lora" / "adapter_model.safetensors", tensors)
    if beside is not None:
        (file.parent / "adapter_config.json").write_text(json.dumps(beside))
    convert(ConvertConfig(base, tmp_path / "merged", "official", lora=file, merge=1.0))
    assert near(weight_files.read(tmp_path / "merged"), added(scale))

    convert(ConvertConfig(base, tmp_path / "apart", lora=file))
    assert sorted(p.name for p in (tmp_path / "apart").iterdir()) == [
        *("README.md", "config.json", "dit.safetensors", "lora.safetensors")
    ]
    apart = transformer.read(tmp_path / "apart")
    assert same(apart.tensors, found("causal").tensors)
    assert apart.lora is not None
    assert (apart.lora.config.rank, apart.lora.config.alpha) == (RANK, scale * RANK)
    for strength in (None, 0.5, 1.0):
        state = dict(transformer.build(apart, strength=strength).state_dict())
        assert near(official_names.to_official(state, CONFIG), added(scale * (strength or 0.0)))

    convert(ConvertConfig(tmp_path / "apart", tmp_path / "later", "official", merge=0.5))
    assert near(weight_files.read(tmp_path / "later"), added(0.5 * scale))


def test_a_training_checkpoint_of_the_released_scripts(tmp_path: Path, base: Path) -> None:
    torch.save({"generator_lora": peft(), "critic_lora": {"x": torch.zeros(1)}, "step": 3}, tmp_path / "model.pt")
    convert(ConvertConfig(base, tmp_path / "merged", "official", lora=tmp_path / "model.pt", merge=1.0))
    assert near(weight_files.read(tmp_path / "merged"), added(1.0))


def test_weights_of_16_bits_are_rounded_once(tmp_path: Path, base: Path) -> None:
    convert(ConvertConfig(base, tmp_path / "half", dtype="bfloat16"))
    file = save(tmp_path / "lora.safetensors", {k: x / 100 for k, x in peft().items()})
    convert(ConvertConfig(tmp_path / "half", tmp_path / "merged", "official", lora=file, merge=1.0))
    end = weight_files.read(tmp_path / "merged")
    for layer, (down, up) in factors().items():
        start = theirs("causal")[f"{layer}.weight"].bfloat16().float()
        assert torch.equal(end[f"{layer}.weight"], (start + (up / 100) @ (down / 100)).bfloat16())


def without(name: str) -> dict[str, Tensor]:
    return {k: x for k, x in peft().items() if name not in k}


ONE = "base_model.model.blocks.1.cam_self_attn.q_proj.lora_"


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        (without(f"{ONE}B"), "'blocks.1.view.q.up' is missing: the LoRA was cut, or has only half of its factors"),
        (without(f"{ONE}A"), "'blocks.1.view.q.down' is missing"),
        ({**peft(), f"{ONE}A.weight": torch.zeros(RANK, 7)}, "the LoRA is of another transformer"),
        ({**peft(), f"{ONE}A.weight": torch.zeros(3, 48)}, "factors (24, 4) and (3, 48) do not make (24, 48)"),
        ({**kohya(), "diffusion_model.blocks.0.ffn.0.alpha": torch.ones(2)}, "must be one number, not (2,)"),
        (
            {**peft(), "base_model.model.blocks.3.ffn.0.lora_A.weight": torch.zeros(RANK, 48)},
            "a layer that the transformer has not",
        ),
        (theirs("causal"), "is no factor of a LoRA; give whole weights as the checkpoint itself"),
        ({}, "holds no factor of a LoRA and no difference"),
    ],
)
def test_one_that_does_not_fit(
    tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str], tensors: dict[str, Tensor], said: str
) -> None:
    file = save(tmp_path / "lora.safetensors", tensors)
    err = refused(capsys, base, tmp_path / "out", "--lora", str(file))
    assert said in err
    assert str(file) in err


def test_flags_that_do_not_go_together(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = save(tmp_path / "lora.safetensors", peft())
    out = tmp_path / "out"
    assert "add it to the weights with --merge 1" in refused(capsys, base, out, "--lora", str(file), "--to", "official")
    convert(ConvertConfig(base, tmp_path / "apart", lora=file))
    assert "has a LoRA already; merge that one first" in refused(capsys, tmp_path / "apart", out, "--lora", str(file))
    kept = tmp_path / "apart" / "lora.safetensors"
    kept.write_bytes(kept.read_bytes()[:-50])
    assert f"{kept}: not a whole safetensors file" in refused(capsys, tmp_path / "apart", out)


def refused(capsys: pytest.CaptureFixture[str], source: Path, out: Path, *flags: str) -> str:
    """What the command says: one sentence, exit code 2, and nothing is written."""
    with pytest.raises(SystemExit) as left:
        cli.main(["convert", str(source), "--out", str(out), *flags])
    err = capsys.readouterr().err
    assert left.value.code == 2
    assert len(err.splitlines()) == 1, err
    assert not out.exists()
    return err
