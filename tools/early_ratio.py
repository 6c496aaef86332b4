"""What showing a chunk while it is written brings: ``python tools/early_ratio.py [WORLD] [CHUNKS] [THREADS]``.

One walk. In every second chunk decoding waits until the chunk is part of the past, as it was; in the others another thread
decodes it beside the pass that writes. Said are medians: *latency*, from the keys to the decoded frames; *interval*, until the
next chunk can begin. Views ahead are dreamt after both, and not timed. Beside other programs there is no core for the second
thread; so the same is said by the processor's clock of each thread, as it is with one that is free (one thread each).
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
    parts = (list[float](), list[float](), list[float]())  # making, writing and decoding by the processor's clock

    def show(dream: Dream) -> tuple[float, float]:
        busy = time.thread_time()
        world.decode(dream)
        return time.perf_counter(), time.thread_time() - busy

    with ThreadPoolExecutor(1) as helper:
        for i in range(world.config.sampler.window + chunks):
            controls = from_keys([_KEYS[i // _HELD % len(_KEYS)]] * world.frames_per_step, world.config.speed)
            futures, marks, beside = list[Future[tuple[float, float]]](), list[float](), i % 2 == 1
            began, busy = time.perf_counter(), time.thread_time()

            def early(dream: Dream, futures: list = futures, marks: list = marks, beside: bool = beside) -> None:  # pyright: ignore[reportMissingTypeArgument]
                marks.append(time.thread_time())
                if beside:
                    futures.append(helper.submit(show, dream))

            dream = world.denoise(controls, None, early)
            done = time.thread_time()
            if not beside:
                futures.append(helper.submit(show, dream))
            seen, decoding = futures[0].result()
            ready = time.perf_counter()
            if i >= world.config.sampler.window:
                figures[beside][0].append(1000 * (seen - began))
                figures[beside][1].append(1000 * (ready - began))
                for part, seconds in zip(parts, (marks[0] - busy, done - marks[0], decoding), strict=True):
                    part.append(1000 * seconds)
            world.look_ahead()
    print(f"{name}, {threads} threads, torch {torch.__version__}")
    for beside, (latency, interval) in figures.items():
        words = "beside the writing pass" if beside else "after it"
        print(f"  decoded {words:23}: latency {median(latency):.1f} ms, interval {median(interval):.1f} ms")
    made, written, decoded = map(median, parts)
    print(f"  of processor: making {made:.1f} ms, writing {written:.1f}, decoding {decoded:.1f}")
    whole = made + written + decoded
    latency, interval = (made + decoded) / whole, (made + max(written, decoded)) / whole
    print(f"  with a free core: latency {latency:.3f}, interval {interval:.3f} of one after the other")


if __name__ == "__main__":
    given = sys.argv[1:]
    main(given[0] if given else "tiny", int(given[1]) if given[1:] else 60, int(given[2]) if given[2:] else 1)
