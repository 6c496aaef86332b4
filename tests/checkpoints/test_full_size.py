"""The networks of the released models at full size: every name and shape on the meta device, and once with random weights.

``tests/files/released_shapes.json`` was taken from the official code, not from ours.
"""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dreamx.checkpoints import diffusers_names, official_names, transformer, umt5_names, wan_vae_names
from dreamx.fast.offload import offload
from dreamx.frames import Frames, clean
from dreamx.geometry import camera as cameras
from dreamx.geometry.camera import level
from dreamx.geometry.controls import from_keys, walk
from dreamx.model import umt5, wan_vae
from dreamx.model.attention import MaskedAttention
from dreamx.model.dit import DiT, DiTConfig, ViewConfig
from dreamx.model.umt5 import UMT5Config
from dreamx.model.wan_vae import WanVAEConfig
from repo import TESTS

LISTED: dict[str, Any] = json.loads((TESTS / "files/released_shapes.json").read_text())
#: The released config.json of DreamX-World-5B; without a camera lane it is Wan2.2-TI2V-5B.
SAID: dict[str, Any] = {
    "model_type": "ti2v", "patch_size": [1, 2, 2], "text_len": 512, "text_dim": 4096, "in_dim": 48, "dim": 3072,
    "ffn_dim": 14336, "freq_dim": 256, "out_dim": 48, "num_heads": 24, "num_layers": 30, "local_attn_size": 12,
    "sink_size": 3, "qk_norm": True, "cross_attn_norm": True, "eps": 1e-6, "add_control_adapter": True,
    "in_dim_control_adapter": 24, "downscale_factor_control_adapter": 16, "add_ref_conv": False,
    "cam_method": "prope", "attn_compress": 4, "cam_self_attn_layers": list(range(30)),
}  # fmt: skip
W5B = DiTConfig(48, 3072, 24, 30, 14336, 4096)
GIB = 2**30


def listed(*parts: str) -> dict[str, torch.Size]:
    """Every name and shape of some parts of the file, with ``blocks.*`` written out; the counts that it states must come out."""
    found: dict[str, torch.Size] = {}
    for part in parts:
        said = LISTED[part]
        own: dict[str, torch.Size] = {}
        for name, shape in said["shapes"].items():
            numbers = range(said["blocks"]) if ".*." in name else (0,)
            own |= {name.replace("*", str(i)): torch.Size(shape) for i in numbers}
        assert (len(own), count(own)) == (said["tensors"], said["parameters"])
        found |= own
    return found


def count(shapes: dict[str, torch.Size]) -> int:
    return sum(s.numel() for s in shapes.values())


@pytest.mark.parametrize(
    ("parts", "causal", "heads"),
    [(("transformer",), False, 0), (("transformer", "camera lane"), False, 6), (("transformer", "camera lane"), True, 24)],
)
def test_the_transformer_is_the_released_one(parts: tuple[str, ...], causal: bool, heads: int) -> None:
    words = SAID if heads else {**SAID, "add_control_adapter": False}
    config = official_names.read_config(words, causal)
    assert config == replace(W5B, view=ViewConfig(768, heads, layers=tuple(range(30))) if heads else None)
    want = listed(*parts)
    assert official_names.shapes(config) == want
    with torch.device("meta"):
        dit = DiT(config)
    assert sum(p.numel() for p in dit.parameters()) == count(want) == (5_283_110_592 if heads else 4_999_787_712)
    assert not list(dit.buffers())
    assert (
        official_names.read_config(official_names.write_config(config, official_names.read_kind(words, causal)), causal) == config
    )


def test_the_transformer_is_that_of_diffusers() -> None:
    from diffusers.models.transformers.transformer_wan import WanTransformer3DModel

    said = diffusers_names.config_to_diffusers(W5B, official_names.read_kind(SAID, causal=False))
    with torch.device("meta"):
        net = WanTransformer3DModel.from_config(said)
    assert isinstance(net, WanTransformer3DModel)
    theirs = {k: x.shape for k, x in net.state_dict().items()}
    assert theirs == {diffusers_names.to_diffusers(k): s for k, s in listed("transformer").items()}


def test_the_autoencoder_and_the_text_encoder_are_the_released_ones() -> None:
    vae, text = WanVAEConfig(), UMT5Config()
    ours, names = wan_vae.shapes(vae), wan_vae_names.names(vae)
    assert {a: ours[b] for a, b in names.items()} == listed("autoencoder")
    assert ours.keys() == set(names.values())
    ours, names = umt5.shapes(text), umt5_names.names(text)
    assert {a: ours[b] for a, b in names.items()} == listed("text encoder")
    assert ours.keys() == set(names.values())


@dataclass
class Memory:
    """Bytes of main memory that the process had to itself at most; pages of mapped files are not its own."""

    before: int
    most: int = 0

    @property
    def grown(self) -> int:
        return self.most - self.before


@contextmanager
def watched() -> Iterator[Memory]:
    def own() -> int:
        found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
        assert found is not None
        return 1024 * int(found[1])

    def watch() -> None:
        while not done.wait(0.02):
            memory.most = max(memory.most, own())

    memory, done = Memory(own()), threading.Event()
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield memory
    finally:
        done.set()
        thread.join()


