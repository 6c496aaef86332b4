"""``make bench``: how near a chunk of the causal model comes to its bare matrix products, and how far it is ahead of its twin.

Rounds of all of them, one after another, so that whatever else the machine does meets all of them; the figures are medians of
the ratios of each round, in which everything runs twice and the faster run counts. The products are timed by both of torch's
libraries, the one that the engine asks (``model.cpu_ops``) and the one that ``torch.nn.functional.linear`` asks; on some
processors one makes twice as much of it as the other.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import dreamx  # noqa: F401  # pyright: ignore[reportUnusedImport]  (before torch: says how threads wait)

# isort: split
import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx import flow
from dreamx.frames import Frames, clean
from dreamx.geometry import from_keys, walk
from dreamx.geometry.camera import Camera, level, projection
from dreamx.model.causal_config import CausalConfig
from dreamx.model.cpu_ops import linear
from dreamx.model.dit import DiT, DiTBlock, DiTConfig, ViewConfig
from dreamx.rollout import Sampler, next_chunk, noise_like

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from reference import plain_rollout

CONFIG = DiTConfig(channels=16, width=384, heads=6, layers=10, mlp=1536, text=64, view=ViewConfig(96, 6))
ROWS, COLS, WORDS = 6, 10, 64  # of the token grid of a frame; text tokens
KIND = CausalConfig(chunk=3, window=12, sinks=3)
SAMPLER = Sampler(steps=4, shift=5.0, chunk=3, context_noise=0.1)
ROUNDS = 15
REST = 0.04  # seconds before each run: what runs above all others is stopped for a twentieth of every second, unless it rests


@dataclass(frozen=True)
class Ratios:
    """Milliseconds a chunk, and ratios. ``torch``: products and attentions alone, by torch's linear; ``fast``: by ours."""

    threads: int
    ours_ms: float
    fast_ms: float
    torch_ms: float
    twin_ms: float
    ours_to_fast: float
    ours_to_torch: float
    ours_to_twin: float


def measure(rounds: int = ROUNDS) -> Ratios:
    """Fill the window, then make one more chunk again and again, from the same past."""
    dit, text, frames = DiT(CONFIG).eval(), torch.randn(1, WORDS, CONFIG.text), _frames()
    for x in dit.parameters():
        torch.nn.init.normal_(x, std=0.02)
    ours, twin = _ours(dit, text, frames), _twin(dit, text, frames)
    limit, slow = _limit(dit, text, linear), _limit(dit, text, lambda layer, x: F.linear(x, layer.weight))
    times: list[tuple[float, ...]] = []
    with torch.inference_mode():
        for _ in range(rounds + 1):
            times.append(tuple(_timed(run) for run in (ours, limit, slow, twin)))
    rounds_of = [list(x) for x in zip(*times[1:], strict=True)]
    near, torchs, far = (median(x / y for x, y in zip(rounds_of[0], other, strict=True)) for other in rounds_of[1:])
    ours_ms, fast_ms, torch_ms, twin_ms = (1000 * median(x) for x in rounds_of)
    return Ratios(torch.get_num_threads(), ours_ms, fast_ms, torch_ms, twin_ms, near, torchs, far)


def _frames() -> Frames:
    """All noise, for a full window and one chunk more."""
    n = KIND.window + KIND.chunk if KIND.window else KIND.chunk
    camera = walk(level(), from_keys(["wj", "w", "wl"] * n))[:n].map(lambda x: x[None])
    frames = clean(torch.randn(1, n, CONFIG.channels, ROWS * CONFIG.patch, COLS * CONFIG.patch), camera)
    return frames.with_z(frames.z, torch.ones_like(frames.sigma))


def _ours(dit: DiT, text: Tensor, frames: Frames) -> Callable[[], object]:
    cache, rng, c = KIND.cache(), torch.Generator().manual_seed(0), KIND.chunk
    with torch.inference_mode():
        for start in range(0, len(frames) - c, c):
            next_chunk(dit, frames[slice(start, start + c)], text, cache, SAMPLER, rng)
    return lambda: next_chunk(dit, frames[len(frames) - c :], text, cache.fork(), SAMPLER, rng)


