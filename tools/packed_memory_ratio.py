"""How much longer a chunk takes with packed memory: ``python tools/packed_memory_ratio.py [FRAMES] [WORLD]``.

Two forks of one session turn away and back, one with recalled frames and one without, chunk by chunk, each first in turn, so that
whatever else the machine does meets both. The figure is the median of the ratios of all chunks that recall something. The network
need not have been taught to look at them: the products are the same.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median, quantiles

import dreamx  # before torch: says how threads wait

# isort: split
from dreamx.geometry import from_keys
from dreamx.model.packed_config import PackedMemoryConfig
from dreamx.picture import read_picture
from dreamx.session import Dream, Switches
from dreamx.world import World

ROUND = ["j"] * 30 + ["l"] * 60 + ["j"] * 30


def timed(world: World, key: str) -> tuple[float, float, Dream]:
    """Seconds of denoising and of the whole chunk, and what was dreamt."""
    held = from_keys([key] * world.frames_per_step, world.config.speed)
    start = time.perf_counter()
    dream = world.denoise(held)
    middle = time.perf_counter()
    world.decode(dream)
    return middle - start, time.perf_counter() - start, dream


def main(frames: int, name: str) -> None:
    """Print the ratios as JSON."""
    given = World.open(name)
    past = replace(given.config.causal, packed=PackedMemoryConfig(frames=frames))
    config = replace(given.config, past=past, places_alone=False)
    world = World(config, given.dit, given.vae, given.text, given.depth, given.painter, given.places)
    start = next(iter(sorted((Path(dreamx.__file__).parent / "worlds" / name / "starts").glob("*.png"))), None)
    world.reset(None if start is None else read_picture(start.read_bytes(), world.size)[0], "a park", 1)
    both = {True: world.fork(), False: world.fork()}
    both[False].switches = Switches(packed=False)
    rows: list[tuple[float, float, int, float]] = []
    for i, key in enumerate(ROUND):
        took = {on: timed(both[on], key) for on in ((True, False) if i % 2 else (False, True))}
        count = len(took[True][2].packed)
        if count:
            rows.append((took[True][0] / took[False][0], took[True][1] / took[False][1], count, took[False][1]))
    said = {
        "chunks": len(rows),
        "recalled": round(sum(r[2] for r in rows) / max(1, len(rows)), 2),
        "denoising": round(median(r[0] for r in rows), 3),
        "chunk": round(median(r[1] for r in rows), 3),
        "chunk_worst_tenth": round(quantiles([r[1] for r in rows], n=10)[-1], 3),
        "without_ms": round(1000 * median(r[3] for r in rows), 1),
    }
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 4, sys.argv[2] if sys.argv[2:] else "tiny")
