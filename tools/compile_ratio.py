"""What compiling brings: ``python tools/compile_ratio.py [WORLD] [CHUNKS] [THREADS]``.

The same walk in step: as it is, with compiled blocks, with a compiled decoder, with both. Each chunk is made by all of them in
turn, so that what else runs on the machine is shared; seconds are of the processor, ratios those of the medians. Compiling is not
counted; how long it took is said. dB: PSNR to the plain pictures, over all frames together.
"""

from __future__ import annotations

import sys
import time
from statistics import median

import torch

from dreamx.bench.same_walk import psnr_of_all
from dreamx.fast.compiled_blocks import compile_blocks
from dreamx.fast.compiled_decoder import compile_decoder
from dreamx.geometry import from_keys
from dreamx.model.vae import VAE
from dreamx.picture import read_picture
from dreamx.released import Choice
from dreamx.session import find
from dreamx.world import World

_KEYS = ("w", "wj", "l", "", "s", "d")
_HELD = 5  # chunks for which the same keys are held


@torch.inference_mode()
def main(name: str, chunks: int, threads: int) -> None:
    """Walk and print."""
    torch.set_num_threads(threads)
    worlds = {"plain": _open(name), "blocks": _open(name), "decoder": _open(name), "both": _open(name)}
    for which, world in worlds.items():
        if which in ("blocks", "both"):
            world.dit = compile_blocks(world.dit)
        if which in ("decoder", "both"):
            if not isinstance(world.vae, VAE):
                continue
            world.vae = compile_decoder(world.vae)
    if not isinstance(worlds["plain"].vae, VAE):
        worlds = {k: w for k, w in worlds.items() if k in ("plain", "blocks")}
    starts = sorted((find(name) / "starts").glob("*.png"))
    size, rng = worlds["plain"].size, torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (3, *size), generator=rng).to(torch.uint8)
    picture = read_picture(starts[0].read_bytes(), size)[0] if starts else noise
    for world in worlds.values():
        world.standpoints = {}  # on open ground
        world.reset(picture, "", seed=1)
    began, warm = time.perf_counter(), worlds["plain"].config.sampler.window + 2
    cpu, wall = ({which: list[float]() for which in worlds} for _ in range(2))
    shown = {which: list[torch.Tensor]() for which in worlds}
    for i in range(warm + chunks):
        if i == warm:
            print(
                f"{name}, {threads} threads, torch {torch.__version__}: the first {warm} chunks took "
                f"{time.perf_counter() - began:.0f} s, compiling included",
                flush=True,
            )
        for which, world in worlds.items():
            controls = from_keys([_KEYS[i // _HELD % len(_KEYS)]] * world.frames_per_step, world.config.speed)
            a, b = time.process_time(), time.perf_counter()
            shown[which].append(world.step(controls))
            if i >= warm:
                cpu[which].append(1000 * (time.process_time() - a))
                wall[which].append(1000 * (time.perf_counter() - b))
    for which in worlds:
        ratio = median(cpu[which]) / median(cpu["plain"])
        print(
            f"{which:8} {median(cpu[which]):8.1f} ms of processor a chunk, {ratio:.3f} of plain; {median(wall[which]):8.1f} ms, "
            f"{psnr_of_all(torch.cat(shown[which]), torch.cat(shown['plain'])):.1f} dB"
        )


def _open(name: str) -> World:
    return World.open(name, Choice(device="cpu"))


if __name__ == "__main__":
    given = sys.argv[1:]
    main(given[0] if given else "tiny", int(given[1]) if given[1:] else 30, int(given[2]) if given[2:] else 1)
