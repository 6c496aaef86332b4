"""Networks to time, and the timing of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from dreamx.budget import machine
from dreamx.budget.plan import Plan, decoder_of
from dreamx.checkpoints import native, transformer
from dreamx.fast.height_decoder import HeightDecoder
from dreamx.fast.offload import border
from dreamx.frames import Frames, clean
from dreamx.geometry import from_keys, walk
from dreamx.geometry.camera import level
from dreamx.model.attention import Attend
from dreamx.model.attention_backends import TORCH, AttentionBackend
from dreamx.model.dit import DiT, DiTConfig
from dreamx.model.vae import VAE, State, VAEConfig, to_bytes
from dreamx.model.wan_vae import WanVAE
from dreamx.rollout import Network, Sampler, next_chunk


@dataclass
class Times:
    """Seconds: of whole chunks, of the passes in them, of latent frames decoded, and from nothing to the first picture; ``cpu``:
    of processor time for all chunks and their decoding."""

    chunks: list[float] = field(default_factory=list)
    passes: list[float] = field(default_factory=list)
    decodings: list[float] = field(default_factory=list)
    first: float = 0.0
    cpu: float = 0.0


class Stopwatch:
    """Times calls. On a GPU it lays marks among what the GPU is asked for, so that nobody has to wait for them."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._marks: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self._seconds: list[float] = []

    def __call__(self, run: Callable[[], Tensor]) -> Tensor:
        if self.device.type != "cuda":
            began = time.perf_counter()
            out = run()
            self._seconds.append(time.perf_counter() - began)
            return out
        a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        a.record()
        out = run()
        b.record()
        self._marks.append((a, b))
        return out

    def read(self) -> list[float]:
        """Return the seconds timed since the last read."""
        machine.synchronize(self.device)
        seconds = self._seconds + [a.elapsed_time(b) / 1000 for a, b in self._marks]
        self._seconds, self._marks = [], []
        return seconds


def networks(plan: Plan, device: torch.device, random: bool) -> tuple[DiT, VAE | WanVAE | None]:
    """The transformer and the decoder on the device. A decoder that lies beside no checkpoint has random weights."""
    with torch.device("meta"):
        dit, decoder = DiT(plan.dit), None if plan.decoder is None else decoder_of(plan.decoder)
    if random or plan.folder is None:
        _fill(dit, device, plan.dtype)
    elif plan.world:
        dit = native.load(plan.folder, "dit", DiT, DiTConfig).to(device, plan.dtype)
    else:
        dit = transformer.build(transformer.read(plan.folder), device, plan.dtype)
    if isinstance(decoder, VAE) and plan.world and plan.folder is not None and not random:
        decoder = native.load(plan.folder, "vae", VAE, VAEConfig).to(device, plan.dtype)
    elif decoder is not None:
        _fill(decoder, device, plan.dtype)
    return dit.eval(), None if decoder is None else decoder.eval()


def _fill(net: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Random weights of such sizes that numbers neither grow nor vanish on their way: tiny ones would be slow on a CPU."""
    net.to(dtype).to_empty(device=device)
    rng = torch.Generator(device).manual_seed(0)
    for name, x in net.state_dict().items():
        if name.endswith(("gamma", "std")) or (name.endswith("weight") and x.ndim == 1):
            x.fill_(1.0)
        elif x.ndim == 1:
            x.zero_()
        else:
            x.normal_(0, (x[0].numel()) ** -0.5, generator=rng)


def run(
    plan: Plan,
    dit: DiT,
    decoder: VAE | WanVAE | HeightDecoder | None,
    device: torch.device,
    chunks: int,
    backend: AttentionBackend = TORCH,
    shown: list[Tensor] | None = None,
    through: Callable[[DiT], Network] = lambda dit: dit,
) -> Times:
    """Fill the window, then time ``chunks`` chunks and the decoding of as many; the same noise and words in every run.

    shown: takes the timed frames, uint8 ``[F, 3, H, W]`` each; without a decoder three channels of the latents, cut to [-1, 1].
    through: makes of the transformer what is called, as ``sequence_parallel`` does.
    """
    border(dit)
    called = through(dit)
    watch, times, rng, c = Stopwatch(device), Times(), torch.Generator().manual_seed(0), plan.past.chunk
    sampler = Sampler(steps=plan.passes - 1, chunk=c, context_noise=0.1)
    text, cache = torch.randn(1, plan.words, plan.dit.text, generator=rng).to(device), plan.past.cache(backend)
    state: State | None = None
    counting = False  # whether the running chunk is timed

    def net(frames: Frames, text: Tensor, attend: Attend) -> Tensor:
        return watch(lambda: called(frames, text, attend))

    def decode(z: Tensor) -> Tensor:
        nonlocal state
        assert decoder is not None
        pixels, state = decoder.push(z.to(plan.dtype), state)
        if shown is not None and counting:
            shown.append(to_bytes(pixels.rgb[0].cpu().float()))
        return pixels.rgb

    full = -(-plan.window // c)
    for i in range(full + chunks):
        times.cpu = time.process_time() if i <= full else times.cpu
        frames = noise_frames(plan, i * c, device, rng)
        machine.synchronize(device)
        began = time.perf_counter()
        made, counting = next_chunk(net, frames, text, cache, sampler, rng).z, i >= full
        if i == 0 and decoder is not None:
            decode(made[:, 0])
        machine.synchronize(device)
        if i == 0:
            times.first = time.perf_counter() - began
        if i >= full:
            times.chunks.append(time.perf_counter() - began)
        passes = watch.read()
        times.passes += passes if i >= full else []
        if decoder is None and shown is not None and counting:
            shown.append(to_bytes(made[0, :, :3].clamp(-1, 1).cpu().float()))
        if decoder is None or i < full:
            continue
        for z in made.unbind(1):
            watch(lambda z=z: decode(z))
        times.decodings += watch.read()
    times.cpu = time.process_time() - times.cpu
    return times


def noise_frames(plan: Plan, start: int, device: torch.device, rng: torch.Generator) -> Frames:
    """A chunk that is to be made, seen by somebody who walks and looks about."""
    camera = walk(level(), from_keys(["wj", "w", "wl"] * (start + plan.past.chunk)))[start : start + plan.past.chunk]
    z = torch.randn(1, plan.past.chunk, plan.dit.channels, *plan.latent, generator=rng).to(device)
    frames = clean(z, camera.map(lambda x: x[None].to(device)), start)
    return frames.with_z(frames.z, torch.ones_like(frames.sigma))
