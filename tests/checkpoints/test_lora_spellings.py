"""Every spelling of a LoRA is added as its closed form says, or refused by its name; no key is passed over in silence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dreamx import cli
from dreamx.checkpoints import diffusers_names, lora, lora_file, official_names, transformer, weight_files
from dreamx.checkpoints.lora import LoraConfig
from dreamx.convert import ConvertConfig, convert
from official_small import CAUSAL, found, save, theirs
from test_lora import CONFIG, LAYERS, near, refused

SHAPES = official_names.shapes(CONFIG)
#: All layers that have factors: those of the blocks, and around them; the patch is a convolution, the head has another order.
LINEAR = [*LAYERS, "head.head", "text_embedding.0", "time_embedding.2", "time_projection.1", "patch_embedding"]
Spelled = dict[str, Tensor]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    transformer.write(tmp_path / "base", found("causal"), "")
    return tmp_path / "base"


def factors(layers: list[str] = LINEAR, rank: int = 3) -> dict[str, tuple[Tensor, Tensor]]:
    rng = torch.Generator().manual_seed(len(layers) + rank)
    sizes = {k: (SHAPES[f"{k}.weight"][0], SHAPES[f"{k}.weight"][1:]) for k in layers}
    return {
        k: (torch.randn(rank, *into, generator=rng), torch.randn(out, rank, *[1] * (len(into) - 1), generator=rng))
        for k, (out, into) in sizes.items()
    }


def differences() -> dict[str, Tensor]:
    """Of each parameter that is no matrix: biases, norms and modulation."""
    rng = torch.Generator().manual_seed(3)
    return {k: torch.randn(s, generator=rng) for k, s in SHAPES.items() if not k.endswith(".weight") or len(s) == 1}


def added(
    pairs: dict[str, tuple[Tensor, Tensor]], scales: dict[str, float], diffs: dict[str, Tensor], strength: float = 1.0
) -> dict[str, Tensor]:
    """The released weights with all of it, computed plainly in float64."""
    whole = {k: x.double() for k, x in theirs("causal").items()}
    for layer, (down, up) in pairs.items():
        change = (up.double().flatten(1) @ down.double().flatten(1)).reshape(SHAPES[f"{layer}.weight"])
        whole[f"{layer}.weight"] += strength * scales.get(layer, 1.0) * change
    for name, x in diffs.items():
        whole[name] += strength * x.double().reshape(SHAPES[name])
    return {k: x.float() for k, x in whole.items()}


def merged(folder: Path, base: Path, file: Path, strength: float = 1.0) -> dict[str, Tensor]:
    convert(ConvertConfig(base, folder / "merged", "official", lora=file, merge=strength))
    return weight_files.read(folder / "merged")


def named(
    pairs: dict[str, tuple[Tensor, Tensor]], prefix: str, ends: tuple[str, str], flat: bool = False, diffusers: bool = False
) -> Spelled:
    spelled: Spelled = {}
    for layer, pair in pairs.items():
        name = diffusers_names.to_diffusers(layer) if diffusers else layer
        name = name.replace(".", "_") if flat else name
        spelled |= {f"{prefix}{name}{end}": x for end, x in zip(ends, pair, strict=True)}
    return spelled


PEFT, KOHYA = (".lora_A.weight", ".lora_B.weight"), (".lora_down.weight", ".lora_up.weight")
SPELLINGS = {
    "bare": ("", PEFT, False, False),
    "peft": ("base_model.model.", PEFT, False, False),
    "adapter": ("base_model.model.", (".lora_A.default.weight", ".lora_B.default.weight"), False, False),
    "comfy": ("diffusion_model.", KOHYA, False, False),
    "diffusers": ("transformer.", PEFT, False, True),
    "without-weight": ("transformer.", (".lora_A", ".lora_B"), False, True),
    "processor": ("", (".lora.down.weight", ".lora.up.weight"), False, True),
    "linear-layer": ("", (".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"), False, True),
    "diffsynth": ("pipe.dit.", (".lora_A.default.weight", ".lora_B.default.weight"), False, False),
    "wrapped": ("model.diffusion_model._orig_mod.", KOHYA, False, False),
    "kohya": ("lora_unet_", KOHYA, True, False),
    "fun": ("lora_unet__", KOHYA, True, False),
    "kohya-diffusers": ("lora_transformer_", KOHYA, True, True),
    "lycoris": ("lycoris_", KOHYA, True, False),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_names(tmp_path: Path, base: Path, spelling: str) -> None:
    file = save(tmp_path / "lora.safetensors", named(factors(), *SPELLINGS[spelling]))
    assert near(merged(tmp_path, base, file), added(factors(), {}, {}))


def test_names_of_old_diffusers(tmp_path: Path, base: Path) -> None:
    pairs = factors(["blocks.1.self_attn.q", "blocks.1.cross_attn.o"])
    spelled = {
        f"transformer.blocks.1.{name}_lora.{part}.weight": x
        for name, pair in zip(("attn1.processor.to_q", "attn2.processor.to_out"), pairs.values(), strict=True)
        for part, x in zip(("down", "up"), pair, strict=True)
    }
    assert near(merged(tmp_path, base, save(tmp_path / "lora.safetensors", spelled)), added(pairs, {}, {}))


@pytest.mark.parametrize("flat", [False, True])
def test_differences(tmp_path: Path, base: Path, flat: bool) -> None:
    """As distillations have them: of norms, biases and modulation; a strength counts for them, too."""
    diffs = differences()
    spelled = named(factors(), "lora_unet_" if flat else "diffusion_model.", KOHYA, flat)
    for name, x in diffs.items():
        module, _, leaf = name.rpartition(".")
        module = f"lora_unet_{module.replace('.', '_')}" if flat else f"diffusion_model.{module}"
        spelled[f"{module}.{ {'weight': 'diff', 'bias': 'diff_b', 'modulation': 'diff_m'}[leaf] }"] = x
    assert "diffusion_model.head.diff_m" in spelled or flat
    file = save(tmp_path / "lora.safetensors", spelled)
    assert near(merged(tmp_path, base, file, 0.5), added(factors(), {}, diffs, 0.5))
    convert(ConvertConfig(base, tmp_path / "apart", lora=file))
    apart = transformer.read(tmp_path / "apart")
    state = official_names.to_official(dict(transformer.build(apart, strength=0.5).state_dict()), CONFIG)
    assert near(state, added(factors(), {}, diffs, 0.5))


def test_other_names_of_differences(tmp_path: Path, base: Path) -> None:
    rng = torch.Generator().manual_seed(1)
    diffs = {
        "blocks.0.modulation": torch.randn(6, 48, generator=rng),  # its leading 1 is gone
        "head.modulation": torch.randn(1, 2, 48, generator=rng),
        "blocks.1.self_attn.norm_q.weight": torch.randn(48, generator=rng),
        "blocks.1.ffn.0.bias": torch.randn(96, generator=rng),
        "blocks.2.ffn.2.weight": torch.randn(48, 96, generator=rng),
    }
    keys = (
        *("blocks.0.modulation.diff", "diffusion_model.scale_shift_table.diff", "lycoris_blocks_1_self_attn_norm_q.w_norm"),
        *("transformer.blocks.1.ffn.net.0.proj.b_norm", "diffusion_model.blocks.2.ffn.2.diff"),
    )
    file = save(tmp_path / "lora.safetensors", dict(zip(keys, diffs.values(), strict=True)))
    assert near(merged(tmp_path, base, file), added({}, {}, diffs))


def test_rank_and_alpha_of_each_layer(tmp_path: Path, base: Path) -> None:
    """Without an alpha it is the rank; a scalar alpha counts for its own layer and rank."""
    pairs = factors(LAYERS[:10], 2) | factors(LAYERS[10:20], 4) | factors(LAYERS[20:], 4)
    alphas = dict.fromkeys(LAYERS[5:10], 3.0) | dict.fromkeys(LAYERS[10:15], 1.0)
    spelled = named(pairs, "lora_unet_", KOHYA, True)
    spelled |= {f"lora_unet_{k.replace('.', '_')}.alpha": torch.tensor(a) for k, a in alphas.items()}
    spelled[f"lora_unet_{LAYERS[10].replace('.', '_')}.alpha"] = torch.tensor([1.0]).bfloat16()
    file = save(tmp_path / "lora.safetensors", spelled)
    want = added(pairs, {k: a / len(pairs[k][0]) for k, a in alphas.items()}, {})
    assert near(merged(tmp_path, base, file), want)
    convert(ConvertConfig(base, tmp_path / "apart", lora=file))
    apart = transformer.read(tmp_path / "apart")
    assert apart.lora is not None and apart.lora.config == LoraConfig(4, 4.0)
    assert sum(k.endswith(".alpha") for k in apart.lora.factors) == 10  # where it is not that of most
    assert near(official_names.to_official(lora.merge(apart.tensors, apart.lora, 1.0), CONFIG), want)


@pytest.mark.parametrize(
    ("settings", "scale"),
    [
        ({"lora_alpha": 6}, {0: 2.0, 1: 2.0}),
        ({"lora_alpha": 6, "alpha_pattern": {"blocks.0.self_attn.k": 12}}, {0: 2.0, 1: 4.0}),
        ({"lora_alpha": 6, "use_rslora": True}, {0: 6 / 3**0.5, 1: 6 / 3**0.5}),
    ],
)
@pytest.mark.parametrize("header", [False, True])
def test_what_peft_says(tmp_path: Path, base: Path, settings: dict[str, object], scale: dict[int, float], header: bool) -> None:
    """In ``adapter_config.json`` beside it, or in the header, where diffusers puts it."""
    pairs = factors(["blocks.0.self_attn.q", "blocks.0.self_attn.k"])
    (tmp_path / "l").mkdir()
    file = tmp_path / "l" / "lora.safetensors"
    notes = {"lora_adapter_metadata": json.dumps({f"transformer.{k}": v for k, v in settings.items()})}
    save_file(named(pairs, "", PEFT), file, notes if header else None)
    if not header:
        (file.parent / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", **settings}))
    want = added(pairs, {k: scale[i] for i, k in enumerate(pairs)}, {})
    assert near(merged(tmp_path, base, file), want)


def test_a_bias_of_the_factor_that_goes_up_and_eight_bits(tmp_path: Path, base: Path) -> None:
    pairs = {k: (a.to(torch.float8_e4m3fn), b.to(torch.float8_e5m2)) for k, (a, b) in factors(["blocks.0.ffn.0"]).items()}
    bias = torch.randn(96, generator=torch.Generator().manual_seed(2))
    spelled = named(pairs, "", PEFT) | {"blocks.0.ffn.0.lora_B.bias": bias, "blocks.0.ffn.0.alpha": torch.tensor(6.0)}
    file = save(tmp_path / "lora.safetensors", spelled)
    plain = {k: (a.float(), b.float()) for k, (a, b) in pairs.items()}
    assert near(merged(tmp_path, base, file), added(plain, {"blocks.0.ffn.0": 2.0}, {"blocks.0.ffn.0.bias": 2 * bias}))


ONE = "diffusion_model.blocks.0.self_attn.q"
GOOD = {f"{ONE}.lora_A.weight": torch.ones(2, 48), f"{ONE}.lora_B.weight": torch.ones(48, 2)}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({f"{ONE}.dora_scale": torch.ones(48)}, "is of a DoRA, which is not read"),
        ({f"{ONE}.lora_magnitude_vector.weight": torch.ones(48)}, "is of a DoRA"),
        ({f"{ONE}.hada_w1_a": torch.ones(2, 2)}, "is of a LoHa"),
        ({"lora_unet_blocks_0_ffn_0.lokr_w1": torch.ones(2, 2)}, "is of a LoKr"),
        ({f"{ONE}.oft_blocks": torch.ones(2, 2)}, "is of an OFT"),
        ({f"{ONE}.lora_mid.weight": torch.ones(2, 2)}, "is of a LoCon with a middle factor"),
        ({f"{ONE}.set_weight": torch.ones(2, 2)}, "replaces a parameter"),
        ({"lora_te_text_model_q.lora_down.weight": torch.ones(2, 2)}, "changes the text encoder"),
        ({"text_encoder.block.0.q.lora_A.weight": torch.ones(2, 2)}, "changes the text encoder"),
        ({f"{ONE}.base_layer.weight": torch.ones(48, 48)}, "is a weight of the model itself"),
        ({f"{ONE}.lora_down.weight": torch.ones(2, 48)}, "is there twice, under two names"),
        ({f"{ONE}.lora_A.other.weight": torch.ones(2, 48)}, "is there twice"),
        ({f"{ONE}.magic": torch.ones(2)}, f"'{ONE}.magic' is no factor of a LoRA"),
        ({"diffusion_model.blocks.0.self_attn.norm_q.lora_A.weight": torch.ones(2, 48)}, "is no linear layer"),
        ({"diffusion_model.blocks.0.self_attn.norm_q.diff": torch.ones(47)}, "is (47,) where the transformer has (48,)"),
        ({"diffusion_model.blocks.9.ffn.0.diff_b": torch.ones(96)}, "a layer that the transformer has not"),
        ({"lora_unet_blocks_0_img_attn_q.lora_down.weight": torch.ones(2, 48)}, "a layer that the transformer has not"),
        ({"diffusion_model.blocks.0.self_attn.k.alpha": torch.ones(())}, "has an alpha, but no factors"),
        ({"diffusion_model.blocks.0.self_attn.k.lora_B.bias": torch.ones(48)}, "has the bias of a factor, but no factors"),
        ({f"{ONE}.diff_b": torch.full((48,), float("nan"))}, "holds NaN or infinity, so the LoRA is broken"),
    ],
)
def test_what_is_not_added_is_one_sentence(
    tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str], more: Spelled, said: str
) -> None:
    file = save(tmp_path / "lora.safetensors", GOOD | more)
    err = refused(capsys, base, tmp_path / "out", "--lora", str(file), "--merge", "1")
    assert said in err and str(file) in err


def test_settings_of_another_kind(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = save(tmp_path / "l" / "lora.safetensors", GOOD)
    for settings, said in (({"use_dora": True}, "kind DoRA"), ({"peft_type": "LOHA"}, "kind LOHA")):
        (file.parent / "adapter_config.json").write_text(json.dumps(settings))
        assert said in refused(capsys, base, tmp_path / "out", "--lora", str(file))


def test_what_lies_beside_a_lora_is_counted(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"generator_lora": GOOD, "critic_lora": {"x": torch.zeros(1), "y": torch.zeros(1)}}, tmp_path / "model.pt")
    cli.main(["convert", str(base), "--out", str(tmp_path / "m"), "--lora", str(tmp_path / "model.pt"), "--merge", "1"])
    assert "2 beside the LoRA" in capsys.readouterr().out


def test_a_folder_of_ours_from_before_has_one_scale(tmp_path: Path, base: Path) -> None:
    """Factors alone, and the rank and the alpha in config.json."""
    file = save(tmp_path / "lora.safetensors", GOOD | {f"{ONE}.alpha": torch.tensor(4.0)})
    convert(ConvertConfig(base, tmp_path / "apart", lora=file))
    apart = transformer.read(tmp_path / "apart")
    assert apart.lora is not None
    assert sorted(apart.lora.factors) == ["blocks.0.time.q.down", "blocks.0.time.q.up"]
    assert json.loads((tmp_path / "apart/config.json").read_text())["lora"] == {"rank": 2, "alpha": 4.0}
    assert lora_file.read(file, CAUSAL[0]).config == LoraConfig(2, 4.0)
