"""Files that hold several networks, or one under any prefix; repacks without a config; files under a wrong ending."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dreamx import cli
from dreamx.checkpoints import components, contents, official_names, transformer, umt5_names, wan_vae_names, weight_files
from dreamx.convert import ConvertConfig, convert
from dreamx.model.umt5 import UMT5Config
from official_small import CAUSAL, found, same, save, theirs
from test_convert_refuses import refused
from test_parts import OFFICIAL, TEXT, text_weights

Stored = dict[str, Tensor]


def config(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(official_names.write_config(*CAUSAL)))
    return folder


def under(prefix: str, tensors: Stored) -> Stored:
    return {f"{prefix}{k}": x for k, x in tensors.items()}


def umt5_of_transformers() -> Stored:
    return umt5_names.from_official(text_weights(), TEXT)


PREFIXES = (
    *("model.diffusion_model.", "diffusion_model.", "model.", "module.", "_orig_mod.", "module._orig_mod.model."),
    *("model._fsdp_wrapped_module.", "state_dict.model.", "pipe.dit.", "net.backbone.", "generator.module."),
)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_any_prefix(tmp_path: Path, prefix: str) -> None:
    """And a wrapper around each block."""
    inside = {k.replace("blocks.1.", "blocks.1._fsdp_wrapped_module."): x for k, x in theirs("causal").items()}
    file = save(config(tmp_path) / "w.safetensors", under(prefix, inside))
    end = transformer.read(file)
    assert same(end.tensors, found("causal").tensors)
    assert (end.left, end.others) == (0, ())


def together(vae: str = "vae.", text: str = "text_encoders.umt5xxl.transformer.", dit: str = "model.diffusion_model.") -> Stored:
    whole = under(dit, theirs("causal")) | under(vae, OFFICIAL) | under(text, umt5_of_transformers())
    return whole | {"text_encoders.umt5xxl.spiece_model": torch.zeros(9, dtype=torch.uint8), "model_ema.decay": torch.ones(())}


@pytest.mark.parametrize(
    ("vae", "text", "dit"),
    [
        ("vae.", "text_encoders.umt5xxl.transformer.", "model.diffusion_model."),
        ("first_stage_model.", "cond_stage_model.transformer.", "diffusion_model."),
        ("vae.", "text_encoder.", ""),
    ],
)
def test_all_in_one(tmp_path: Path, capsys: pytest.CaptureFixture[str], vae: str, text: str, dit: str) -> None:
    whole = together(vae, text, dit)
    file = save(config(tmp_path) / "w.safetensors", whole)
    cli.main(["convert", str(file), "--out", str(tmp_path / "transformer")])
    said = capsys.readouterr().out
    assert same(transformer.read(tmp_path / "transformer").tensors, found("causal").tensors)
    assert transformer.read(file).left == len(whole) - len(theirs("causal"))
    assert f"{len(OFFICIAL)} under '{vae}' (an autoencoder)" in said
    assert f"{len(text_weights())} under '{text}' (a text encoder)" in said
    assert "1 under 'model_ema.'" in said and "--part vae" in said
    for part, want in (("vae", OFFICIAL), ("text_encoder", text_weights())):
        cli.main(["convert", str(file), "--out", str(tmp_path / part), "--part", part, "--to", "official-pth"])
        assert same(weight_files.read(next((tmp_path / part).glob("*.pth"))), want)
        assert "under" in capsys.readouterr().out


def test_a_part_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = save(config(tmp_path / "w") / "w.safetensors", theirs("causal"))
    assert "holds no vae but a transformer" in refused(capsys, file, "--part", "vae")
    assert "leave one out" in refused(capsys, file, "--part", "vae", "--kind", "causal")
    broken = under("vae.", {"encoder.conv1.weight": torch.zeros(3)}) | theirs("causal")
    file = save(config(tmp_path / "w") / "w.safetensors", broken)
    assert "so it is no autoencoder of Wan2.2" in refused(capsys, file, "--part", "vae")


@pytest.mark.parametrize(
    ("nests", "taken"),
    [
        ({"generator": 1, "generator_ema": 0, "critic": 2}, 0),
        ({"model": 0, "ema_model": 1}, 1),
        ({"generator": 0, "fake_score": 1, "real_score": 2}, 0),
        ({"state_dict": 0, "teacher": 1}, 0),
    ],
)
def test_training_checkpoints(tmp_path: Path, nests: dict[str, int], taken: int) -> None:
    """Of several transformers the averaged one, and never a critic or a teacher."""
    nested: dict[str, Any] = {k: under("model.", theirs("causal", seed)) for k, seed in nests.items()}
    torch.save({**nested, "step": 3, "args": {"lr": 0.1}, "optimizer": {"state": {0: torch.ones(2)}}}, config(tmp_path) / "a.pt")
    end = transformer.read(tmp_path / "a.pt")
    assert same(end.tensors, found("causal", taken).tensors)
    assert end.left == 1 + len(theirs("causal")) * (len(nests) - 1)


def test_two_transformers_and_none_is_the_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = under("transformer.", theirs("causal")) | under("transformer_2.", theirs("causal"))
    file = save(config(tmp_path / "w") / "w.safetensors", both)
    assert "several times, under 'transformer.', 'transformer_2.'; save the one" in refused(capsys, file)


@pytest.mark.parametrize("names", ["released", "diffusers", "diffusers-beside-a-transformer"])
@pytest.mark.parametrize("prefix", ["", "model."])
def test_an_autoencoder_without_a_config(tmp_path: Path, names: str, prefix: str) -> None:
    size = wan_vae_names.config_of(OFFICIAL)
    state = wan_vae_names.from_official(OFFICIAL, size)
    folder = config(tmp_path) if names.endswith("transformer") else tmp_path
    file = save(folder / "vae.safetensors", under(prefix, OFFICIAL if names == "released" else state))
    part = components.read(file)
    assert part is not None and part.config == size and same(part.tensors, state)


@pytest.mark.parametrize("names", ["released", "transformers", "whole"])
def test_a_text_encoder_without_a_config(tmp_path: Path, names: str, capsys: pytest.CaptureFixture[str]) -> None:
    """ComfyUI's file brings its words and a logit_scale; the whole umT5 its decoder."""
    state = umt5_of_transformers()
    more: Stored = {
        "released": {},
        "transformers": {"spiece_model": torch.zeros(5, dtype=torch.uint8), "logit_scale": torch.ones(())},
        "whole": {"decoder.block.0.layer.0.SelfAttention.q.weight": torch.ones(2, 2), "lm_head.weight": torch.ones(2, 2)},
    }[names]
    more |= {} if names == "released" else {"encoder.embed_tokens.weight": state["shared.weight"].clone()}
    file = save(tmp_path / "t.safetensors", (text_weights() if names == "released" else state) | more)
    part = components.read(file)
    assert part is not None and part.config == TEXT and same(part.tensors, state)
    cli.main(["convert", str(file), "--out", str(tmp_path / "out")])
    said = capsys.readouterr().out
    assert ("1 under 'spiece_model'" in said) == (names == "transformers")
    assert ("2 of its decoder" in said) == (names == "whole")


