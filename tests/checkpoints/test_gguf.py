"""GGUF files of transformers and of umT5 are read through the package gguf, or are refused as what they are."""

from __future__ import annotations

import json
import struct
import sys
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from gguf import GGUFWriter
from gguf.quants import dequantize, quantize
from torch import Tensor

from dreamx.checkpoints import components, gguf_file, official_names, transformer, weight_files
from dreamx.convert import ConvertConfig, convert
from dreamx.model import umt5
from dreamx.model.dit import DiTConfig, ViewConfig
from dreamx.model.umt5 import UMT5Config
from official_small import CAUSAL
from test_convert_refuses import refused

#: Wide enough for blocks of 256 in the feed-forward.
SIZE = replace(CAUSAL[0], width=64, mlp=256, text=256, view=ViewConfig(32, 2))
TEXT = UMT5Config(rows=40, width=256, heads=4, head=8, mlp=256, layers=2)
#: llama.cpp's names of an encoder of the T5 kind, by those of transformers.
LLAMA = {
    "0.layer_norm": "attn_norm",
    "0.SelfAttention.relative_attention_bias": "attn_rel_b",
    **{f"0.SelfAttention.{x}": f"attn_{x}" for x in "qkvo"},
    "1.layer_norm": "ffn_norm",
    "1.DenseReluDense.wi_0": "ffn_gate",
    "1.DenseReluDense.wi_1": "ffn_up",
    "1.DenseReluDense.wo": "ffn_down",
}
Stored = dict[str, Tensor]


def weights(config: DiTConfig = SIZE) -> Stored:
    rng = torch.Generator().manual_seed(0)
    return {k: torch.randn(s, generator=rng) for k, s in official_names.shapes(config).items()}


def config(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(official_names.write_config(SIZE, CAUSAL[1])))
    return folder


def kind_of(x: Tensor, kind: Kind) -> Kind:
    """Of matrices; what does not divide into blocks is F16, and what is small F32, as writers have it."""
    if x.ndim != 2 or kind in (Kind.F32, Kind.F16):
        return Kind.F32
    return kind if x.shape[1] % (256 if "K" in kind.name else 32) == 0 else Kind.F16


#: A block of Q4_K of 256 numbers: gguf knows how to read it, but not how to make one.
Q4_K = 144


def save(file: Path, tensors: Stored, kind: Kind, arch: str = "wan", squeezed: bool = False, noted: bool = False) -> Stored:
    """Write a file, and what it says, in float32. ``squeezed``: leading ones and the frame of the patch are gone."""
    writer = GGUFWriter(file, arch)
    means: Stored = {}
    rng = np.random.default_rng(0)
    for name, x in tensors.items():
        data, of = x.contiguous().numpy(), kind_of(x, kind)
        if squeezed and x.ndim > 2:
            data = data.squeeze()
        if noted and name == "patch_embedding.weight":
            writer.add_array(f"comfy.gguf.orig_shape.{name}", list(data.shape))
            data = data.reshape(-1, 8)
        if of == Kind.Q4_K:
            blocks = rng.integers(0, 256, (data.shape[0], data.shape[1] // 256, Q4_K), dtype=np.uint8)
            blocks[..., :4] = np.array([0.01, 0.02], dtype=np.float16).view(np.uint8)  # the scales of a block
            packed = blocks.reshape(data.shape[0], -1)
        else:
            packed = quantize(data, of)
        writer.add_tensor(name, packed, raw_dtype=of)
        means[name] = torch.from_numpy(dequantize(packed, of).astype(np.float32)).reshape(x.shape)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return means


KINDS = (Kind.F32, Kind.F16, Kind.BF16, Kind.Q8_0, Kind.Q4_0, Kind.Q5_1, Kind.Q4_K)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.name)
def test_a_transformer(tmp_path: Path, kind: Kind) -> None:
    """To the bit what the blocks mean, rounded once; what is not in blocks is a view of the file."""
    means = save(config(tmp_path) / "w.gguf", weights(), kind)
    convert(ConvertConfig(tmp_path / "w.gguf", tmp_path / "whole", "official", dtype="float32"))
    assert {k: x.dtype for k, x in weight_files.read(tmp_path / "whole").items()} == dict.fromkeys(means, torch.float32)
    assert all(torch.equal(x, means[k]) for k, x in weight_files.read(tmp_path / "whole").items())
    convert(ConvertConfig(tmp_path, tmp_path / "own", "official"))  # the folder, which holds nothing else
    own = weight_files.read(tmp_path / "own")
    assert all(torch.equal(x, means[k].to(x.dtype)) for k, x in own.items())
    blocks = {k for k, x in own.items() if x.dtype == torch.bfloat16}
    assert bool(blocks) == (kind not in (Kind.F32, Kind.F16)) and own["blocks.0.ffn.0.bias"].dtype == torch.float32


@pytest.mark.parametrize(("squeezed", "noted"), [(True, False), (False, True)])
def test_shapes_that_ggml_cannot_say(tmp_path: Path, squeezed: bool, noted: bool) -> None:
    means = save(config(tmp_path) / "w.gguf", weights(), Kind.Q8_0, squeezed=squeezed, noted=noted)
    state = official_names.to_official(transformer.read(tmp_path / "w.gguf").tensors, SIZE)
    assert all(torch.equal(state[k], x.to(state[k].dtype)) for k, x in means.items())


def test_a_prefix(tmp_path: Path) -> None:
    save(config(tmp_path) / "w.gguf", {f"model.diffusion_model.{k}": x for k, x in weights().items()}, Kind.Q8_0)
    assert transformer.read(tmp_path / "w.gguf").config == SIZE


@pytest.mark.parametrize("kind", [Kind.F16, Kind.Q8_0, Kind.Q4_K], ids=lambda k: k.name)
def test_a_text_encoder(tmp_path: Path, kind: Kind) -> None:
    rng = torch.Generator().manual_seed(0)
    state = {k: torch.randn(s, generator=rng) for k, s in umt5.shapes(TEXT).items()}
    named = {"shared.weight": "token_embd.weight", "encoder.final_layer_norm.weight": "enc.output_norm.weight"}
    for i in range(TEXT.layers):
        named |= {f"encoder.block.{i}.layer.{a}.weight": f"enc.blk.{i}.{b}.weight" for a, b in LLAMA.items()}
    means = save(tmp_path / "t.gguf", {named[k]: x for k, x in state.items()}, kind, "t5encoder")
    part = components.read(tmp_path / "t.gguf", None, torch.float32)
    assert part is not None and part.config == TEXT
    assert all(torch.equal(x.float(), means[named[k]]) for k, x in part.tensors.items())


def test_its_shapes_are_known_before_it_is_dequantised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = torch.Generator().manual_seed(0)
    state = {k: torch.randn(s, generator=rng) for k, s in umt5.shapes(TEXT).items()}
    file = tmp_path / "text.gguf"
    save(file, state, Kind.Q8_0, "t5encoder")
    (tmp_path / "tokenizer.json").write_text("{}")
    whole = components.read(file, "text_encoder")
    monkeypatch.setattr(gguf, "dequantize", lambda *_: pytest.fail("blocks were dequantised"))
    part = components.look(file, "text_encoder")
    assert part is not None and whole is not None and part.config == whole.config
    assert {k: (x.shape, x.dtype) for k, x in part.tensors.items()} == {k: (x.shape, x.dtype) for k, x in whole.tensors.items()}
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="not a whole GGUF file"):
        components.look(file, "text_encoder")


