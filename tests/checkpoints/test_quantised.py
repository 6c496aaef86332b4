"""Weights of 8 bits are read with their scales, in each spelling and on every way in; other kinds are refused by their name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dreamx.checkpoints import diffusers_names, native, official_names, quantised, transformer, weight_files
from dreamx.checkpoints.quantised import restore
from dreamx.convert import ConvertConfig, convert
from dreamx.model.word_encoder import WordConfig, WordEncoder
from official_small import CAUSAL, save, theirs
from test_convert_refuses import refused

E4, E5, I8 = torch.float8_e4m3fn, torch.float8_e5m2, torch.int8
MOST = {E4: 448.0, E5: 57344.0, I8: 127.0}
Stored = dict[str, Tensor]


def linear(name: str, x: Tensor) -> bool:
    return x.ndim == 2 and name.startswith("blocks.") and name.endswith(".weight")


def packed(
    spelling: str = "weight_scale", shape: str = "one", dtype: torch.dtype = E4, tensors: Stored | None = None
) -> tuple[Stored, Stored]:
    """A causal checkpoint whose matrices are of 8 bits, and what they mean, in float32."""
    stored, means = {}, {}
    for name, x in (tensors or theirs("causal")).items():
        if not linear(name, x):
            stored[name] = means[name] = x.bfloat16()
            continue
        rows = x.unflatten(1, (-1, 24))
        tiles = x.unflatten(0, (-1, 12)).unflatten(2, (-1, 24))
        scale: Tensor = {
            "none": torch.ones(()),
            "scalar": x.abs().max(),
            "one": x.abs().max().reshape(1),
            "square": x.abs().max().reshape(1, 1),
            "row": x.abs().amax(1),
            "column": x.abs().amax(1, keepdim=True),
            "blocks": rows.abs().amax(2, keepdim=True),
            "tiles": tiles.abs().amax((1, 3)),
        }[shape] / (1.0 if shape == "none" else MOST[dtype])
        match shape:
            case "blocks":
                whole = scale.expand(*rows.shape).flatten(1)
            case "tiles":
                whole = scale[:, None, :, None].expand(tiles.shape).flatten(2).flatten(0, 1)
            case "row":
                whole = scale[:, None].expand(x.shape)
            case _:
                whole = scale.reshape(-1, 1).expand(x.shape)
        stored[name] = (x / whole).round().to(I8) if dtype == I8 else (x / whole).clamp(-MOST[dtype], MOST[dtype]).to(dtype)
        means[name] = stored[name].float() * whole
        if shape != "none":
            stored[f"{name.removesuffix('weight')}{spelling}"] = scale
    return stored, means


def config(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(official_names.write_config(*CAUSAL)))
    return folder


def equal(a: Stored, b: Stored, dtype: torch.dtype | None) -> bool:
    """In bfloat16, where nothing else was asked for."""
    return a.keys() == b.keys() and all(torch.equal(x, b[k].to(dtype or torch.bfloat16)) for k, x in a.items())


@pytest.mark.parametrize("to", ["bfloat16", "float16", "float32", None])
@pytest.mark.parametrize(
    ("spelling", "shape", "dtype"),
    [
        ("", "none", E4),
        ("", "none", E5),
        ("scale_weight", "one", E4),
        ("weight_scale", "scalar", E4),
        ("weight_scale", "square", E5),
        ("weight_scale", "row", E4),
        ("weight_scale", "column", E4),
        ("scale_weight", "blocks", E4),
        ("weight_scale_inv", "tiles", E4),
        ("weight_scale", "column", I8),
        ("weight_scale", "one", I8),
    ],
)
def test_scales(
    tmp_path: Path,
    spelling: str,
    shape: str,
    dtype: torch.dtype,
    to: Literal["bfloat16", "float16", "float32"] | None,
) -> None:
    """Multiplied in float32 and rounded once: bit for bit what is meant, and near the original."""
    stored, means = packed(spelling, shape, dtype)
    convert(ConvertConfig(save(config(tmp_path) / "w.safetensors", stored), tmp_path / "out", "official", dtype=to))
    got = weight_files.read(tmp_path / "out")
    assert equal(got, means, None if to is None else getattr(torch, to))
    original = theirs("causal")
    assert all(float((got[k].float() - x).abs().max()) < 0.13 * float(x.abs().max()) for k, x in original.items())


def test_marks_and_scales_of_activations_say_nothing(tmp_path: Path) -> None:
    stored, means = packed("scale_weight")
    stored |= {"scaled_fp8": torch.empty(2, dtype=E4)}
    stored |= {k.replace("scale_weight", "scale_input"): torch.ones(()) for k in stored if k.endswith("scale_weight")}
    stored["blocks.0.self_attn.norm_q.scale_weight"] = torch.ones(())  # of a layer that was left alone
    wrapped = {f"model.diffusion_model.{k}": x for k, x in stored.items()}
    for name, tensors in (("a", stored), ("b", wrapped)):
        file = save(config(tmp_path / name) / "w.safetensors", tensors)
        assert equal(official_names.to_official(transformer.read(file).tensors, CAUSAL[0]), means, None)


def test_on_every_way_in(tmp_path: Path) -> None:
    """In shards, where a scale lies in another file than its weight; by the names of diffusers; as torch's checkpoint."""
    stored, means = packed()
    names = sorted(stored, key=lambda k: (k.endswith("_scale"), k))
    for i, part in enumerate((names[:60], names[60:]), 1):
        shard = {k: stored[k] for k in part}
        save(config(tmp_path / "shards") / f"model-0000{i}-of-00002.safetensors", shard)
    torch.save({"generator_ema": stored}, config(tmp_path / "pickled") / "model.pt")
    renamed = {
        (
            diffusers_names.to_diffusers(k.removesuffix("_scale")) + "_scale"
            if k.endswith("_scale")
            else diffusers_names.to_diffusers(k)
        ): x
        for k, x in stored.items()
    }
    save(config(tmp_path / "diffusers") / "w.safetensors", renamed)
    for folder in ("shards", "pickled", "diffusers"):
        assert equal(official_names.to_official(transformer.read(tmp_path / folder).tensors, CAUSAL[0]), means, None), folder


