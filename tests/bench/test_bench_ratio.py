"""The engine's rollout is the plain one: same numbers, whatever the window gives up."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from dreamx import flow
from dreamx.frames import clean
from dreamx.geometry import from_keys, walk
from dreamx.geometry.camera import level, projection
from dreamx.model.causal_config import CausalConfig
from dreamx.model.dit import QKV, DiT, DiTConfig, ViewConfig
from dreamx.model.kv_cache import KVCache
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
    cache = CausalConfig(CHUNK, window, sinks, alone=alone).cache()
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


def test_a_text_is_read_once_until_another_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    dit = DiT(CONFIG).eval()
    for x in dit.parameters():
        torch.nn.init.normal_(x, std=0.2)
    read: list[Tensor] = []
    say = QKV.project_kv
    monkeypatch.setattr(QKV, "project_kv", lambda self, x: read.append(x) or say(self, x))
    one, two = torch.randn(1, 5, CONFIG.text), torch.randn(1, 5, CONFIG.text)
    camera = walk(level(), from_keys(["w"] * CHUNK))[:CHUNK].map(lambda x: x[None])
    frames = clean(torch.randn(1, CHUNK, CONFIG.channels, 4, 6), camera)
    cache, lanes = KVCache(), 2 * CONFIG.layers  # that read themselves in every pass
    with torch.no_grad():
        first, again = dit(frames, one, cache), dit(frames, one, cache)
        assert len(read) == 2 * lanes + CONFIG.layers
        other = dit(frames, two, cache)
        assert len(read) == 3 * lanes + 2 * CONFIG.layers
        assert torch.equal(first, again) and torch.equal(first, dit(frames, one, KVCache()))
        assert torch.equal(other, dit(frames, two, KVCache())) and not torch.allclose(first, other)
    before = len(read)
    for _ in range(2):  # where something is learned, all is done every time
        dit(frames, one, cache).sum().backward()
    assert len(read) - before == 2 * (lanes + CONFIG.layers)
    assert all(dit.get_parameter(k).grad is not None for k in ("text.0.weight", "blocks.0.text.k.weight"))


def test_another_network_on_the_same_past_reads_for_itself() -> None:
    torch.manual_seed(0)
    a, b, text = DiT(CONFIG).eval(), DiT(CONFIG).eval(), torch.randn(1, 5, CONFIG.text)
    for x in (*a.parameters(), *b.parameters()):
        torch.nn.init.normal_(x, std=0.2)
    camera = walk(level(), from_keys(["w"] * CHUNK))[:CHUNK].map(lambda x: x[None])
    frames, cache = clean(torch.randn(1, CHUNK, CONFIG.channels, 4, 6), camera), KVCache()
    with torch.no_grad():
        a(frames, text, cache)
        assert torch.equal(b(frames, text, cache), b(frames, text, KVCache()))


def test_a_fork_and_its_origin_go_on_without_disturbing_each_other() -> None:
    torch.manual_seed(0)
    dit, text = DiT(CONFIG).eval(), torch.randn(1, 5, CONFIG.text)
    for x in dit.parameters():
        torch.nn.init.normal_(x, std=0.2)
    camera = walk(level(), from_keys(["wj"] * 15))[:15].map(lambda x: x[None])
    frames = clean(torch.randn(1, 15, CONFIG.channels, 4, 6), camera)
    pieces = [frames[i : i + 3] for i in range(0, 15, 3)]

    def go(cache: KVCache, order: list[int]) -> Tensor:
        def step(i: int) -> Tensor:
            seen: Tensor = dit(pieces[i], text, cache)
            cache.commit()
            return seen

        return [step(i) for i in order][-1]

    with torch.inference_mode():
        alone = CausalConfig(CHUNK, 7, 1).cache()
        want = go(alone, [0, 1, 2, 3, 4])
        origin = CausalConfig(CHUNK, 7, 1).cache()
        go(origin, [0, 1, 2])
        fork, saved = origin.fork(), CausalConfig(CHUNK, 7, 1).cache()
        saved.restore({k: x.clone() for k, x in origin.state().items()})
        go(fork, [4, 2, 0])
        assert torch.equal(go(origin, [3, 4]), want)
        assert torch.equal(go(saved, [3, 4]), want)


MEMORY = """
import resource, torch
{importing}
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    many = [torch.empty(2**20, dtype=torch.uint8).fill_(1) for _ in range(20)]
    del many
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="memory is given back in another way here")
def test_freed_memory_stays_at_hand() -> None:
    program = MEMORY.format(importing="import dreamx.model.cpu_ops")
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD"))}
    pages = int(subprocess.run([sys.executable, "-c", program], env=plain, check=True, capture_output=True, text=True).stdout)
    assert pages < 500, "20 MB are 5,000 pages if they come from the system anew"
