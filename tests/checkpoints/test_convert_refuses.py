"""A checkpoint that is cut, incomplete or of something else is one sentence, exit code 2, and nothing is written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dreamx import cli
from dreamx.checkpoints import official_names, transformer, weight_files
from dreamx.convert import ConvertConfig, convert
from dreamx.model.causal_config import CausalConfig, TransformerMeta
from dreamx.model.dit import ViewConfig
from dreamx.model.vae import VAE, VAEConfig
from official_small import CAM, CAUSAL, KINDS, TINY, WAN, found, save, theirs


def refused(capsys: pytest.CaptureFixture[str], source: Path, *flags: str) -> str:
    """What the command says; it must be one sentence that names the source's files, and leave nothing behind."""
    out = source.parent / "out"
    with pytest.raises(SystemExit) as left:
        cli.main(["convert", str(source), "--out", str(out), *flags])
    said = capsys.readouterr().err
    assert left.value.code == 2
    assert len(said.splitlines()) == 1, said
    assert "Traceback" not in said
    assert not out.exists()
    assert not list(source.parent.glob(".out*"))
    return said


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The causal checkpoint in every layout, with the files that make it."""
    folder = tmp_path_factory.mktemp("layouts")
    transformer.write(folder / "dreamx", found("causal"), "")
    for to in ("official", "official-pth", "diffusers"):
        convert(ConvertConfig(folder / "dreamx", folder / to, to, shard=TINY / 1e9))
    return {to: folder / to for to in ("dreamx", "official", "official-pth", "diffusers")}


@pytest.mark.parametrize("to", ["dreamx", "official", "official-pth", "diffusers"])
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_cut_anywhere(layouts: dict[str, Path], to: str, data: st.DataObject) -> None:
    files = sorted(p for p in layouts[to].rglob("*") if p.is_file() and p.name != "README.md")
    file = data.draw(st.sampled_from(files), "file")
    whole = file.read_bytes()
    few = st.integers(0, min(40, len(whole) - 1))
    keep = data.draw(st.one_of(st.integers(0, len(whole) - 1), few, few.map(lambda n: len(whole) - 1 - n)), "bytes kept")
    out = layouts[to].parent / "out"
    try:
        file.write_bytes(whole[:keep])
        if whole[keep:] == b"\n":
            transformer.read(layouts[to])  # the last line break of JSON is no loss
        else:
            with pytest.raises(ValueError, match=re.escape(str(file))) as e:
                convert(ConvertConfig(layouts[to], out))
            assert len(str(e.value).splitlines()) == 1
            assert not out.exists()
    finally:
        file.write_bytes(whole)


def test_a_cut_file_is_exit_code_2(layouts: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    for folder in layouts.values():
        file = max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
        whole = file.read_bytes()
        try:
            file.write_bytes(whole[: len(whole) // 2])
            assert f"{file}: not a whole" in refused(capsys, folder)
        finally:
            file.write_bytes(whole)


@pytest.mark.parametrize("to", ["dreamx", "official", "official-pth", "diffusers"])
def test_a_deleted_file(layouts: dict[str, Path], to: str, capsys: pytest.CaptureFixture[str]) -> None:
    for file in sorted(p for p in layouts[to].rglob("*") if p.is_file() and p.name != "README.md"):
        whole = file.read_bytes()
        file.unlink()
        try:
            if file.name.endswith(".index.json"):
                transformer.read(layouts[to])  # shards say themselves how many they are
            else:
                said = refused(capsys, layouts[to])
                assert file.name in said or "holds no checkpoint" in said, said
        finally:
            file.write_bytes(whole)


def test_two_shards_gone_and_no_index(layouts: dict[str, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    whole = sorted((layouts["diffusers"] / "transformer").glob("*.safetensors"))
    for file in (*whole[1:2], *whole[3:]):
        (folder / file.name).write_bytes(file.read_bytes())
    said = refused(capsys, folder)
    assert f"{whole[0].name} (and 1 more): this shard of {len(whole)} is missing" in said


def test_a_shard_of_another_checkpoint(layouts: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    folder = layouts["diffusers"] / "transformer"
    one, two = sorted(folder.glob("*.safetensors"))[1:3]
    first, index = one.read_bytes(), folder / "diffusion_pytorch_model.safetensors.index.json"
    kept = index.read_bytes()
    try:
        one.write_bytes(two.read_bytes())
        assert "so this one is of another checkpoint" in refused(capsys, layouts["diffusers"])
        index.unlink()
        assert "so this one is of another checkpoint" in refused(capsys, layouts["diffusers"])
    finally:
        one.write_bytes(first)
        index.write_bytes(kept)
    transformer.read(layouts["diffusers"])


@pytest.mark.parametrize(
    ("weights", "config", "flags", "said"),
    [
        ("wan", "cam", (), "without camera lane, such as Wan2.2-TI2V-5B"),
        ("wan", "causal", (), "without camera lane, such as Wan2.2-TI2V-5B"),
        ("cam", "wan", ("lane off",), "it has a camera lane that the config does not"),
        ("cam", "causal", (), "'blocks.1.cam_self_attn.q_proj.weight' (and 9 more) is missing: the config.json has a"),
        ("causal", "cam", (), "(and 9 more) has no place in the transformer: it has a camera lane that"),
        ("wan", "wan", ("--kind", "cam"), "this is bidirectional, without camera lane (Wan2.2-TI2V-5B)"),
        ("cam", "cam", ("--kind", "causal"), "--kind says causal, with camera lane (DreamX-World-5B)"),
        ("causal", "causal", ("--kind", "wan"), "this is causal, with camera lane"),
        ("causal", "", (), "there is no config.json beside it that says whether it is causal"),
        ("causal", "", ("--kind", "causal"), "a width of 48 does not divide into heads of 128"),
    ],
)
def test_swapped_checkpoints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], weights: str, config: str, flags: tuple[str, ...], said: str
) -> None:
    file = save(tmp_path / "w" / "model.safetensors", theirs(weights))
    if config:
        words = official_names.write_config(*KINDS[config])
        if flags == ("lane off",):
            words, flags = {**words, "add_control_adapter": False}, ()
        (file.parent / "config.json").write_text(json.dumps(words))
    assert said in refused(capsys, file.parent, *flags)


def autoencoder(file: Path) -> Path:
    return save(file, {"encoder.conv1.weight": torch.zeros(3), "decoder.head.0.gamma": torch.zeros(3)})


def small_autoencoder(file: Path) -> Path:
    return save(file, {"encoder.0.weight": torch.zeros(3), "decoder.3.conv.0.weight": torch.zeros(3)})


def text_encoder(file: Path) -> Path:
    return save(file, {"token_embedding.weight": torch.zeros(3, 3), "blocks.0.attn.q.weight": torch.zeros(3, 3)})


def hugging_face_text_encoder(file: Path) -> Path:
    return save(file, {"encoder.block.0.layer.0.SelfAttention.q.weight": torch.zeros(3, 3), "encoder.embed": torch.zeros(3)})


def own_autoencoder(file: Path) -> Path:
    return save(file, {k: x.clone() for k, x in VAE(VAEConfig()).state_dict().items()})


def image_model(file: Path) -> Path:
    return save(file, {**theirs("wan"), "blocks.0.cross_attn.k_img.weight": torch.zeros(3, 3)})


def lora_file(file: Path) -> Path:
    return save(file, {"blocks.0.self_attn.q.lora_A.weight": torch.zeros(3, 3)})


def deeper(file: Path) -> Path:
    return save(file, {**theirs("wan"), "blocks.3.modulation": torch.zeros(1, 6, 48)})


def half(file: Path) -> Path:
    return save(file, {k: x for k, x in theirs("wan").items() if "blocks.2.ffn" not in k})


def empty(file: Path) -> Path:
    return save(file, {})


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (autoencoder, "these are autoencoder weights, not a transformer"),
        (small_autoencoder, "it is a small autoencoder such as taew2_2"),
        (own_autoencoder, "has no place in a transformer"),
        (text_encoder, "these are text encoder weights"),
        (hugging_face_text_encoder, "these are text encoder weights"),
        (image_model, "also reads CLIP features"),
        (lora_file, "give the weights, and these with --lora"),
        (deeper, "'blocks.3.modulation' has no place in the transformer: it is a deeper network"),
        (half, "'blocks.2.ffn.0.weight' (and 3 more) is missing"),
        (empty, "has no place in a transformer"),
    ],
)
def test_weights_of_something_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Callable[[Path], Path], said: str
) -> None:
    file = make(tmp_path / "w" / "model.safetensors")
    (file.parent / "config.json").write_text(json.dumps(official_names.write_config(*WAN)))
    words = refused(capsys, file, "--kind", "wan")
    assert said in words
    assert str(file) in words


def test_errors_name_keys_as_the_file_has_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    transformer.write(tmp_path / "ours", found("wan"), "")
    convert(ConvertConfig(tmp_path / "ours", tmp_path / "w", "diffusers"))
    file = tmp_path / "w/transformer/diffusion_pytorch_model.safetensors"
    tensors = weight_files.read(file)
    for name, changed in (
        ("blocks.1.attn1.to_out.0.bias", None),
        ("condition_embedder.time_proj.bias", torch.zeros(3)),
        ("blocks.0.attn2.add_k_proj.weight", torch.zeros(3)),
    ):
        twisted = {k: x for k, x in tensors.items() if k != name} | ({} if changed is None else {name: changed})
        save(file.with_name("x.safetensors"), twisted)
        file.with_name("x.safetensors").replace(file)
        assert repr(name) in refused(capsys, tmp_path / "w")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"dim": "48"}, "dim: the config of a released transformer has a positive whole number there, not '48'"),
        ({"text_len": None}, "text_len: must be a whole number"),
        ({"num_layers": 2}, "(and 26 more) has no place in the transformer: it is a deeper network than the config says"),
        ({"ffn_dim": 97}, "is (96, 48) where the config makes it (97, 48): the config.json is of another checkpoint"),
        ({"num_attention_heads": 2}, "in_channels: is missing in the config"),
        (
            {"local_attn_size": 12},
            "'WanModel' is bidirectional, but local_attn_size is of a causal one; give --config, or --kind",
        ),
        ({"dit": {}}, "is of a folder that dreamx wrote"),
    ],
)
def test_a_config_that_does_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: dict[str, Any], said: str) -> None:
    file = save(tmp_path / "w" / "model.safetensors", theirs("wan"))
    config = tmp_path / "other.json"
    config.write_text(json.dumps({**official_names.write_config(*WAN), **words}))
    assert said in refused(capsys, file, "--config", str(config))


def test_a_pickle_that_runs_code_is_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pth")
    assert "may run code" in refused(capsys, tmp_path / "model.pth")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pth", _use_new_zipfile_serialization=False)
    assert "may run code" in refused(capsys, tmp_path / "model.pth")


def test_folders_and_flags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no such file or folder" in refused(capsys, tmp_path / "nowhere")
    (tmp_path / "w").mkdir()
    assert "holds no checkpoint" in refused(capsys, tmp_path / "w")
    for name in ("a.safetensors", "b.safetensors"):
        save(tmp_path / "w" / name, theirs("wan"))
    assert "holds a.safetensors, b.safetensors; name the one to read" in refused(capsys, tmp_path / "w")
    transformer.write(tmp_path / "ours", found("cam"), "")
    assert "--shard must be more than 0" in refused(capsys, tmp_path / "ours", "--shard", "0")
    assert "--merge: there is no LoRA" in refused(capsys, tmp_path / "ours", "--merge", "1")
    with pytest.raises(ValueError, match="--out: .* is there already"):
        convert(ConvertConfig(tmp_path / "ours", tmp_path / "w"))
    config = tmp_path / "ours" / "config.json"
    config.write_text(json.dumps({"dit": json.loads(config.read_text())["dit"]}))
    assert "is of a training stage" in refused(capsys, tmp_path / "ours")


@pytest.mark.parametrize("part", ["dit.safetensors", "config.json"])
def test_our_folder_with_parts_of_another(tmp_path: Path, capsys: pytest.CaptureFixture[str], part: str) -> None:
    transformer.write(tmp_path / "cam", found("cam"), "")
    transformer.write(tmp_path / "wan", found("wan"), "")
    (tmp_path / "cam" / part).write_bytes((tmp_path / "wan" / part).read_bytes())
    assert "dit.safetensors: 'blocks.0.view." in refused(capsys, tmp_path / "cam")


def test_networks_that_were_never_released_have_no_released_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for config, kind in (
        (replace(WAN[0], hint=True), WAN[1]),
        (replace(CAM[0], view=ViewConfig(24, 1, pool=(2.0, 2.0))), CAM[1]),
        (replace(CAM[0], view=ViewConfig(24, 3)), CAM[1]),
        (CAUSAL[0], TransformerMeta(12, CausalConfig(alone=()))),
        (CAUSAL[0], TransformerMeta(12, CausalConfig(relative=False))),
        (CAUSAL[0], TransformerMeta(12)),
    ):
        with pytest.raises(ValueError, match=r"^config: "):
            official_names.write_config(config, kind)
