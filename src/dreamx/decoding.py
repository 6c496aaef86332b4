"""From the latents of a chunk to its frames, as a stream."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cache

import torch

from dreamx.detail import add_detail
from dreamx.geometry.camera import Camera
from dreamx.geometry.reproject import View
from dreamx.model.broken import refuse_broken
from dreamx.model.vae import VAE, Pixels, State, VAEConfig
from dreamx.model.wan_vae import WanVAE, WanVAEConfig
from dreamx.session import Dream


def decode_chunk(
    vae: VAE | WanVAE, dream: Dream, size: tuple[int, int], state: State | None, deep: bool
) -> tuple[list[tuple[Pixels, Camera]], State | None]:
    """Decode a dream: of each latent its frames ``[1, 1 or 4]`` with the camera of the last, and the stream's new state.

    size: rows and columns of the pictures. state: None before the first latent of a session, which is one frame. deep: the depth
    of that frame is the hint's, where there is one, not the decoder's. ValueError for latents that are none of this autoencoder.
    """
    _refuse_odd(dream, vae.config, size, state is None)
    made: list[tuple[Pixels, Camera]] = []
    at = 0  # video frames so far
    for z in dream.frames.z.unbind(1):
        now = slice(at, at + (1 if state is None else vae.config.group))
        h = dream.hint
        hint = None if h is None else View(h.rgb[:, now], h.depth[:, now], h.known[:, now])
        opening = state is None and deep
        with _beside(vae):
            pixels, state = vae.push(z, state, None if dream.told else hint)
            pixels = Pixels(pixels.rgb.cpu(), pixels.depth.cpu())
        if dream.told and hint is not None:
            known = (hint.known > 0) & (hint.depth > 0)  # whatever the light is, the place has the same shape
            pixels = Pixels(add_detail(pixels.rgb, hint), torch.where(known, hint.depth, pixels.depth))
        if isinstance(vae, WanVAE):
            refuse_broken(pixels.rgb, "decoding", vae)
        if opening and h is not None:
            pixels = replace(pixels, depth=h.depth[:, now])
        made.append((pixels, dream.path[now][-1]))
        at = now.stop
    return made, state


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
    """On a GPU a stream of its own, so that decoding runs beside the denoising of the next chunk. Latents come from main memory
    and pictures go there, so that neither stream waits for the other."""
    device = next(vae.parameters()).device
    return nullcontext() if device.type != "cuda" else torch.cuda.stream(_stream(device))


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)
