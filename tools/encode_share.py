"""What the cache's encoding on read costs: ``python tools/encode_share.py [WORLD]``.

A cache keeps keys and values without positions, and encodes the past once a chunk, when it is first read (``model/kv_cache.py``).
Timed, by the processor's clock, are chunks with a full window: whole, and of that how long the past takes to be put in one piece
and encoded, in all layers and lanes; the copy is then made once more, alone. Three rows: a world as it is played, with memory and
decoding; its transformer alone; and that of ``tools/ratio.py``, whose past is 9 frames of 60 tokens.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

import torch
from torch import Tensor

from dreamx.bench import stopwatch
from dreamx.budget import machine, plan
from dreamx.budget.plan import Plan
from dreamx.geometry import from_keys
from dreamx.model.dit import DiT
from dreamx.model.kv_cache import KVCache
from dreamx.rollout import Sampler, next_chunk
from dreamx.world import World
from ratio import CONFIG, KIND

CHUNKS = 40
_fill = KVCache._allocate


@dataclass
class Clock:
    """Seconds in this chunk: of filling the room with the past, of the copy in that; and the shares of all chunks."""

    filling: float = 0.0
    copying: float = 0.0
    whole: list[float] = field(default_factory=list)
    shares: list[tuple[float, float]] = field(default_factory=list)

    def allocate(self, cache: KVCache, slot: tuple[int, str], k: Tensor, bound: object) -> tuple[Tensor, Tensor]:
        """Fill, timed, and copy once more."""
        began = time.process_time()
        room = _fill(cache, slot, k, bound)  # pyright: ignore[reportArgumentType]
        middle = time.process_time()
        past = () if slot[1] in cache.alone else cache.kv.get(slot, ())
        for parts in zip(*past, strict=True):
            torch.cat(parts, 1)
        self.copying += time.process_time() - middle
        self.filling += middle - began
        return room

    def chunk(self, run: Callable[[], object], counts: bool) -> None:
        """Run a chunk; it counts once the window is full."""
        self.filling = self.copying = 0.0
        began = time.process_time()
        run()
        seconds = time.process_time() - began - self.copying
        if counts:
            self.whole.append(seconds)
            self.shares.append((self.filling / seconds, self.copying / seconds))

    def said(self, name: str) -> str:
        """Medians in words."""
        share, copy = (median(x) for x in zip(*self.shares, strict=True))
        return (
            f"{name}: a chunk {1000 * median(self.whole):.1f} ms; putting the past together {share:.1%} of it, the copy alone "
            f"{copy:.1%}, so encoding on read {share - copy:.1%}"
        )


def played(name: str) -> str:
    """A world on open ground, keys held as in ``dreamx bench play``."""
    world, clock, keys = World.open(name), watched(), ("w", "wj", "l", "", "s", "d")
    world.reset(torch.full((3, *world.size), 127, dtype=torch.uint8), seed=1)
    full = world.config.sampler.window // world.config.sampler.chunk
    for i in range(full + CHUNKS):
        held = from_keys([keys[i // 8 % len(keys)]] * world.frames_per_step, world.config.speed)
        clock.chunk(lambda held=held: world.step(held), i >= full)
    return clock.said(f"{name}, played")


def alone(name: str, dit: DiT, p: Plan) -> str:
    """A transformer that makes chunks one after another."""
    c, cache, clock, rng = p.past.chunk, p.past.cache(), watched(), torch.Generator().manual_seed(0)
    text, sampler = torch.randn(1, p.words, p.dit.text, generator=rng), Sampler(steps=p.passes - 1, chunk=c, context_noise=0.1)
    full = -(-p.window // c)
    with torch.inference_mode():
        for i in range(full + CHUNKS):
            frames = stopwatch.noise_frames(p, i * c, machine.CPU, rng)
            clock.chunk(lambda frames=frames: next_chunk(dit, frames, text, cache, sampler, rng), i >= full)
    return clock.said(f"{name}, {p.window} frames of {p.tokens} tokens")


def watched() -> Clock:
    """A clock that all caches go by from now on."""
    clock = Clock()
    KVCache._allocate = lambda cache, slot, k, bound: clock.allocate(cache, slot, k, bound)  # pyright: ignore
    return clock


def main(name: str) -> None:
    """Print the rows."""
    torch.set_num_threads(1)
    p = plan.plan_of(name)
    print(played(name))
    print(alone(f"{name}, its transformer", stopwatch.networks(p, machine.CPU, False)[0], p))
    net = DiT(CONFIG).eval()
    for x in net.parameters():
        torch.nn.init.normal_(x, std=0.02)
    print(alone("tools/ratio.py", net, Plan("ratio", CONFIG, KIND, None, (192, 320), torch.float32, 64, 0, False, 5)))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "tiny")
