"""Conformance files that nobody published: truth is ``tests/reference``, plain code that agrees with the published ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dreamx.checkpoints import official_names, wan_vae_names
from dreamx.conformance import check
from dreamx.conformance.vectors import Vectors, read
from dreamx.geometry.camera import level, se3_inverse
from dreamx.geometry.controls import from_keys, walk
from dreamx.model import wan_vae
from reference import official_dit
from reference.official_dit import Slots
from reference.official_vae import Plain
from repo import TESTS

DATA = TESTS / "files"
BASE: dict[str, Any] = {
    "text_len": 9, "text_dim": 12, "in_dim": 4, "out_dim": 4, "dim": 48, "ffn_dim": 64, "freq_dim": 16, "num_heads": 2,
    "num_layers": 2, "local_attn_size": 6, "sink_size": 1, "eps": 1e-6, "add_control_adapter": True, "cam_method": "prope",
    "attn_compress": 2, "cam_self_attn_layers": [0, 1],
}  # fmt: skip


def random_weights(shapes: dict[str, torch.Size]) -> dict[str, Tensor]:
    """Of a size that lets every part of a network be heard."""
    return {
        k: (torch.randn(s) * (s[1:].numel() ** -0.5 if len(s) > 1 else 0.1)) + (1.0 if "norm" in k and "weight" in k else 0.0)
        for k, s in shapes.items()
    }


def cameras(frames: int) -> Tensor:
    """World-to-camera of a walk that is long and bent enough to be noticed."""
    return se3_inverse(walk(level(), from_keys((["wj", "di", "w", "ak"] * frames)[:frames])).pose)


def causal_file(path: Path, config: dict[str, Any], chunks: list[int], camera: bool = True, passes: int = 3) -> Path:
    """A causal file with chunks of these lengths, each passed over a few times, the last time clean."""
    torch.manual_seed(7)
    weights = random_weights(official_names.shapes(official_names.read_config(config, causal=True)))
    text, viewmats = torch.randn(1, 5, config["text_dim"]), cameras(sum(chunks))
    k = torch.tensor([[0.5, 0, 0], [0, 0.9, 0], [0, 0, 1]])
    past = [Slots(config["local_attn_size"], config["sink_size"]) for _ in range(config["num_layers"])]
    tensors, call, start = {f"weights.{n}": x for n, x in weights.items()}, 0, 0
    for n in chunks:
        for i in range(passes):
            z, t = torch.randn(1, config["in_dim"], n, 4, 6), torch.full((n,), 1000.0 * (1 - i / (passes - 1)))
            t[0] = 0.0 if start == 0 else t[0]
            seen = (viewmats[start : start + n], k) if camera else None
            flow = official_dit.forward(weights, config, z[0], t, text[0], seen, config["num_heads"], past, start)
            here = {"latents": z, "timesteps": t, "first_frame": torch.tensor([start]), "flow": flow[None].float()}
            tensors |= {f"call{call:02d}.{name}": x for name, x in here.items()}
            call += 1
        start += n
    tensors |= {"text_embeddings": text, "viewmats": viewmats, "intrinsics": k}
    save_file({n: x.contiguous() for n, x in tensors.items()}, path, {"config": json.dumps(config), "camera": json.dumps(camera)})
    return path


@pytest.mark.parametrize(
    ("changes", "chunks", "camera"),
    [
        ({}, [3] * 4, True),
        ({"sink_size": 0}, [3] * 4, True),
        ({"sink_size": 0, "local_attn_size": 3}, [3] * 3, True),
        ({"sink_size": 3, "local_attn_size": 9}, [3] * 5, False),
        ({"sink_size": 2, "local_attn_size": 5}, [2] * 5, True),
        ({"sink_size": 1, "local_attn_size": 4}, [1] * 8, True),
        ({"sink_size": 0, "local_attn_size": 7}, [2] * 6, False),
        ({"sink_size": 4, "local_attn_size": 8}, [4] * 3, True),
        ({"sink_size": 1, "local_attn_size": 7}, [1, 3, 3, 3, 2], True),
        ({"sink_size": 0, "local_attn_size": -1}, [3] * 4, True),
        ({"sink_size": 1, "local_attn_size": -1}, [2] * 4, True),
        ({"cam_self_attn_layers": [1]}, [3] * 3, True),
        ({"cam_self_attn_layers": []}, [3] * 3, True),
        ({"cam_self_attn_layers": None, "attn_compress": 1}, [3] * 3, True),
        ({"num_heads": 3, "attn_compress": 4}, [3] * 3, True),
        ({"dim": 40, "num_heads": 1, "num_layers": 3, "ffn_dim": 30, "cam_self_attn_layers": [0, 2]}, [3] * 3, True),
        ({"add_control_adapter": False}, [3] * 3, False),
        # Sinks that the first chunk does not fill, or that do not fit beside a chunk, are written once (see Past).
        ({"sink_size": 3, "local_attn_size": 6}, [1] * 8, True),
        ({"sink_size": 4, "local_attn_size": 7}, [3] * 4, True),
        ({"sink_size": 1, "local_attn_size": 3}, [3] * 4, True),
        ({"sink_size": 3, "local_attn_size": 4}, [3] * 4, True),
    ],
)
def test_causal_files_of_any_shape(tmp_path: Path, changes: dict[str, Any], chunks: list[int], camera: bool) -> None:
    verdict = check(causal_file(tmp_path / "a.safetensors", {**BASE, **changes}, chunks, camera))
    assert verdict.passed, verdict.errors
    assert len(verdict.errors) == 3 * len(chunks)


@pytest.mark.parametrize("key", ["local_attn_size", "sink_size"])
def test_windows_and_sinks_are_heard(tmp_path: Path, key: str) -> None:
    """A file whose numbers come from one frame more fails: the generated files could tell."""
    file = causal_file(tmp_path / "a.safetensors", BASE, [3] * 4)
    vectors = read(file)
    words = {"config": json.dumps({**BASE, key: BASE[key] + 1}), "camera": "true"}
    save_file(dict(vectors.tensors), tmp_path / "b.safetensors", words)
    assert check(file).passed
    assert not check(tmp_path / "b.safetensors").passed


@pytest.mark.parametrize(
    ("changes", "frames"),
    [
        ({}, 5),
        ({"num_heads": 4, "attn_compress": 2}, 3),
        ({"num_heads": 4, "attn_compress": 4, "cam_self_attn_layers": [1]}, 4),
        ({"attn_compress": 1, "dim": 64, "ffn_dim": 40}, 1),
        ({"add_control_adapter": False, "num_heads": 1, "dim": 20}, 6),
    ],
)
def test_bidirectional_files_of_any_shape(tmp_path: Path, changes: dict[str, Any], frames: int) -> None:
    torch.manual_seed(5)
    config = {**BASE, **changes}
    weights = random_weights(official_names.shapes(official_names.read_config(config, causal=False)))
    z, t = torch.randn(1, config["in_dim"], frames, 6, 4), torch.full((frames,), 700.0)
    t[0], text, viewmats = 0.0, torch.randn(1, 9, config["text_dim"]), cameras(frames)
    k = torch.tensor([[0.6, 0, 0], [0, 0.8, 0], [0, 0, 1]])
    heads = config["num_heads"] // config["attn_compress"]
    tensors = {"latents": z, "timesteps": t, "text_embeddings": text, "viewmats": viewmats, "intrinsics": k}
    for name, seen in (("flow", (viewmats, k)), ("flow_no_camera", None)):
        if config["add_control_adapter"] or seen is None:
            tensors[name] = official_dit.forward(weights, config, z[0], t, text[0], seen, heads)[None].float()
    tensors |= {f"weights.{n}": x for n, x in weights.items()}
    save_file({n: x.contiguous() for n, x in tensors.items()}, tmp_path / "a.safetensors", {"config": json.dumps(config)})
    verdict = check(tmp_path / "a.safetensors")
    assert verdict.passed, verdict.errors
    assert len(verdict.errors) == (2 if config["add_control_adapter"] else 1)


def vae_vectors(config: wan_vae.WanVAEConfig, frames: int, height: int, width: int) -> dict[str, Tensor]:
    """The tensors of an autoencoder's file."""
    torch.manual_seed(3)
    shapes = {a: wan_vae.shapes(config)[b] for a, b in wan_vae_names.names(config).items()}
    weights = random_weights(shapes) | {k: 1 + 0.1 * torch.randn(s) for k, s in shapes.items() if k.endswith("gamma")}
    plain, video = Plain(weights), torch.rand(3, frames, height, width) * 2 - 1
    mean, std = (torch.tensor(x) for x in (config.mean, config.std))
    latents = (plain.encode(video) - mean.reshape(-1, 1, 1, 1)) / std.reshape(-1, 1, 1, 1)
    made = plain.decode(latents * std.reshape(-1, 1, 1, 1) + mean.reshape(-1, 1, 1, 1))
    found = {"video": video[None], "latents": latents[None].float(), "reconstruction": made[None].float()}
    return {**found, "latent_mean": mean, "latent_std": std, **{f"weights.{k}": x for k, x in weights.items()}}