def _twin(dit: DiT, text: Tensor, frames: Frames) -> Callable[[], object]:
    past, rng, c = plain_rollout.Past(KIND.window or 0, KIND.sinks, KIND.alone), torch.Generator().manual_seed(0), KIND.chunk
    levels, weights = flow.schedule(SAMPLER.steps, SAMPLER.shift)[:-1], dit.state_dict()

    def run(past: plain_rollout.Past, start: int) -> Tensor:
        z, here = frames.z[0, start : start + c], frames.camera[0, start : start + c]
        noise = [z, *(noise_like(z, rng) for _ in levels)]
        matrices = projection(Camera(here.pose.double(), here.lens.double()))[0]
        return plain_rollout.chunk(weights, CONFIG, noise, levels, SAMPLER.context_noise, matrices, text[0], past)

    with torch.inference_mode():
        for start in range(0, len(frames) - c, c):
            run(past, start)
    return lambda: run(past.fork(), len(frames) - c)


def _limit(dit: DiT, text: Tensor, how: Callable[[torch.nn.Linear, Tensor], Tensor]) -> Callable[[], object]:
    """The matrix products of a chunk's passes, with the network's own weights, and its attentions; nothing between them."""
    c, new, seen = CONFIG, KIND.chunk * ROWS * COLS, (KIND.window or 0) * ROWS * COLS
    calls: list[Callable[[], Tensor]] = []

    def product(rows: int, layer: torch.nn.Linear) -> None:
        x, bare = torch.randn(rows, layer.in_features), torch.nn.Linear(layer.in_features, layer.out_features, bias=False)
        bare.weight = layer.weight
        calls.append(lambda: how(bare, x))

    def attention(heads: int, dim: int, rows: int, columns: int) -> None:
        q, k, v = torch.randn(1, heads, rows, dim), torch.randn(1, heads, columns, dim), torch.randn(1, heads, columns, dim)
        calls.append(lambda: F.scaled_dot_product_attention(q, k, v))

    product(new, dit.patch)
    for block in dit.blocks:
        assert isinstance(block, DiTBlock) and block.view is not None and c.view is not None
        for lane, heads, width, columns in (
            (block.time, c.heads, c.width, seen),
            (block.view, c.view.heads, c.view.width, new if "view" in KIND.alone else seen),
        ):
            for layer in (lane.q, lane.k, lane.v, lane.o):
                product(new, layer)
            attention(heads, width // heads, new, columns)
        product(new, block.text.q)
        product(new, block.text.o)
        attention(c.heads, c.width // c.heads, new, text.shape[1])
        for layer in (block.mlp[0], block.mlp[2]):
            assert isinstance(layer, torch.nn.Linear)
            product(new, layer)
    product(new, dit.head)

    def run() -> None:
        for _ in range(SAMPLER.steps + 1):
            for call in calls:
                call()

    return run


def _timed(run: Callable[[], object]) -> float:
    """Seconds of the faster of two runs: what interrupts one of them now and then is not what is asked for."""
    times: list[float] = []
    for _ in range(2):
        time.sleep(REST)
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times)


def main(words: list[str]) -> None:
    """Print the ratios; with ``--json``, as JSON."""
    torch.manual_seed(0)
    r = measure()
    if "--json" in words:
        print(json.dumps(r.__dict__))
        return
    print(f"one chunk, {SAMPLER.steps + 1} passes, on {r.threads} threads: {r.ours_ms:.0f} ms")
    print(f"its matrix products and attentions alone, by torch: {r.torch_ms:.0f} ms; ours takes {r.ours_to_torch:.2f} of it")
    print(f"the same by the products that ours asks (oneDNN): {r.fast_ms:.0f} ms; ours takes {r.ours_to_fast:.2f} of it")
    print(f"the plain twin, which copies and rotates its whole cache: {r.twin_ms:.0f} ms; ours takes {r.ours_to_twin:.2f} of it")


if __name__ == "__main__":
    main(sys.argv[1:])