def stub(tensors: int = 0) -> bytes:
    """The first bytes of a file: version 3, one key that says what it is."""
    key, value = b"general.architecture", b"wan"
    head = b"GGUF" + struct.pack("<IQQ", 3, tensors, 1) + struct.pack("<Q", len(key)) + key + struct.pack("<I", 8)
    return head + struct.pack("<Q", len(value)) + value


def tensor(kind: int) -> bytes:
    name = b"blocks.0.ffn.0.weight"
    return struct.pack("<Q", len(name)) + name + struct.pack("<IQQIQ", 2, 256, 1, kind, 0)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (stub() + b"\0" * 64, "is a GGUF file (architecture wan) that lists no tensors"),
        (stub(1) + tensor(999) + b"\0" * 999, "is a GGUF file with blocks of type 999, which gguf does not know"),
        (stub(1) + tensor(0) + b"\0" * 99, "not a whole GGUF file"),
        (stub()[:20], "not a whole GGUF file"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "is a GGUF file of another version"),
    ],
)
def test_what_is_not_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes, said: str) -> None:
    (config(tmp_path / "w") / "w.gguf").write_bytes(data)
    for source in (tmp_path / "w" / "w.gguf", tmp_path / "w"):
        err = refused(capsys, source)
        assert str(tmp_path / "w" / "w.gguf") in err
        assert said in err
        assert ("cut short" in err) == ("not a whole" in said)


def test_a_file_cut_anywhere(tmp_path: Path) -> None:
    file = config(tmp_path) / "w.gguf"
    save(file, weights(), Kind.Q8_0)
    whole = file.read_bytes()
    for keep in (4, 7, 12, 23, 40, 60, 99, 500, 3000, *range(9000, len(whole), len(whole) // 20), len(whole) - 1000):
        file.write_bytes(whole[:keep])
        with pytest.raises(ValueError, match=r"w\.gguf: not a whole GGUF file .*cut short") as e:
            transformer.read(file)
        assert len(str(e.value).splitlines()) == 1


def test_a_language_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(config(tmp_path / "w") / "w.gguf", {"blk.0.attn_q.weight": torch.ones(2, 32)}, Kind.F16, "llama")
    assert "the weights of a language model in GGUF" in refused(capsys, tmp_path / "w" / "w.gguf")


def test_without_the_package(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    save(config(tmp_path / "w") / "w.gguf", weights(), Kind.F16)
    monkeypatch.setitem(sys.modules, "gguf", None)
    said = refused(capsys, tmp_path / "w" / "w.gguf")
    assert "is a GGUF file, which needs the package gguf: pip install '.[wan]' in the checkout, or " in said


def test_it_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    save(config(tmp_path) / "w.gguf", weights(), Kind.F16)
    (tmp_path / "w.gguf").rename(tmp_path / "w.safetensors")
    assert (tmp_path / "w.safetensors").read_bytes()[:4] == gguf_file.MAGIC
    assert transformer.read(tmp_path / "w.safetensors").config == SIZE