SMALL = wan_vae.WanVAEConfig(4, 4, 6, (1, 2, 4, 4), 1, mean=(0.1, -0.2, 0.0, 0.3), std=(0.5, 1.0, 2.0, 0.8))


@pytest.mark.parametrize(
    ("config", "frames"),
    [
        (SMALL, 9),
        (SMALL, 1),
        (SMALL, 5),
        (replace(SMALL, encoder=12, decoder=5), 5),
        (replace(SMALL, blocks=2), 5),
        (replace(SMALL, multiples=(1, 1, 2, 2)), 5),
        (replace(SMALL, multiples=(2, 2, 4, 4), time=(True, True, False)), 9),
        (replace(SMALL, multiples=(1, 2, 2), time=(False, True)), 9),
        (replace(SMALL, latent=2, mean=(0.0, 1.0), std=(1.0, 0.3)), 5),
    ],
)
def test_autoencoder_files_of_any_shape(tmp_path: Path, config: wan_vae.WanVAEConfig, frames: int) -> None:
    tensors = vae_vectors(config, frames, 16, 32)
    save_file({n: x.contiguous() for n, x in tensors.items()}, tmp_path / "a.safetensors")
    verdict = check(tmp_path / "a.safetensors")
    assert verdict.passed, verdict.errors
    assert verdict.errors.keys() == {"latents", "reconstruction"}


