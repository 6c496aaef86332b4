"""From the latents of a chunk to its frames, as a stream."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from dreamx.detail import add_detail
from dreamx.geometry.camera import Camera
from dreamx.geometry.reproject import View
from dreamx.model.broken import refuse_broken
from dreamx.model.vae import VAE, Pixels, State, VAEConfig
from dreamx.model.wan_vae import WanVAE, WanVAEConfig
from dreamx.session import Dream

#: Of each latent its frames ``[1, 1 or 4]`` with the camera of the last; and the stream's new state.
Decoded = tuple[list[tuple[Pixels, Camera]], State | None]


def decode_chunk(vae: VAE | WanVAE, dream: Dream, size: tuple[int, int], state: State | None, deep: bool) -> Decoded:
    """Decode a dream: of each latent its frames ``[1, 1 or 4]`` with the camera of the last, and the stream's new state.

    size: rows and columns of the pictures. state: None before the first latent of a session, which is one frame. deep: the depth
    of that frame is the hint's, where there is one, not the decoder's. ValueError for latents that are none of this autoencoder.
    """
    _refuse_odd(dream, vae.config, size, state is None)
    return _decode_alike(vae, [dream], [state], deep)[0]


def decode_chunks(
    vae: VAE, dreams: Sequence[Dream], size: tuple[int, int], states: Sequence[State | None], deep: bool
) -> list[Decoded]:
    """Decode dreams of several sessions (``decode_chunk``); those whose shapes agree are rows of one batch."""
    groups: dict[tuple[Hashable, ...], list[int]] = {}
    for i, (dream, state) in enumerate(zip(dreams, states, strict=True)):
        _refuse_odd(dream, vae.config, size, state is None)
        key = (dream.frames.z.shape, dream.frames.z.dtype, state is None, dream.told, dream.hint is None)
        groups.setdefault(key, []).append(i)
    made: dict[int, Decoded] = {}
    for members in groups.values():
        made |= zip(members, _decode_alike(vae, [dreams[i] for i in members], [states[i] for i in members], deep), strict=True)
    return [made[i] for i in range(len(dreams))]


def _decode_alike(vae: VAE | WanVAE, dreams: list[Dream], states: list[State | None], deep: bool) -> list[Decoded]:
    """Decode dreams of one shape, each a row of the batch; with one alone nothing is copied."""
    made: list[list[tuple[Pixels, Camera]]] = [[] for _ in dreams]
    begun = [s for s in states if s is not None]
    state = begun[0] if len(begun) == 1 else tuple(torch.cat(x) for x in zip(*begun, strict=True)) or None
    at = 0  # video frames so far
    for t in range(len(dreams[0].frames)):
        now = slice(at, at + (1 if state is None else vae.config.group))
        hints = [None if d.hint is None else View(d.hint.rgb[:, now], d.hint.depth[:, now], d.hint.known[:, now]) for d in dreams]
        opening = state is None and deep
        with _beside(vae):
            shown = [h for d, h in zip(dreams, hints, strict=True) if h is not None and not d.told]
            z = _joined([d.frames.z[:, t] for d in dreams])
            hint = View(*(_joined([getattr(h, k) for h in shown]) for k in ("rgb", "depth", "known"))) if shown else None
            pixels, state = vae.push(z, state, hint)
            rgb, depth = pixels.rgb.cpu(), pixels.depth.cpu()
        for i, (dream, h) in enumerate(zip(dreams, hints, strict=True)):
            pixels = Pixels(rgb[i : i + 1], depth[i : i + 1])
            if dream.told and h is not None:
                known = (h.known > 0) & (h.depth > 0)  # whatever the light is, the place has the same shape
                pixels = Pixels(add_detail(pixels.rgb, h), torch.where(known, h.depth, pixels.depth))
            if isinstance(vae, WanVAE):
                refuse_broken(pixels.rgb, "decoding", vae)
            if opening and h is not None:
                pixels = replace(pixels, depth=h.depth)
            made[i].append((pixels, dream.path[now][-1]))
        at = now.stop
    if len(dreams) == 1 or state is None:
        return [(pixels, state) for pixels in made]
    return [(pixels, tuple(x[i : i + 1] for x in state)) for i, pixels in enumerate(made)]


def _joined(rows: list[Tensor]) -> Tensor:
    return rows[0] if len(rows) == 1 else torch.cat(rows)


def _refuse_odd(dream: Dream, vae: VAEConfig | WanVAEConfig, size: tuple[int, int], opening: bool) -> None:
    z, frames = dream.frames.z, len(dream.path)
    want = (1, z.shape[1], vae.latent, size[0] // vae.shrink, size[1] // vae.shrink)
    if tuple(z.shape) != want or not z.is_floating_point():
        kind = str(z.dtype).removeprefix("torch.")
        raise ValueError(f"latents: {kind} {list(z.shape)} given where this world decodes {list(want)} of fractions")
    if frames != (due := vae.group * z.shape[1] - (vae.group - 1 if opening else 0)):
        raise ValueError(f"latents: {z.shape[1]} are {due} frames, and their path has {frames} cameras")
    if not bool(torch.isfinite(z).all()):
        raise ValueError(
            "latents: they hold NaN or infinity instead of pictures; the weights that made them are broken, train them again"
        )


def compute_in(vae: VAE | WanVAE, dtype: torch.dtype) -> None:
    """Let the convolutions of an autoencoder of ours compute in float32 or bfloat16; those of a released one stay as they are."""
    if isinstance(vae, VAE):
        vae.compute = dtype


def _beside(vae: VAE | WanVAE) -> AbstractContextManager[object]:
    """A stream of its own on a GPU, so that decoding runs beside the denoising of the next chunk. Latents come from main memory
    and pictures go there, so that neither stream waits for the other."""
    device = next(vae.parameters()).device
    return nullcontext() if device.type != "cuda" else torch.cuda.stream(_stream(device))


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)
