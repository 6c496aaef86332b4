"""The engine's rollout is the plain one: same numbers, whatever the window gives up."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dreamx import flow
from dreamx.frames import clean
from dreamx.geometry import from_keys, walk
from dreamx.geometry.camera import level, projection
from dreamx.model.dit import DiT, DiTConfig, ViewConfig
from dreamx.model.kind import Past
from dreamx.rollout import Sampler, next_chunk, noise_like
from reference import plain_rollout

CONFIG = DiTConfig(channels=4, width=48, heads=2, layers=3, mlp=96, text=16, frequencies=32, view=ViewConfig(24, 3))
CHUNK, CHUNKS = 3, 5


@pytest.mark.parametrize("alone", [(), ("view",)])
@pytest.mark.parametrize(("window", "sinks"), [(12, 3), (6, 0), (7, 1)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 2e-4)])
def test_the_engine_rolls_out_as_the_plain_twin_does(
    alone: tuple[str, ...], window: int, sinks: int, dtype: torch.dtype, tolerance: float
) -> None:
    torch.manual_seed(0)
    dit = DiT(CONFIG).to(dtype).eval()
    for x in dit.parameters():
        torch.nn.init.normal_(x, std=0.2)
    sampler = Sampler(steps=2, chunk=CHUNK, context_noise=0.1)
    camera = walk(level(dtype=dtype), from_keys(["wj", "w", "wl", "di", "d"] * CHUNKS))[: CHUNK * CHUNKS].map(lambda x: x[None])
    text = torch.randn(1, 5, CONFIG.text, dtype=dtype)
    cache = Past(CHUNK, window, sinks, alone=alone).cache()
    past = plain_rollout.Past(window, sinks, alone)
    weights, shape = dit.state_dict(), (1, CHUNK, CONFIG.channels, 4, 6)
    ours, theirs = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    for i in range(CHUNKS):
        here = camera[:, i * CHUNK : (i + 1) * CHUNK]
        noise = [noise_like(torch.empty(shape, dtype=dtype), theirs)[0] for _ in range(3)]
        frames = clean(noise_like(torch.empty(shape, dtype=dtype), ours), here, i * CHUNK)
        frames = frames.with_z(frames.z, torch.ones_like(frames.sigma))
        with torch.no_grad():
            got: Tensor = next_chunk(dit, frames, text, cache, sampler, ours).z[0]
            matrices = projection(here.map(lambda x: x[0].double()))[0]
            levels = flow.schedule(sampler.steps, sampler.shift)[:-1]
            want = plain_rollout.chunk(weights, CONFIG, noise, levels, sampler.context_noise, matrices, text[0], past)
        assert want.std() > 0.1
        assert (got - want).abs().max() < tolerance * want.abs().max()
