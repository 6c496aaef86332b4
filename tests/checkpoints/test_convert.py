"""Released checkpoints come in and go out again, bit for bit, and say what they are."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
import tyro
from torch import Tensor

from dreamx import cli
from dreamx.checkpoints import diffusers_names, official_names, release, transformer, weight_files
from dreamx.convert import ConvertConfig, convert
from dreamx.frames import clean
from dreamx.geometry.camera import level
from dreamx.model.attention import MaskedAttention
from dreamx.model.causal_config import CausalConfig
from dreamx.model.dit import DiT, ViewConfig
from official_small import CAM, CAUSAL, KINDS, TINY, WAN, found, same, save, theirs
from repo import ROOT

To = Literal["dreamx", "official", "official-pth", "diffusers"]


def through(folder: Path, source: Path, *steps: To) -> Path:
    """Convert again and again; the last folder."""
    for i, to in enumerate(steps):
        out = folder / f"{i}-{to}"
        convert(ConvertConfig(source, out, to, shard=TINY / 1e9))
        source = out
    return source


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", ["official", "official-pth", "diffusers"])
def test_round_trips_are_bit_equal(tmp_path: Path, kind: str, first: To) -> None:
    start = found(kind)
    transformer.write(tmp_path / "start", start, "")
    last = through(tmp_path, tmp_path / "start", first, "dreamx", "diffusers", "dreamx", "official-pth", "official", "dreamx")
    end = transformer.read(last)
    assert (end.config, end.kind, end.lora) == (start.config, start.kind, None)
    assert same(end.tensors, start.tensors)
    assert same(weight_files.read(tmp_path / "5-official"), theirs(kind))


def test_the_files_are_those_that_others_look_for(tmp_path: Path) -> None:
    for kind in KINDS:
        transformer.write(tmp_path / kind, found(kind), "")
    wan, cam, causal = (sorted(p.name for p in through(tmp_path / k / "x", tmp_path / k, "official").iterdir()) for k in KINDS)
    assert cam[:2] == ["config.json", "diffusion_pytorch_model-00001-of-00013.safetensors"]
    assert len(cam) == 15
    assert wan[-1] == "diffusion_pytorch_model.safetensors.index.json"
    assert causal == ["config.json", "model.safetensors"]
    index = json.loads((tmp_path / "cam/x/0-official" / cam[-1]).read_text())
    assert index["metadata"]["total_size"] == sum(4 * x.numel() for x in theirs("cam").values())
    diffusers = through(tmp_path / "y", tmp_path / "wan", "diffusers")
    said = json.loads((diffusers / "transformer/config.json").read_text())
    assert (said["_class_name"], said["attention_head_dim"]) == ("WanTransformer3DModel", 24)
    assert sorted(p.name for p in tmp_path.rglob(".*")) == []


@pytest.mark.parametrize(
    ("nest", "wrapper"),
    [
        ("", ""),
        ("", "model."),
        ("generator_ema", "model."),
        ("generator", "model._fsdp_wrapped_module."),
        ("generator_ema", "_orig_mod.model."),
        ("", "model.diffusion_model."),
    ],
)
def test_nesting_and_wrappers_come_off(tmp_path: Path, nest: str, wrapper: str) -> None:
    start = found("causal")
    inside = {wrapper + k: x for k, x in theirs("causal").items()}
    pickled: dict[str, Any] = {nest: inside, "critic": {"a": torch.zeros(3)}, "step": 7} if nest else inside
    if nest == "generator_ema":
        pickled["generator"] = {wrapper + k: x for k, x in theirs("causal", seed=1).items()}
    flat = {f"{nest}.{k}" if nest else k: x for k, x in inside.items()}
    torch.save(pickled, tmp_path / "model.pt")
    save(tmp_path / "flat" / "model.safetensors", flat)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(official_names.write_config(*CAUSAL)))
    for file in (tmp_path / "model.pt", tmp_path / "flat" / "model.safetensors"):
        end = transformer.read(file, config)
        assert same(end.tensors, start.tensors)
        assert end.kind == start.kind
        left = {"": 0, "generator": 1, "generator_ema": 1 + len(inside)}[nest] if file.suffix == ".pt" else 0
        assert end.left == left


def test_what_a_checkpoint_is_shows_in_its_config_or_is_said(tmp_path: Path) -> None:
    """Cam and causal weights of one width have the same shapes; the heads of the lane follow what they are."""
    config = replace(CAUSAL[0], view=ViewConfig(24, 2))
    weights = save(tmp_path / "model.safetensors", theirs("causal"))
    beside = tmp_path / "config.json"
    said = official_names.write_config(config, CAUSAL[1])
    both: dict[str, Any] = {k: v for k, v in said.items() if k not in ("local_attn_size", "sink_size", "num_frames_per_block")}
    heads = []
    for words, kind in (
        (said, None),
        (said, "causal"),
        ({**both, "_class_name": "WanModel"}, None),
        ({**both, "_class_name": "WanModel", "local_attn_size": -1}, None),
        ({**said, "_class_name": "WanModel"}, "cam"),
        ({**both, "_class_name": "Wan2_2Transformer3DModel"}, "cam"),
        ({k: v for k, v in both.items() if k != "_class_name"}, "cam"),
        ({k: v for k, v in both.items() if k != "_class_name"}, "causal"),
    ):
        beside.write_text(json.dumps(words))
        end = transformer.read(weights, family=None if kind is None else release.FAMILIES[kind])
        assert end.config.view is not None
        heads.append((end.config.view.heads, end.kind.past is not None))
    assert heads == [(2, True), (2, True), (1, False), (1, False), (1, False), (1, False), (1, False), (2, True)]
    assert end.kind.past == CausalConfig()  # as released, where the config does not say


def test_a_config_that_is_silent_about_the_lane_is_completed_from_the_weights(tmp_path: Path) -> None:
    """The released scripts put ``add_control_adapter`` into the config themselves; full PRoPE has no ``attn_compress``."""
    for view in (ViewConfig(24, 1, layers=(0, 2)), ViewConfig(48, 2, layers=(1,))):
        config = replace(CAM[0], view=view)
        tensors = {k: torch.randn(x) for k, x in official_names.shapes(config).items()}
        file = save(tmp_path / "model.safetensors", tensors)
        said = official_names.write_config(WAN[0], WAN[1])
        (tmp_path / "config.json").write_text(json.dumps(said))
        assert transformer.read(file).config == config


def test_without_any_config_the_shapes_say_it_and_heads_are_of_128(tmp_path: Path) -> None:
    config = replace(WAN[0], width=256, view=ViewConfig(64, 2, layers=(0, 1, 2)))
    tensors = {k: torch.zeros(x) for k, x in official_names.shapes(config).items()}
    file = save(tmp_path / "model.safetensors", tensors)
    end = transformer.read(file, family=release.FAMILIES["causal"])
    assert end.config == config
    renamed = {diffusers_names.to_diffusers(k): x for k, x in tensors.items()}
    assert transformer.read(save(tmp_path / "d.safetensors", renamed), family=release.FAMILIES["causal"]).config == config


def test_every_name_goes_to_diffusers_and_back() -> None:
    names = list(theirs("cam"))
    there = [diffusers_names.to_diffusers(n) for n in names]
    assert len(set(there)) == len(names)
    assert [diffusers_names.from_diffusers(n) for n in there] == names
    changed = [n for n, t in zip(names, there, strict=True) if n == t]
    assert all("cam_self_attn" in n or n.startswith("patch_embedding") for n in changed)


def answer(dit: DiT) -> Tensor:
    rng = torch.Generator().manual_seed(3)
    z, text = torch.randn(1, 2, 4, 4, 4, generator=rng), torch.randn(1, 5, 16, generator=rng)
    dtype = next(dit.parameters()).dtype
    frames = clean(z.to(dtype), level().map(lambda x: x.expand(1, 2, *x.shape)))
    with torch.no_grad():
        return dit(frames, text.to(dtype), MaskedAttention())


def test_the_network_is_the_mapped_file_itself_or_a_cast_of_it(tmp_path: Path) -> None:
    start = found("cam")
    transformer.write(tmp_path / "w", start, "")
    read = transformer.read(tmp_path / "w")
    dit = transformer.build(read)
    want = DiT(start.config)
    want.load_state_dict(start.tensors)
    assert torch.equal(answer(dit), answer(want))
    assert all(p.data_ptr() == read.tensors[k].data_ptr() for k, p in dit.named_parameters())  # no second copy
    assert all(p.requires_grad for p in dit.parameters())
    half = transformer.build(read, dtype=torch.bfloat16)
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}
    assert torch.allclose(answer(half).float(), answer(want), rtol=0.1, atol=0.1 * float(answer(want).abs().max()))
    with torch.no_grad():
        dit.head.bias.zero_()  # a mapped network may be trained: the file stays as it was
    assert same(transformer.read(tmp_path / "w").tensors, start.tensors)


def test_the_examples_of_the_docs_are_commands_and_all_flags_are_there() -> None:
    page = (ROOT / "docs/models.md").read_text()
    examples = [shlex.split(x) for x in re.findall(r"^    dreamx convert (.*?)(?:   .*)?$", page, re.MULTILINE)]
    assert len(examples) >= 7
    read = [tyro.cli(ConvertConfig, args=x) for x in examples]
    assert {c.kind for c in read} == {None, "wan", "cam", "causal"}
    for field in fields(ConvertConfig):
        assert field.name in ("source", "out") or f"| `--{field.name}" in page


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    source = save(tmp_path / "src" / "model.safetensors", theirs("causal"))
    (tmp_path / "src" / "config.json").write_text(json.dumps(official_names.write_config(*CAUSAL)))
    cli.main(["convert", str(source.parent), "--out", str(tmp_path / "ours"), "--dtype", "bfloat16"])
    out = capsys.readouterr().out
    assert "causal, chunks of 3, window 6, sinks 1; 3 layers 48 wide with 2 heads, a camera lane 24 wide with 2 heads" in out
    assert sorted(p.name for p in (tmp_path / "ours").iterdir()) == ["README.md", "config.json", "dit.safetensors"]
    end = transformer.read(tmp_path / "ours")
    assert same(end.tensors, {k: x.bfloat16() for k, x in found("causal").tensors.items()})
    assert "`dreamx convert`" in (tmp_path / "ours" / "README.md").read_text()
    lines = (tmp_path / "ours" / "README.md").read_text().split("```python\n")[1].split("```")[0]
    named: dict[str, Any] = {}
    monkeypatch.chdir(tmp_path)
    exec(lines, named)  # what the card says opens it, does
    assert isinstance(named["dit"], DiT)
    assert end.kind.past is not None
    cache = end.kind.past.cache()
    assert (cache.window, cache.sinks, cache.relative, cache.alone) == (6, 1, True, ("view",))
