"""The numbers of the official implementation, by way of the one definition that training and play use."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dreamx import cli
from dreamx.checkpoints import official_names
from dreamx.conformance import check, read
from dreamx.frames import clean
from dreamx.geometry import from_keys, walk
from dreamx.geometry import official as scripts
from dreamx.geometry.camera import level
from dreamx.model.dit import DiT, DiTConfig, ViewConfig
from dreamx.model.kv_cache import KVCache
from repo import TESTS

DATA = TESTS / "files"
CAUSAL, STILL, BOTH_WAYS, PATHS, VIDEO = (
    DATA / f"{name}.safetensors"
    for name in ("causal_camera_sink1", "causal_nocam_sink3", "bidirectional_camera", "trajectories", "wan22_vae")
)
KINDS = {CAUSAL: 28, STILL: 28, BOTH_WAYS: 2, PATHS: 15, VIDEO: 2}
SMALL = DiTConfig(4, 48, 2, 3, 96, 16, frequencies=32, view=ViewConfig(24, 3, layers=(0, 2)))
#: The released config.json of DreamX-World-5B, without what only names versions.
FULL: dict[str, Any] = {
    "model_type": "ti2v", "patch_size": [1, 2, 2], "text_len": 512, "text_dim": 4096, "in_dim": 48, "dim": 3072,
    "ffn_dim": 14336, "freq_dim": 256, "out_dim": 48, "num_heads": 24, "num_layers": 30, "local_attn_size": 12,
    "sink_size": 3, "qk_norm": True, "cross_attn_norm": True, "eps": 1e-6, "add_control_adapter": True,
    "cam_method": "prope", "attn_compress": 4, "cam_self_attn_layers": list(range(30)),
}  # fmt: skip


def changed(folder: Path, file: Path, tensors: dict[str, Tensor], words: dict[str, Any] | None = None) -> Path:
    """A copy of a file of vectors with other tensors and metadata in it."""
    vectors = read(file)
    metadata = {k: v if isinstance(v, str) else json.dumps(v) for k, v in {**vectors.words, **(words or {})}.items()}
    save_file({k: x.contiguous() for k, x in {**vectors.tensors, **tensors}.items()}, folder / file.name, metadata)
    return folder / file.name


@pytest.mark.parametrize("file", KINDS, ids=lambda f: f.stem)
def test_agrees_with_the_official_implementation(file: Path) -> None:
    verdict = check(file)
    assert verdict.passed, verdict.errors
    assert len(verdict.errors) == KINDS[file]
    assert max(verdict.errors.values()) < 1e-5


@pytest.mark.parametrize(
    ("file", "name", "at", "by"),
    [
        (CAUSAL, "call24.flow", (0, 0, 0, 0, 0), 2e-4),
        (CAUSAL, "call13.flow", (0, 0, 0, 0, 0), float("nan")),
        (CAUSAL, "call04.latents", (0, 3, 1, 2, 2), 0.1),
        (CAUSAL, "call09.timesteps", (1,), 100.0),
        (CAUSAL, "viewmats", (4, 0, 3), 0.1),
        (CAUSAL, "intrinsics", (0, 0), 0.05),
        (CAUSAL, "text_embeddings", (0, 3, 3), 1.0),
        (CAUSAL, "weights.blocks.1.cam_self_attn.out_proj.weight", (5, 5), 0.1),
        (CAUSAL, "scheduler.sigmas", (500,), 2e-4),
        (CAUSAL, "denoising_timesteps", (1,), 0.2),
        (STILL, "call20.flow", (0, 7, 2, 7, 7), -2e-4),
        (STILL, "weights.patch_embedding.weight", (3, 2, 0, 1, 0), 0.1),
        (STILL, "weights.head.head.weight", (9, 9), 0.1),
        (BOTH_WAYS, "flow", (0, 0, 5, 0, 0), 2e-4),
        (BOTH_WAYS, "flow_no_camera", (0, 0, 5, 0, 0), 2e-4),
        (BOTH_WAYS, "viewmats", (3, 2, 3), 0.1),
        (BOTH_WAYS, "timesteps", (0,), 10.0),
        (BOTH_WAYS, "weights.blocks.0.modulation", (0, 2, 7), 0.1),
        (PATHS, "case3.w2c", (92, 0, 3), 2e-4),
        (PATHS, "case1.viewmats", (20, 1, 1), 2e-4),
        (PATHS, "case0.intrinsics", (1, 1), 2e-4),
        (VIDEO, "latents", (0, 5, 2, 1, 2), 2e-4),
        (VIDEO, "reconstruction", (0, 2, 8, 31, 47), -2e-4),
        (VIDEO, "video", (0, 1, 4, 9, 9), 0.5),
        (VIDEO, "latent_std", (3,), 0.01),
        (VIDEO, "weights.decoder.middle.1.proj.weight", (3, 4, 0, 0), 0.1),
        (VIDEO, "weights.encoder.downsamples.2.downsamples.1.time_conv.weight", (3, 4, 0, 0, 0), 0.1),
    ],
)
def test_a_perturbed_file_fails(tmp_path: Path, file: Path, name: str, at: tuple[int, ...], by: float) -> None:
    x = read(file)[name].clone()
    x[at] += by
    assert not check(changed(tmp_path, file, {name: x})).passed


@pytest.mark.parametrize(
    ("file", "key", "value"),
    [
        (CAUSAL, "local_attn_size", 7),
        (CAUSAL, "sink_size", 0),
        (CAUSAL, "num_heads", 1),
        (STILL, "local_attn_size", -1),
        (STILL, "sink_size", 1),
        (STILL, "text_len", 17),
        (BOTH_WAYS, "num_heads", 2),
    ],
)
def test_another_config_fails(tmp_path: Path, file: Path, key: str, value: int) -> None:
    config = {**read(file).words["config"], key: value}
    assert not check(changed(tmp_path, file, {}, {"config": config})).passed


def test_the_decoder_is_compared_before_it_is_clamped(tmp_path: Path) -> None:
    made = read(VIDEO)["reconstruction"]
    at = tuple(int(i) for i in (made > 1.1).nonzero()[0])
    bent = made.clone()
    bent[at] += 0.1
    assert not check(changed(tmp_path, VIDEO, {"reconstruction": bent})).passed


def test_the_camera_lane_of_the_causal_model_sees_its_chunk_alone() -> None:
    torch.manual_seed(0)
    dit = DiT(replace(SMALL, view=ViewConfig(24, 3)))
    for p in dit.parameters():
        torch.nn.init.normal_(p, std=0.3)
    camera = walk(level(), from_keys(["wj"] * 6))
    known, text = clean(torch.randn(1, 6, 4, 4, 4), camera.map(lambda x: x[None])), torch.randn(1, 3, 16)

    def second(cache: KVCache, bent: bool) -> Tensor:
        """The second chunk; ``bent`` moves the cameras of the first after it was made."""
        with torch.no_grad():
            dit(known[0:3], text, cache)
            cache.commit()
            assert cache.where is not None
            if bent:
                cache.where = replace(cache.where, camera=cache.where.camera[:, [2, 0, 1]])
            return dit(known[3:6], text, cache.fork())

    alone = KVCache(alone=("view",))
    assert torch.allclose(second(alone, False), second(KVCache(alone=("view",)), True), atol=1e-6)
    assert not torch.allclose(second(KVCache(), False), second(KVCache(), True), atol=1e-3)
    assert {lane for _, lane in alone.kv} == {"time"}  # and what nobody reads is not kept


@pytest.mark.parametrize("file", [CAUSAL, BOTH_WAYS], ids=lambda f: f.stem)
def test_official_weights_come_back_bit_for_bit(file: Path) -> None:
    vectors = read(file)
    theirs = {k.removeprefix("weights."): x for k, x in vectors.tensors.items() if k.startswith("weights.")}
    config = official_names.read_config(vectors.words["config"], causal=file == CAUSAL)
    assert config.view is not None
    assert config.view.heads == 2  # 2 of 2 in the causal file, 4 / 2 in the bidirectional one
    dit = official_names.load(theirs, config)
    back = official_names.to_official(dit.state_dict(), config)
    assert back.keys() == theirs.keys()
    assert all(torch.equal(back[k], x) for k, x in theirs.items())


def test_our_weights_come_back_bit_for_bit() -> None:
    ours = DiT(SMALL).state_dict()
    theirs = official_names.to_official(ours, SMALL)
    assert "blocks.2.cam_self_attn.q_proj.weight" in theirs
    assert not any(k.startswith("blocks.1.cam_self_attn") for k in theirs)
    back = official_names.from_official(theirs, SMALL)
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[k], x) for k, x in ours.items())


def test_the_full_size_has_the_released_number_of_parameters() -> None:
    causal, both_ways = (official_names.read_config(FULL, causal=c) for c in (True, False))
    assert causal.view is not None
    assert both_ways.view is not None
    assert (causal.view.width, causal.view.heads, both_ways.view.heads) == (768, 24, 6)
    shapes = official_names.shapes(causal)
    assert shapes == official_names.shapes(both_ways)  # which is why a checkpoint must say what it is
    wan = official_names.shapes(official_names.read_config({**FULL, "add_control_adapter": False}, causal=False))
    assert (len(wan), sum(s.numel() for s in wan.values())) == (825, 4_999_787_712)
    lane = sum(s.numel() for k, s in shapes.items() if "cam_self_attn" in k)
    assert sum(s.numel() for s in shapes.values()) == 4_999_787_712 + lane
    assert lane == 30 * (4 * 3072 * 768 + 5 * 768 + 3072)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("encoder.conv1.weight", "autoencoder weights, not a transformer"),
        ("decoder.middle.0.residual.0.gamma", "autoencoder weights, not a transformer"),
        ("blocks.0.attn1.to_q.weight", "diffusers layout"),
        ("condition_embedder.time_proj.weight", "diffusers layout"),
        ("token_embedding.weight", "text encoder weights"),
        ("generator_ema.model.blocks.0.modulation", "under `generator_ema`"),
        ("model.blocks.0.self_attn.q.weight", "strip `model.`"),
        ("blocks.0.self_attn.q.lora_A.weight", "LoRA"),
        ("blocks.0.cross_attn.k_img.weight", "CLIP features"),
        ("blocks.1.cam_self_attn.q_proj.weight", "camera lane that the config does not"),
        ("blocks.3.modulation", "deeper network"),
        ("something", "something else"),
    ],
)
def test_an_unknown_key_is_named_with_its_likely_cause(name: str, said: str) -> None:
    theirs = {**official_names.to_official(DiT(SMALL).state_dict(), SMALL), name: torch.zeros(1)}
    with pytest.raises(ValueError, match=rf"^'{name}' has no place in the transformer: .*{said}"):
        official_names.from_official(theirs, SMALL)


def test_a_missing_or_misshapen_key_is_named_with_its_likely_cause() -> None:
    theirs = official_names.to_official(DiT(SMALL).state_dict(), SMALL)
    for name, said in (("blocks.2.ffn.0.bias", "shard"), ("blocks.0.cam_self_attn.norm_q.weight", "camera lane in layers")):
        with pytest.raises(ValueError, match=rf"'{name}' is missing: .*{said}"):
            official_names.from_official({k: x for k, x in theirs.items() if k != name}, SMALL)
    with pytest.raises(ValueError, match=r"'head.head.bias' is \(3,\) where the config makes it \(16,\)"):
        official_names.from_official({**theirs, "head.head.bias": torch.zeros(3)}, SMALL)


@pytest.mark.parametrize(
    ("key", "value"),
    [("dim", None), ("num_heads", "24"), ("qk_norm", False), ("patch_size", [2, 2, 2]), ("out_dim", 16), ("attn_compress", 5)],
)
def test_a_config_of_another_network_is_refused(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{key}: "):
        official_names.read_config({**FULL, key: value}, causal=True)


def test_the_same_list_means_different_motion_to_the_two_scripts() -> None:
    """Measured on the official scripts, 81 frames."""
    for number in (4, 40):
        assert scripts.autoregressive(["w"], [number], 81).pose[-1, 2, 3] == pytest.approx(6.075)
    assert scripts.bidirectional(["w"], [4], 81).pose[-1, 2, 3] == pytest.approx(4 * 80 / 81)
    heading = scripts.bidirectional(["l"], [4], 81).pose[-1, :3, 2]
    assert torch.rad2deg(torch.atan2(heading[0], heading[2])) == pytest.approx(40 * 80 / 81)
    arc, line = (f(["wj"], [6], 81).pose[:, :3, 3] for f in (scripts.autoregressive, scripts.bidirectional))
    assert torch.linalg.matrix_rank(line, atol=1e-6) == 1
    assert torch.linalg.matrix_rank(arc, atol=1e-6) == 2


def test_the_bidirectional_script_against_plain_euler_angles() -> None:
    actions, speeds, frames, length = ["i", "wj", "sd"], [3, 6, 2], 81, 27
    pitch, yaw, place, want = 0.0, 0.0, np.zeros(3), [np.eye(4)]
    for held, speed in zip(actions, speeds, strict=True):
        p, y, start = np.radians(pitch), np.radians(yaw), place.copy()
        forward = np.array([-np.sin(y) * np.cos(p), np.sin(p), np.cos(y) * np.cos(p)])
        right = np.array([np.cos(y), 0, np.sin(y)])
        step = {"i": 0 * forward, "wj": forward, "sd": right - forward}[held] * speed / length
        for i in range(1, length + 1):
            pitch += {"i": -10 * speed / length}.get(held, 0.0)
            yaw += {"wj": 10 * speed / length}.get(held, 0.0)
            place = start + i * step
            (sy, cy), (sp, cp) = ((np.sin(a), np.cos(a)) for a in np.radians([yaw, pitch]))
            r = np.array([[cy, sy * sp, sy * cp], [0, cp, -sp], [-sy, cy * sp, cy * cp]])
            want.append(np.vstack([np.hstack([r, -(r @ place)[:, None]]), [0, 0, 0, 1]]))
    rows = torch.from_numpy(np.stack(want)[:frames, :3])
    camera = scripts.bidirectional(actions, speeds, frames)
    assert torch.allclose(scripts.rows(camera), rows, atol=1e-12)


def test_a_case_of_the_bidirectional_script_is_known_by_its_intrinsics(tmp_path: Path) -> None:
    script = {"actions": ["w", "dj"], "speeds": [4, 6], "num_frames": 81}
    camera = scripts.bidirectional(["w", "dj"], [4, 6], 81)
    w2c = torch.cat([scripts.rows(camera), torch.tensor([0.0, 0, 0, 1]).double().expand(81, 1, 4)], 1)
    k = torch.diag(torch.tensor([969.69697 / 1920, 969.69697 / 1080, 1.0]))
    tensors = {"case0.w2c": w2c[:, :3].float(), "case0.viewmats": w2c[::4].float(), "case0.intrinsics": k}
    save_file({n: x.contiguous() for n, x in tensors.items()}, tmp_path / "a.safetensors", {"case0": json.dumps(script)})
    assert check(tmp_path / "a.safetensors").passed
    k[:2, 2] = 0.5
    script["chunk_relative"] = False
    save_file({n: x.contiguous() for n, x in tensors.items()}, tmp_path / "a.safetensors", {"case0": json.dumps(script)})
    assert not check(tmp_path / "a.safetensors").passed


@pytest.mark.parametrize(
    ("actions", "numbers", "frames", "said"),
    [
        (["w"], [1, 2], 81, "one number for each"),
        ([], [], 81, "one number"),
        (["w"], [-1], 81, "negative"),
        (["q"], [1], 81, "'q'"),
    ],
)
def test_lists_that_mean_nothing_are_refused(actions: list[str], numbers: list[float], frames: int, said: str) -> None:
    for script in (scripts.autoregressive, scripts.bidirectional):
        with pytest.raises(ValueError, match=said):
            script(actions, numbers, frames)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["conformance", str(PATHS)])
    assert capsys.readouterr().out.splitlines()[-1] == "pass"
    cli.main(["conformance", "--json", str(PATHS), str(BOTH_WAYS)])
    first, second = json.loads(capsys.readouterr().out)
    assert (first["kind"], second["kind"]) == ("trajectories", "bidirectional transformer")
    assert second["passed"] is True
    assert 0 < second["errors"]["flow"] < 1e-4
    cli.main(["conformance", *map(str, KINDS)])
    assert capsys.readouterr().out.splitlines().count("pass") == len(KINDS)
    nan = changed(tmp_path, VIDEO, {"latents": read(VIDEO)["latents"] * float("nan")})
    with pytest.raises(SystemExit) as left:
        cli.main(["conformance", "--json", str(nan)])
    assert left.value.code == 1
    (said,) = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)  # NaN is not JSON
    assert (said["kind"], said["passed"], said["errors"]["latents"]) == ("video autoencoder", False, None)
    bad = changed(tmp_path, BOTH_WAYS, {"flow": read(BOTH_WAYS)["flow"] + 1})
    with pytest.raises(SystemExit) as left:
        cli.main(["conformance", str(PATHS), str(bad)])
    assert left.value.code == 1
    out = capsys.readouterr().out
    assert "more than 0.0001" in out
    assert out.splitlines()[-1] == "FAIL"


def test_files_that_cannot_be_run_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut, odd = tmp_path / "cut.safetensors", tmp_path / "odd.safetensors"
    cut.write_bytes(BOTH_WAYS.read_bytes()[:100_000])
    save_file({"a": torch.zeros(1)}, odd)
    without = changed(tmp_path, BOTH_WAYS, {"weights.encoder.conv1.weight": torch.zeros(1)})
    bare = tmp_path / "bare.safetensors"
    save_file({k: x for k, x in read(VIDEO).tensors.items() if not k.startswith("weights.")}, bare)
    lost = tmp_path / "lost.safetensors"
    save_file({k: x for k, x in read(VIDEO).tensors.items() if k != "weights.decoder.conv1.bias"}, lost)
    nameless = tmp_path / "nameless.safetensors"
    save_file(dict(read(BOTH_WAYS).tensors), nameless)
    for file, said in (
        (tmp_path / "no.safetensors", "no such file"),
        (cut, "cut short"),
        (odd, "no conformance vectors"),
        (without, "autoencoder weights"),
        (bare, "has no weights.* tensors"),
        (lost, "'decoder.conv1.bias' is missing"),
        (nameless, "has no config.text_len in its metadata"),
    ):
        with pytest.raises(SystemExit) as left:
            cli.main(["conformance", str(file)])
        err = capsys.readouterr().err
        assert left.value.code == 2
        assert said in err
        assert len(err.splitlines()) == 1
