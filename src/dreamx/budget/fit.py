"""Will a plan fit into a device's memory, how long will a chunk take, and what to change where it does not fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import torch

from dreamx import released
from dreamx.budget.machine import CPU, MachineSpeed, free_memory
from dreamx.budget.plan import Plan, on, plan_of
from dreamx.checkpoints.tiny_decoder_names import decoder_config
from dreamx.devices import device_of
from dreamx.model.causal_config import CausalConfig
from dreamx.model.wan_vae import WanVAEConfig

#: What is not tensors: libraries, their scratch memory, what the allocator cannot use. Of a GPU; a CPU's is counted as in use.
_BESIDE = 1.2e9
#: Blocks that are on the device at once where the others rest in main memory: one computes, the next one is on its way.
_AT_ONCE = 2
#: What one operation costs through Python and modules, in smallest operations of torch.
_THROUGH = 5.0
#: How often what operations write goes through memory again: it is read by the next.
_AGAIN = 2.0


@dataclass(frozen=True)
class Need:
    """Bytes. weights: of the transformer on the device; decoder: its weights; past: keys and values; forward_peak, decode_peak:
    the most that a pass and decoding hold; reading: the text encoder; making: all that is there while video is made, but for
    the text encoder; most: what is there at once, at the worst moment."""

    weights: float
    decoder: float
    past: float
    forward_peak: float
    decode_peak: float
    reading: float
    making: float
    most: float


@dataclass(frozen=True)
class PredictedPace:
    """Seconds, as far as counting goes: of one pass, of decoding one latent frame (None: not counted), and of a whole chunk.

    frames: video frames of a chunk. share: seconds of video per second of work.
    """

    one_pass: float
    one_decoding: float | None
    chunk: float
    frames: int
    share: float


@cache
def need(plan: Plan) -> Need:
    """Return the bytes that the plan needs on the device, by phase."""
    size = plan.dtype.itemsize
    weights = float(plan.weights() * size)
    if plan.lent:
        weights *= min(1.0, (_AT_ONCE + 0.01 * plan.dit.layers) / plan.dit.layers)  # two blocks, and the 1 % that is no block
    decoder, past = float(plan.decoder_weights() * size), float(plan.kept() * size)
    forward_peak, decoded = plan.one_pass().peak, plan.one_decoding()
    decode_peak = 0.0 if decoded is None else decoded.peak
    reading = float(plan.reader * (min(2, size) if plan.freed else size))  # what goes again stays as it is stored
    making = weights + decoder + past + max(forward_peak, decode_peak)  # one after the other, never both
    most = max(reading, making) if plan.freed else reading + making  # umT5 is gone before the first pass
    return Need(weights, decoder, past, forward_peak, decode_peak, reading, making, most)


def pace(plan: Plan, speed: MachineSpeed, device: torch.device) -> PredictedPace:
    """Predict the time of a chunk on a machine of this speed, window full: products at full speed, nothing overlapped.

    A GPU gets its calls ahead of time, so they only count where they are slower than the work itself.
    """

    def seconds(flop: float, moved: float, calls: int) -> float:
        work, asking = flop / speed.flop + _AGAIN * moved / speed.moved, calls * speed.call * _THROUGH
        return max(work, asking) if device.type == "cuda" else work + asking

    one, decoded = plan.one_pass(), plan.one_decoding()
    one_pass = seconds(one.flop, one.moved, one.calls)
    one_decoding = None if decoded is None else seconds(decoded.flop, decoded.moved, decoded.calls)
    chunk = plan.passes * one_pass + plan.past.chunk * (one_decoding or 0.0)
    frames = plan.past.chunk * plan.group
    return PredictedPace(one_pass, one_decoding, chunk, frames, frames / plan.fps / chunk)


def usable_memory(device: torch.device) -> float | None:
    """Return the bytes that tensors can have on the device; None where that is unknown."""
    free = free_memory(device)
    return None if free is None else max(0.0, free - (_BESIDE if device.type == "cuda" else 0.0))


def refusal(plan: Plan, device: torch.device, free: float | None, main: float | None, bytes: float | None = None) -> str | None:
    """One sentence where the plan does not fit into ``free`` bytes, with what would; None where it fits or that is unknown.

    ``main``: bytes free in main memory, where blocks could rest.
    """
    most = need(plan).most if bytes is None else bytes
    if free is None or most <= free:
        return None
    (height, width), dtype = plan.size, str(plan.dtype).removeprefix("torch.")
    words = (
        f"{plan.name} at {height}x{width} in {dtype} needs {gigabytes(most)} of memory, and {gigabytes(free)} are "
        f"free on {device.type}"
    )
    cures = [f"{what} ({gigabytes(other)})" for what, other in _cures(plan, device, main) if other <= free]
    if cures:
        return f"{words}; it would fit {', or '.join(cures)}"
    gpu = need(replace(plan, dtype=torch.bfloat16, lent=False)).most + _BESIDE
    return f"{words}; it needs a GPU with {gigabytes(gpu)} free"


def _cures(plan: Plan, device: torch.device, main: float | None) -> list[tuple[str, float]]:
    """Return possible changes and the bytes that each would need; the least painful first."""
    found: list[tuple[str, float]] = []
    best, how = plan, ""
    if device.type == "cuda" and plan.dtype.itemsize > 2:  # a CPU computes in float32
        best, how = replace(plan, dtype=torch.bfloat16), "in bfloat16"
        found.append((how, need(best).most))
    # Blocks must rest somewhere.
    if device.type == "cuda" and not plan.world and not plan.lent and (main is None or need(best).weights < main):
        best, how = replace(best, lent=True), f"{how} with --offload".strip()
        found.append((how, need(best).most))
    for share in (0.75, 0.5, 0.25):  # smaller pictures, each side by that
        step = plan.shrink * plan.dit.patch
        size = (max(1, round(plan.size[0] * share / step)) * step, max(1, round(plan.size[1] * share / step)) * step)
        if size != plan.size and not plan.world:  # a world has one size
            found.append((f"{how} at {size[0]}x{size[1]}".strip(), need(replace(best, size=size)).most))
    return found


def must_fit(plan: Plan, device: torch.device, bytes: float | None = None) -> None:
    """ValueError, in one sentence that says what to change, where the plan does not fit into what is free on the device.

    ``bytes``: what it needs, where that is not all of ``need``.
    """
    words = refusal(plan, device, usable_memory(device), usable_memory(torch.device("cpu")), bytes)
    if words is not None:
        raise ValueError(words)


def gigabytes(n: float) -> str:
    """``1.2 GB``; below a tenth, in megabytes."""
    return f"{n / 1e9:.1f} GB" if n >= 1e8 else f"{n / 1e6:.0f} MB"


def duration(seconds: float) -> str:
    """Write a time in a unit that suits it: ``18 ms``, ``1.4 s``, ``79 s``, ``25 minutes``, ``4.1 hours``."""
    if seconds < 1:
        return f"{1000 * seconds:.2g} ms" if seconds < 0.0995 else f"{1000 * seconds:.0f} ms"
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 6000 else f"{seconds / 3600:.1f} hours"


def world_must_fit(world: str, choice: released.Choice, latents: int | None = None) -> None:
    """``must_fit`` for a world of ours, or a released checkpoint that is to be walked in, before its weights are loaded.

    latents: of one video of a bidirectional checkpoint, which makes all of them at once; None: that is refused.
    """
    if not released.is_released(world):
        choice.refuse(world)
        must_fit(plan_of(world), CPU)
        return
    kind, device, size, bytes = released.read(world).kind, device_of(choice.device), choice.size or released.SIZE, None
    if kind.past is not None or latents is None:
        config = released.settings(world, kind)
        size = choice.size or (config.height, config.width)
    plan = replace(plan_of(world, size), lent=choice.offload)
    if choice.decoder is not None and isinstance(plan.decoder, WanVAEConfig):
        plan = replace(plan, decoder=decoder_config(plan.decoder, choice.decoder))
    released.check_size(size, plan.shrink * plan.dit.patch)
    plan = on(plan, device)
    if kind.past is None and latents is not None:  # nothing is kept for later, and the text encoder is gone by then
        plan = replace(plan, past=CausalConfig(latents, latents, 0), reader=0)
        bytes = need(plan).making - need(plan).past
    must_fit(plan, device, bytes)
