"""The same walk again and again, by a transformer that is changed each time: what differs in its pictures is due to the change.

Noise, words, keys and the first picture are the same for all. A world walks as a player does, with its memory, on open ground; a
network of random weights makes chunks one after another with a full window, as ``dreamx bench engine`` times them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from dreamx.bench import stopwatch
from dreamx.budget import machine
from dreamx.budget.plan import Plan
from dreamx.decoding import compute_in
from dreamx.eval.estimators.features.feature_accuracy import features_of, shipped_features
from dreamx.eval.metrics.psnr import psnr
from dreamx.eval.metrics.similarity import cosine_similarity
from dreamx.geometry.controls import from_keys
from dreamx.model.attention_backends import TORCH, AttentionBackend
from dreamx.model.dit import DiT
from dreamx.model.vae import VAE
from dreamx.model.wan_vae import WanVAE
from dreamx.picture import read_picture
from dreamx.world import World

_KEYS = ("w", "wj", "l", "", "s", "d")
_HELD = 5  # chunks for which the same keys are held
_FRAMES = 16  # compared at once
_WARM = 2  # chunks that are not timed


@dataclass(frozen=True)
class Technique:
    """A change of the engine: of the transformer, of the kernel of attention, of what a small decoder computes in, and of the
    decoder (``show``). compiles: it is slow at first, so that a short walk is made before the one that counts."""

    name: str
    change: Callable[[DiT], DiT] = lambda dit: dit
    backend: AttentionBackend = TORCH
    decoder: torch.dtype = torch.float32
    show: Callable[[VAE | WanVAE], VAE | WanVAE] = lambda vae: vae
    compiles: bool = False


PLAIN = Technique("plain")


@dataclass
class WalkMade:
    """One walk. pictures: uint8 ``[F, 3, H, W]``. Seconds of single passes and of whole chunks with their decoding.

    cpu: seconds of processor time of all timed chunks, None on a GPU. weights: bytes of the transformer. memory: most bytes
    that tensors held on a GPU, None on a CPU.
    """

    dit: DiT
    frames: int = 0
    passes: list[float] = field(default_factory=list)
    chunks: list[float] = field(default_factory=list)
    shown: list[Tensor] = field(default_factory=list)
    memory: float | None = None
    cpu: float | None = None

    @property
    def pictures(self) -> Tensor:
        """All frames, ``[F, 3, H, W]``."""
        return torch.cat(self.shown)

    @property
    def weights(self) -> int:
        """Bytes of the transformer's parameters and buffers, each counted once."""
        return sum(x.nbytes for x in {id(x): x for x in (*self.dit.parameters(), *self.dit.buffers())}.values())


#: Walk so many chunks with a technique.
Walk = Callable[[Technique, int], WalkMade]


def walk_of(plan: Plan, device: torch.device, random: bool) -> Walk:
    """The walk of a world in its folder, or of the networks of a plan; these are built once."""
    if plan.world and plan.folder is not None and not random:
        folder = plan.folder
        return lambda technique, chunks: walk_world(folder, technique, chunks)
    nets = cache(lambda: stopwatch.networks(plan, device, random))  # at the first walk: what is refused is refused before
    return lambda technique, chunks: walk_plan(plan, nets(), device, technique, chunks)


@torch.inference_mode()
def walk_world(folder: Path, technique: Technique, chunks: int) -> WalkMade:
    """Walk a world from its first picture, as if it did not know the place."""
    world = World.open(folder)
    world.standpoints, world.backend, world.dit = {}, technique.backend, technique.change(world.dit).eval()
    compute_in(world.vae, technique.decoder)
    world.vae = technique.show(world.vae)
    made, passes, cpu = WalkMade(world.dit), _timed(world.dit), 0.0
    world.reset(_first_picture(folder, world.size), "", seed=1)
    for i in range(chunks):
        passes.clear()
        controls = from_keys([_KEYS[i // _HELD % len(_KEYS)]] * world.frames_per_step, world.config.speed)
        began, busy = time.perf_counter(), time.process_time()
        made.shown.append(world.step(controls))
        if i >= min(_WARM, chunks - 1):
            made.chunks.append(time.perf_counter() - began)
            made.passes += passes
            made.frames += len(made.shown[-1])
            cpu += time.process_time() - busy
    made.cpu = cpu
    return made


def walk_plan(
    plan: Plan, nets: tuple[DiT, VAE | WanVAE | None], device: torch.device, technique: Technique, chunks: int
) -> WalkMade:
    """Fill the window, then make and decode chunks. Without a decoder latents stand for pictures."""
    dit, decoder = technique.change(nets[0]), nets[1]
    if decoder is not None:
        compute_in(decoder, technique.decoder)
        decoder = technique.show(decoder)
    machine.forget_peak(device)
    made = WalkMade(dit)
    with torch.inference_mode():
        times = stopwatch.run(plan, dit, decoder, device, chunks, technique.backend, made.shown)
    decoded = sum(times.decodings) / max(1, len(times.chunks))
    made.passes, made.chunks = times.passes, [chunk + decoded for chunk in times.chunks]
    made.frames = plan.past.chunk * plan.group * len(made.chunks)
    made.cpu = None if device.type == "cuda" else times.cpu
    made.memory = machine.peak_memory(device) if device.type == "cuda" else None
    return made


def distance_from(made: WalkMade, plain: WalkMade) -> tuple[float, float]:
    """PSNR in dB over all frames together, and the mean distance (1 - cosine) of their features."""
    a, b = made.pictures, plain.pictures
    embed = cosine_similarity(lambda pictures: features_of(shipped_features("evaluation")[0], pictures))
    return psnr_of_all(a, b), float((1 - embed(a, b)).mean())


def psnr_of_all(a: Tensor, b: Tensor) -> float:
    """PSNR of two videos ``[F, 3, H, W]`` by the mean square error of all their frames: a bad frame is not averaged away."""
    each = torch.cat([psnr(x, y) for x, y in zip(a.split(_FRAMES), b.split(_FRAMES), strict=True)]).double()
    return float(-10 * torch.log10((10 ** (-each / 10)).mean()))


def _timed(dit: nn.Module) -> list[float]:
    """Seconds of each call from now on."""
    seconds, began = list[float](), list[float]()
    dit.register_forward_pre_hook(lambda *_: began.append(time.perf_counter()))
    dit.register_forward_hook(lambda *_: seconds.append(time.perf_counter() - began.pop()))
    return seconds


def _first_picture(folder: Path, size: tuple[int, int]) -> Tensor:
    starts: Iterable[Path] = sorted((folder / "starts").glob("*.png"))
    for file in starts:
        return read_picture(file.read_bytes(), size)[0]
    rng = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, *size), generator=rng).to(torch.uint8)
