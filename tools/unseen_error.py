"""How far are networks off where they see nothing but the first latent and the cameras? Memory is left out.

    python tools/unseen_error.py LATENTS src/dreamx/worlds/tiny:causal training/open_ground:causal

LATENTS: a file of `dreamx data encode`, of scenes that nobody learned from. Each network goes 12 latents (3 s) along the cameras
of up to 24 clips in 8 steps, ``FOLDER:causal`` latent by latent, ``FOLDER:both`` all at once. Printed: the mean squared error of
all latents but the first (their deviation is about 1), the mean change from a latent to the next, for fog does not move, and the
error of each.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from dreamx.frames import Frames
from dreamx.model.attention import Attend
from dreamx.rollout import Sampler, noise_like, rollout
from dreamx.train.latents import LatentClips
from dreamx.train.trained_networks import load

FRAMES, CLIPS, STEPS = 12, 24, 8
CAUSAL = Sampler(STEPS, shift=3.0, stochastic=False, chunk=1, window=FRAMES, sinks=1, context_noise=0.2)
BOTH = replace(CAUSAL, chunk=FRAMES, sinks=0, context_noise=0.0)


@torch.no_grad()
def walk(folder: Path, known: Frames, prompts: list[str], sampler: Sampler) -> Tensor:
    """Latents ``[B, T, C, h, w]`` of the networks in a folder along the cameras of ``known``, from its first frame."""
    nets, rng = load(folder).eval(), torch.Generator().manual_seed(7)

    def dit(frames: Frames, _: Tensor, attend: Attend) -> Tensor:
        return nets(frames, prompts, attend)

    made = rollout(dit, noise_like(known.z, rng), known.camera, known.z, sampler, rng, known.z[:, 0])
    return torch.cat([chunk.z for chunk in made], 1)


def main(latents: Path, networks: list[str]) -> None:
    torch.set_num_threads(1)
    data = LatentClips(latents, FRAMES)
    known, prompts = data.batch(min(CLIPS, len(data.z)), torch.Generator().manual_seed(5))
    known = replace(known, hint=None)
    print(f"{len(prompts)} stretches; change from latent to latent {change(known.z):.3f}")
    show("copy-first", known.z[:, :1].expand_as(known.z), known.z)
    for name in networks:
        folder, _, way = name.rpartition(":")
        if way not in ("causal", "both"):
            sys.exit(f"{name}: write FOLDER:causal or FOLDER:both")
        show(name, walk(Path(folder), known, prompts, BOTH if way == "both" else CAUSAL), known.z)


def show(name: str, made: Tensor, true: Tensor) -> None:
    each = (made - true).square().mean((0, 2, 3, 4))  # [T]
    print(f"{name}: {float(each[1:].mean()):.3f}, change {change(made):.3f}; " + " ".join(f"{float(x):.2f}" for x in each[1:]))


def change(z: Tensor) -> float:
    return float(z.diff(dim=1).abs().mean())


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:])