def test_a_scaled_text_encoder(tmp_path: Path) -> None:
    """As ComfyUI has umT5-XXL: matrices of float8, words of 16 bits."""
    state, stored = umt5_of_transformers(), dict[str, Tensor]()
    for name, x in state.items():
        if x.ndim == 2 and "relative" not in name and name != "shared.weight":
            scale = x.abs().max() / 448
            stored |= {name: (x / scale).to(torch.float8_e4m3fn), name.replace(".weight", ".scale_weight"): scale}
        else:
            stored[name] = x.half()
    part = components.read(save(tmp_path / "t.safetensors", stored | {"scaled_fp8": torch.empty(0, dtype=torch.float8_e4m3fn)}))
    assert part is not None and part.config == TEXT
    assert all(float((part.tensors[k].float() - x).abs().max()) < 0.05 * float(x.abs().max()) for k, x in state.items())


def test_a_t5_that_is_no_umt5(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = {k: x for k, x in umt5_of_transformers().items() if "block.1.layer.0.SelfAttention.relative" not in k}
    assert "it is a T5, with one table of positions" in refused(capsys, save(tmp_path / "w" / "t.safetensors", state))


def pickled(file: Path, tensors: Stored) -> None:
    torch.save(tensors, file)


def old(file: Path, tensors: Stored) -> None:
    torch.save(tensors, file, _use_new_zipfile_serialization=False)


def safetensors(file: Path, tensors: Stored) -> None:
    save_file(tensors, file)


@pytest.mark.parametrize("ending", ["safetensors", "bin", "ckpt", "pt", "pth", "sft", "gguf"])
@pytest.mark.parametrize("write", [pickled, old, safetensors])
def test_any_ending(tmp_path: Path, ending: str, write: Callable[[Path, Stored], None]) -> None:
    """What a file is shows in its first bytes."""
    file = config(tmp_path) / f"w.{ending}"
    write(file, {k: x.contiguous() for k, x in theirs("causal").items()})
    assert same(transformer.read(file).tensors, found("causal").tensors)


@pytest.mark.parametrize("index", [True, False])
def test_shards_of_torch(tmp_path: Path, index: bool) -> None:
    whole, places = theirs("causal"), dict[str, str]()
    for i, names in enumerate((list(whole)[:50], list(whole)[50:]), 1):
        file = config(tmp_path) / f"pytorch_model-0000{i}-of-00002.bin"
        torch.save({k: whole[k].clone() for k in names}, file)
        places |= dict.fromkeys(names, file.name)
    if index:
        (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": places}))
    assert same(transformer.read(tmp_path).tensors, found("causal").tensors)
    (tmp_path / "pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(ValueError, match=r"00002-of-00002.bin: this shard of 2 is missing"):
        transformer.read(tmp_path)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("w.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "is a pointer of Git LFS"),
        ("w.safetensors", b"<!DOCTYPE html><html><body>Sign in</body></html>", "is a web page and not weights"),
        ("w.pth", b"\n <html>", "is a web page and not weights"),
        ("w.ckpt", b"\0" * 257 + b"ustar" + b"\0" * 300, "is a tar archive"),
        ("w.gguf", b"GG", "not a whole GGUF file"),
        ("w.bin", b"", "no torch checkpoint, or cut short"),
    ],
)
def test_files_that_are_no_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, data: bytes, said: str) -> None:
    file = config(tmp_path / "w") / name
    file.write_bytes(data)
    assert said in refused(capsys, file)


def test_a_training_state_of_many_machines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "__0_0.distcp").write_bytes(b"x")
    assert "dcp_to_torch" in refused(capsys, tmp_path / "w")


def test_what_lies_beside_is_counted_to_the_last(tmp_path: Path) -> None:
    whole = together()
    held = contents.read(save(tmp_path / "w.safetensors", whole))
    for kind, net in held.networks.items():
        counted = sum(int(x.split()[0]) for x in held.beside(kind))
        assert counted + len(net.tensors) == len(whole) and counted == held.left(kind)


def test_a_repack_among_the_folders_of_a_world(tmp_path: Path) -> None:
    """``dreamx generate`` reads each of its three folders in any layout."""
    save(tmp_path / "vae" / "wan2.2_vae.safetensors", OFFICIAL)
    save(tmp_path / "text_encoder" / "umt5.safetensors", umt5_of_transformers())
    for name, kind in (("vae", "vae"), ("text_encoder", "text")):
        part = components.read(tmp_path / name)
        assert part is not None and part.name == kind
    convert(ConvertConfig(tmp_path / "vae", tmp_path / "out"))
    assert isinstance(components.ours(tmp_path / "out").config, type(wan_vae_names.config_of(OFFICIAL)))
    assert isinstance(TEXT, UMT5Config)