def test_the_references_agree_with_the_published_files() -> None:
    """Else the tests above would only say that we agree with ourselves."""
    for name in ("causal_camera_sink1", "causal_nocam_sink3"):
        v = read(DATA / f"{name}.safetensors")
        config, worst = v.words["config"], 0.0
        past = [Slots(config["local_attn_size"], config["sink_size"]) for _ in range(config["num_layers"])]
        for i in range(25):
            flow = _published(v, config, past, f"call{i:02d}")
            worst = max(worst, float((flow - v[f"call{i:02d}.flow"][0]).abs().max()))
        assert worst < 1e-5
    v = read(DATA / "bidirectional_camera.safetensors")
    config = v.words["config"]
    for name, seen in (("flow", (v["viewmats"], v["intrinsics"])), ("flow_no_camera", None)):
        inputs = v["latents"][0], v["timesteps"], v["text_embeddings"][0]
        flow = official_dit.forward(v.weights(), config, *inputs, seen, config["num_heads"] // config["attn_compress"])
        assert float((flow - v[name][0]).abs().max()) < 1e-5
    v = read(DATA / "wan22_vae.safetensors")
    plain, mean, std = Plain(v.weights()), v["latent_mean"].reshape(-1, 1, 1, 1), v["latent_std"].reshape(-1, 1, 1, 1)
    assert float(((plain.encode(v["video"][0]) - mean) / std - v["latents"][0]).abs().max()) < 1e-5
    assert float((plain.decode(v["latents"][0] * std + mean) - v["reconstruction"][0]).abs().max()) < 1e-5


def _published(v: Vectors, config: dict[str, Any], past: list[Slots], call: str) -> Tensor:
    start = int(v[f"{call}.first_frame"])
    seen = (v["viewmats"][start : start + 3], v["intrinsics"]) if v.words["camera"] else None
    inputs = v[f"{call}.latents"][0], v[f"{call}.timesteps"], v["text_embeddings"][0]
    return official_dit.forward(v.weights(), config, *inputs, seen, config["num_heads"], past, start)
