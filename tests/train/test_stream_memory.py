"""Packed memory in the student's rollouts: what play recalls, read as play reads it, for sequences side by side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor

import latents_of_chance
from dreamx.frames import Frames, clean
from dreamx.geometry.camera import Camera, lens_from_fov, rigid, rotation
from dreamx.model.causal_config import CausalConfig
from dreamx.model.packed_config import PackedMemoryConfig
from dreamx.packed_memory import PackedMemory
from dreamx.rollout import Sampler, next_chunk, noise_like
from dreamx.train.latents import LatentClips
from dreamx.train.stream_memory import StreamMemory
from dreamx.train.student_stream import StreamConfig, StudentStream
from test_distill import networks

CPU = torch.device("cpu")
PACKED = PackedMemoryConfig(frames=2)
AWAY = [24.0 * n for n in (0, 1, 2, 3, 4, 5, 4, 3, 2, 1, 0, 0)]  # degrees, out of sight of the beginning, and back


def rng(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def turning(degrees: list[float]) -> Camera:
    pose = rigid(rotation("y", torch.tensor(degrees)), torch.zeros(len(degrees), 3))
    return Camera(pose, torch.tensor(lens_from_fov(70, 64, 64)).expand(len(degrees), 4))


def clips(root: Path) -> LatentClips:
    torch.manual_seed(0)
    latents_of_chance.save(root / "turning.safetensors", 2, len(AWAY), 8, lens_from_fov(70, 64, 64))
    data = LatentClips(root / "turning.safetensors")
    data.camera = turning(AWAY).map(lambda x: x.expand(2, *x.shape))
    return data


@pytest.mark.parametrize("released", [False, True])
def test_a_stream_recalls_what_play_recalls(tmp_path: Path, released: bool) -> None:
    """Against the loop of play, chunk by chunk, with its own memory, cameras and cache. released: axes of each chunk its own."""
    alone = ("view",) if released else ()
    past = CausalConfig(2, 4, 2, alone=alone, from_before=released, packed=PACKED)
    sampler = Sampler(2, 3.0, chunk=2, window=4, sinks=2)
    nets, data = networks(), clips(tmp_path)
    stream = StudentStream(StreamConfig(1, 4, 2, (12,), drop_hint=0.0), sampler, data, CPU, past)
    with torch.no_grad():
        seeds = rng(1), rng(2)
        windows = [stream.next(nets, 0.0, *seeds).frames for _ in range(5)]
        made = torch.cat([windows[0].z, *(w.z[:, 2:] for w in windows[1:])], 1)

        known, prompts = data.batch(1, rng(1))
        words, cache, memory, noise = nets.text(prompts), past.cache(), PackedMemory(PACKED), rng(2)
        want, recalled = list[Tensor](), list[list[int]]()
        for first in range(0, 12, 2):
            todo = known[first : first + 2]
            z, sigma = noise_like(todo.z, noise), torch.ones(1, 2)
            if not first:
                z, sigma = torch.cat([todo.z[:, :1], z[:, 1:]], 1), torch.tensor([[0.0, 1.0]])
            before = known.camera[0, max(0, first - 1)].to(dtype=torch.float64) if released else None
            camera = todo.camera if before is None else _seen(todo.camera, before)
            chunk = replace(todo, z=z, sigma=sigma, camera=camera)
            found, _ = memory.show(nets.dit, chunk, words, cache, before)
            recalled.append([frame.index for frame in found])
            done = next_chunk(lambda f, _, a: nets.dit(f, words, a), chunk, words, cache, sampler, noise)
            memory.remember(done, before, first // 2)
            want.append(done.z)
    assert max(map(len, recalled)) == 2, recalled
    assert torch.allclose(made, torch.cat(want, 1), atol=1e-3)
    with torch.no_grad():
        plain = StudentStream(stream.cfg, sampler, data, CPU, replace(past, packed=None))
        seeds = rng(1), rng(2)
        other = [plain.next(nets, 0.0, *seeds).frames.z for _ in range(5)]
    off = [(a.z - b).abs().max() for a, b in zip(windows, other, strict=True)]
    assert off[0] == 0 and max(off) > 1e-2, "it changes what is made"


def _seen(camera: Camera, before: Camera) -> Camera:
    return Camera((torch.linalg.inv(before.pose) @ camera.pose.double()).float(), camera.lens)


def test_sequences_side_by_side_recall_as_many_as_the_one_with_fewest() -> None:
    memory = StreamMemory(replace(PACKED, frames=3), 2)
    both = [turning([0.0, 10.0, 20.0, 30.0]), turning([0.0, 90.0, 180.0, 270.0])]
    camera = Camera(torch.stack([c.pose for c in both]), torch.stack([c.lens for c in both]))
    z = torch.arange(8.0).view(2, 4, 1, 1, 1).expand(2, 4, 1, 2, 2)
    memory.remember(clean(z, camera))
    asked = turning([0.0]).map(lambda x: x.expand(2, *x.shape))
    chunk = replace(clean(torch.zeros(2, 1, 1, 2, 2), asked, 9), sigma=torch.ones(2, 1))
    found = memory.choose(chunk, torch.zeros(0, dtype=torch.long))
    assert found is not None and found.index.tolist() == [[0], [0]], "the second sees it from one frame alone"
    assert found.z[:, 0, 0, 0, 0].tolist() == [0.0, 4.0] and not found.sigma.any()
    assert torch.equal(found.camera.pose, camera.pose[:, :1])
    assert memory.choose(chunk, torch.tensor([0])) is None, "of what is in the window nothing is recalled, and then of none"
    other = StreamMemory(PACKED, 2)
    other.restore(memory.state())
    assert _same(other.choose(chunk, torch.zeros(0, dtype=torch.long)), found)
    memory.clear()
    assert memory.choose(chunk, torch.zeros(0, dtype=torch.long)) is None


def _same(a: Frames | None, b: Frames) -> bool:
    return a is not None and torch.equal(a.z, b.z) and torch.equal(a.index, b.index)