def test_a_folder_of_ours_whose_weights_somebody_made_smaller(tmp_path: Path) -> None:
    net = WordConfig(8, 2, 1, 16, 4)
    text = WordEncoder(net)
    native.save(tmp_path, {"text": (text, net)})
    file = tmp_path / "text.safetensors"
    stored: Stored = {}
    for name, x in weight_files.read(file).items():
        if x.ndim == 2 and name.endswith(".weight"):
            scale = x.abs().max() / 448
            stored |= {name: (x / scale).to(E4), f"{name}_scale": scale}
        else:
            stored[name] = x
    save_file(stored, file)
    native.load_into(other := WordEncoder(net), file)
    for name, x in text.state_dict().items():
        assert torch.allclose(other.state_dict()[name], x, atol=0.07 * float(x.abs().max()) + 1e-9), name
    save_file({k: x for k, x in stored.items() if not k.endswith("weight_scale") or "0" not in k}, file)
    with pytest.raises(ValueError, match="scale is missing"):
        native.load_into(other, file)


def test_what_comfyui_says_in_json(tmp_path: Path) -> None:
    """In tensors beside the weights, or in the header, where float8 may be stored as bytes."""
    stored, means = packed()
    matrices = [k.removesuffix(".weight") for k, x in stored.items() if x.dtype == E4]
    beside = {f"{k}.comfy_quant": json.dumps({"format": "float8_e4m3fn"}).encode() for k in matrices}
    tensors = stored | {k: torch.frombuffer(bytearray(x), dtype=torch.uint8) for k, x in beside.items()}
    file = save(config(tmp_path / "a") / "w.safetensors", tensors)
    assert equal(official_names.to_official(transformer.read(file).tensors, CAUSAL[0]), means, None)
    bytewise = {f"model.{k}": x.view(torch.uint8) if x.dtype == E4 else x for k, x in stored.items()}
    said = {"format_version": "1.0", "layers": {f"model.{k}": {"format": "float8_e4m3fn"} for k in matrices}}
    file = config(tmp_path / "b") / "w.safetensors"
    save_file(bytewise, file, {"_quantization_metadata": json.dumps(said)})
    assert equal(official_names.to_official(transformer.read(file).tensors, CAUSAL[0]), means, None)


