"""Does a chunk cost more the longer one walks? Sessions of one walk, as they were at several seconds, step side by side.

    python tools/long_walk.py tiny                            open ground: minute 1 against minute 10
    python tools/long_walk.py tiny home-village 20 560        the same in a place that the world knows by heart
    python tools/long_walk.py tiny park-game 0 12 20 560      from the first chunk on, too

One walk is made, and forked at each of the seconds given; the forks then walk on for ``SIDE_BY_SIDE`` seconds, chunk by chunk in
turn, so that other programs on the machine slow all of them alike. Printed is time of the processor, not of the wall, the
median and the mean of a chunk, views dreamt ahead among them, their number, and the ratio of both to those of the first fork.
"""

from __future__ import annotations

import sys
import time
from statistics import mean, median

import torch

from dreamx.bench import PlayBenchConfig, opening_picture
from dreamx.chunk_request import answer_requests
from dreamx.geometry.controls import from_keys
from dreamx.world import World

SIDE_BY_SIDE = 40.0  # seconds of walking that are compared
_KEYS = ("w", "wj", "w", "wl", "l", "", "s", "d", "w", "wj")  # each for 8 chunks: mostly ahead, and round about
_HELD = 8


@torch.inference_mode()
def step(world: World, number: int) -> tuple[float, bool]:
    """Walk one chunk with the keys of its number: milliseconds of the processor, and was a view dreamt ahead?"""
    controls = from_keys([_KEYS[number // _HELD % len(_KEYS)]] * world.frames_per_step, world.config.speed)
    began = time.process_time()
    plan = world.plan_ahead()  # as `World.look_ahead`, which `step` does not do twice
    if plan is not None:
        world.finish_ahead(plan, answer_requests([plan.request])[0][0])
    world.step(controls)
    return 1000 * (time.process_time() - began), plan is not None


def main(name: str, start: str | None, seconds: list[float]) -> None:
    torch.set_num_threads(1)
    world = World.open(name)
    picture = opening_picture(PlayBenchConfig(name, start=start))
    world.reset(torch.full((3, *world.size), 127, dtype=torch.uint8) if picture is None else picture, seed=1)
    rate = world.fps / world.frames_per_step
    kept: dict[float, World] = {}
    for number in range(round(max(seconds) * rate) + 1):
        kept |= {at: world.fork() for at in seconds if round(at * rate) == number}
        step(world, number)
        del world.actions[:-2]
    times: dict[float, list[float]] = {at: [] for at in seconds}
    ahead = dict.fromkeys(seconds, 0)
    for i in range(round(SIDE_BY_SIDE * rate)):
        for at in seconds if i % 2 else seconds[::-1]:
            took, looked = step(kept[at], round(at * rate) + i)
            times[at].append(took)
            ahead[at] += looked
    first = times[seconds[0]]
    print(f"{name}, {start or 'grey picture'}, {len(first)} chunks each, one thread, {torch.__version__}")
    for at, found in times.items():
        ratios = f"{median(found) / median(first):.3f} {mean(found) / mean(first):.3f}"
        print(f"from {at:5.0f} s: median {median(found):6.1f} ms, mean {mean(found):6.1f} ms, {ahead[at]} ahead; ratios {ratios}")


if __name__ == "__main__":
    given = sys.argv[1:] or ["tiny"]
    named = len(given) > 1 and not given[1].replace(".", "").isdigit()
    main(given[0], given[1] if named else None, [float(x) for x in given[1 + named :]] or [20.0, 560.0])
