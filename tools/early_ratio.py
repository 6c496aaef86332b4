"""What showing a chunk while it is written brings: ``python tools/early_ratio.py [WORLD] [CHUNKS] [THREADS]``.

One walk. In every second chunk decoding waits until the chunk is part of the past, as it was; in the others another thread
decodes it beside the pass that writes. Said are medians: *latency*, from the keys to the decoded frames; *interval*, until the
next chunk can begin. Views ahead are dreamt after both, and not timed.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from statistics import median

import torch

from dreamx.geometry import from_keys
from dreamx.picture import read_picture
from dreamx.released import Choice
from dreamx.session import Dream, find
from dreamx.world import World

_KEYS = ("w", "wj", "l", "", "s", "d")
_HELD = 6  # chunks for which the same keys are held


def main(name: str, chunks: int, threads: int) -> None:
    """Walk and print."""
    torch.set_num_threads(threads)
    world = World.open(name, Choice(device="cpu"))
    world.standpoints = {}
    starts = sorted((find(name) / "starts").glob("*.png"))
    noise = torch.randint(0, 256, (3, *world.size), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    world.reset(read_picture(starts[0].read_bytes(), world.size)[0] if starts else noise, "", seed=1)
    figures = {early: (list[float](), list[float]()) for early in (False, True)}
    with ThreadPoolExecutor(1) as helper:
        for i in range(world.config.sampler.window + chunks):
            controls = from_keys([_KEYS[i // _HELD % len(_KEYS)]] * world.frames_per_step, world.config.speed)
            began, futures, early = time.perf_counter(), list[Future[float]](), i % 2 == 1

            def show(dream: Dream) -> float:
                world.decode(dream)
                return time.perf_counter()

            if early:
                world.denoise(controls, None, lambda dream, futures=futures: futures.append(helper.submit(show, dream)))
            else:
                futures.append(helper.submit(show, world.denoise(controls)))
            seen = futures[0].result()
            ready = time.perf_counter()
            if i >= world.config.sampler.window:
                figures[early][0].append(1000 * (seen - began))
                figures[early][1].append(1000 * (ready - began))
            world.look_ahead()
    for early, (latency, interval) in figures.items():
        words = "beside the writing pass" if early else "after it"
        print(
            f"{name}, {threads} threads, decoded {words:23}: latency {median(latency):.1f} ms, interval {median(interval):.1f} ms"
        )
    print("ratios " + ", ".join(f"{median(figures[True][k]) / median(figures[False][k]):.3f}" for k in (0, 1)))


if __name__ == "__main__":
    given = sys.argv[1:]
    main(given[0] if given else "tiny", int(given[1]) if given[1:] else 60, int(given[2]) if given[2:] else 1)