ONE = "blocks.1.ffn.0"


def quant(**said: Any) -> Tensor:
    return torch.frombuffer(bytearray(json.dumps(said).encode()), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({f"{ONE}.weight.absmax": torch.ones(2)}, "4-bit bitsandbytes (nf4 or fp4)"),
        ({f"{ONE}.weight.quant_state.bitsandbytes__nf4": torch.ones(2)}, "bitsandbytes' nf4"),
        ({f"{ONE}.SCB": torch.ones(2)}, "8-bit bitsandbytes"),
        ({f"{ONE}.qweight": torch.ones(2), f"{ONE}.wscales": torch.ones(2)}, "SVDQuant of nunchaku"),
        ({f"{ONE}.qweight": torch.ones(2), f"{ONE}.qzeros": torch.ones(2)}, "GPTQ or AWQ"),
        ({f"{ONE}.weight_scale_2": torch.ones(())}, "nvfp4"),
        ({f"{ONE}.pre_quant_scale": torch.ones(48)}, "SmoothQuant"),
        ({f"{ONE}.weight_scale": torch.ones(96, 2, dtype=torch.uint8)}, "mxfp8"),
        ({f"{ONE}.weight._data": torch.ones(2)}, "optimum-quanto"),
        ({f"{ONE}.comfy_quant": quant(format="int8_tensorwise", convrot=True)}, "rotated (convrot)"),
        ({f"{ONE}.comfy_quant": quant(format="nvfp4")}, "quantised as nvfp4"),
        ({f"{ONE}.comfy_quant": torch.ones(3, dtype=torch.uint8)}, "is no JSON"),
        ({f"{ONE}.weight": torch.ones(96, 24, dtype=torch.uint8)}, "is stored as uint8" ),
        ({f"{ONE}.weight": torch.ones(96, 48)}, "has the scale 'blocks.1.ffn.0.weight_scale', so it is unclear whether"),
        ({f"{ONE}.weight_scale": torch.ones(7)}, "is (7,), which is no scale of a weight (96, 48)"),
        ({"blocks.9.ffn.0.weight_scale": torch.ones(())}, "is the scale of a weight that is not there"),
    ],
)  # fmt: skip
def test_what_is_not_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], more: Stored, said: str) -> None:
    stored = packed()[0]
    if "uint8" in said:
        del stored[f"{ONE}.weight_scale"]
    file = save(config(tmp_path / "w") / "w.safetensors", stored | more)
    err = refused(capsys, file)
    assert said in err and str(file) in err


def test_a_scale_that_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored = {k: x for k, x in packed()[0].items() if k != f"{ONE}.weight_scale"}
    assert "its scale is missing" in refused(capsys, save(config(tmp_path / "w") / "w.safetensors", stored))
    alone = packed(shape="none")[0] | {"scaled_fp8": torch.empty(0, dtype=E4)}
    assert "its scale is missing" in refused(capsys, save(config(tmp_path / "v") / "w.safetensors", alone))


def test_blocks_of_128_where_a_side_does_not_divide() -> None:
    x, scale = torch.ones(200, 130).to(E4), torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    got = restore({"a.weight": x, "a.weight_scale_inv": scale}, {}, torch.float32)["a.weight"]
    assert torch.equal(got, scale.repeat_interleave(128, 0).repeat_interleave(128, 1)[:200, :130])
    assert quantised.restore({"shared.weight": x, "a.weight": x, "a.weight_scale": scale[:1, :1]}, {}, None).keys() == {
        *("shared.weight", "a.weight")
    }