class Random:
    """Random bfloat16 tensors, any number of them for the price of one: each is a stretch of the same numbers."""

    def __init__(self, most: int) -> None:
        few = 4_000_037  # a prime, so that no two rows of a matrix begin at the same number
        numbers = torch.randn(few, generator=torch.Generator().manual_seed(0)) * 3072**-0.5
        self.numbers = numbers.bfloat16().repeat(2 + most // few)
        self.few = few

    def __call__(self, name: str, shape: torch.Size) -> Tensor:
        if name.endswith(("norm_q.weight", "norm_k.weight", "norm3.weight")):
            return torch.ones(shape, dtype=torch.bfloat16)
        start = sum(name.encode()) * 977 % self.few
        return self.numbers[start : start + shape.numel()].view(shape)


def write_shard(file: Path, tensors: dict[str, Tensor]) -> None:
    """A safetensors file by its description; the library does not write tensors that share their memory."""
    said: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, x in tensors.items():
        said[name] = {"dtype": "BF16", "shape": list(x.shape), "data_offsets": [end, end + x.nbytes]}
        end += x.nbytes
    words = json.dumps(said).encode()
    words += b" " * (-len(words) % 8)
    with file.open("wb") as f:
        f.write(len(words).to_bytes(8, "little") + words)
        for x in tensors.values():
            x.flatten().view(torch.int16).numpy().tofile(f)


def write_random(folder: Path, shapes: dict[str, torch.Size], random: Random) -> None:
    """A bidirectional checkpoint as it is released: shards, their index, and the config."""
    folder.mkdir()
    groups: list[list[str]] = [[], [], [], []]
    for name in shapes:
        groups[int(name.split(".")[1]) // 8 if name.startswith("blocks.") else 0].append(name)
    places: dict[str, str] = {}
    for i, names in enumerate(groups, 1):
        file = f"diffusion_pytorch_model-{i:05}-of-{len(groups):05}.safetensors"
        write_shard(folder / file, {k: random(k, shapes[k]) for k in names})
        places |= dict.fromkeys(names, file)
    assert places.keys() == shapes.keys()
    index = {"metadata": {"total_size": 2 * count(shapes)}, "weight_map": places}
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    said = {k: v for k, v in SAID.items() if k not in ("local_attn_size", "sink_size")}
    (folder / "config.json").write_text(json.dumps({"_class_name": "WanModel", **said}))


@pytest.mark.slow
def test_a_random_5b_checkpoint_is_mapped_and_makes_a_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """10.6 GB on disk are at no time in memory: read as views of the files, computed with one block at a time in float32."""
    shapes = listed("transformer", "camera lane")
    if shutil.disk_usage(tmp_path).free < 2 * count(shapes) + GIB or not Path("/proc/self/status").exists():
        pytest.skip("needs 12 GB of free disk, and Linux")
    random = Random(max(s.numel() for s in shapes.values()))
    try:
        write_random(tmp_path / "cam", shapes, random)
        with watched() as reading:
            found = transformer.read(tmp_path / "cam")
            dit = transformer.build(found).requires_grad_(False)
        assert found.config == replace(W5B, view=ViewConfig(768, 6, layers=tuple(range(30))))
        assert {p.dtype for p in dit.parameters()} == {torch.bfloat16}
        assert reading.grown < GIB / 4
        for ours, theirs in (("mlp.0.weight", "ffn.0.weight"), ("view.q.weight", "cam_self_attn.q_proj.weight")):
            for i in (0, 29):
                name = f"blocks.{i}.{theirs}"
                assert torch.equal(dit.state_dict()[f"blocks.{i}.{ours}"], random(name, shapes[name]))
        offload(dit, torch.device("cpu"), torch.float32)
        with watched() as passing, torch.inference_mode():
            v = dit(*inputs(), MaskedAttention())
        assert passing.grown < 2 * GIB
        assert v.shape == (2, 2, 48, 2, 4)
        assert bool(v.isfinite().all())
        assert 0.01 < float(v.std()) < 100
        assert float((v[0] - v[1]).abs().max()) > 1e-3 * float(v.std())  # only their cameras are different
        with capsys.disabled():
            print(f"\nown memory: {reading.grown / GIB:.2f} GiB to read, {passing.grown / GIB:.2f} GiB for a pass")
    finally:
        shutil.rmtree(tmp_path / "cam", ignore_errors=True)


def inputs() -> tuple[Frames, Tensor]:
    """Twice the same two frames of 2 tokens, the first one known, and 5 words; one camera walks on, the other one also turns."""
    rng = torch.Generator().manual_seed(1)
    z, text = torch.randn(1, 2, 48, 2, 4, generator=rng), torch.randn(1, 5, 4096, generator=rng)
    on, around = (walk(level(), from_keys([keys] * 2)).map(lambda x: x[None]) for keys in ("w", "wl"))
    frames = clean(z.expand(2, -1, -1, -1, -1), cameras.cat([on, around], 0))
    return replace(frames, sigma=torch.tensor([[0.0, 0.9]] * 2)), text.expand(2, -1, -1)
