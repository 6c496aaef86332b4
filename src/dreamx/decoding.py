"""From the latents of a chunk to its frames, as a stream."""

from __future__ import annotations

from dataclasses import replace

from dreamx.geometry.camera import Camera
from dreamx.geometry.reproject import View
from dreamx.model.vae import GROUP, VAE, Pixels, State
from dreamx.session import Dream


def decode_chunk(vae: VAE, dream: Dream, state: State | None, deep: bool) -> tuple[list[tuple[Pixels, Camera]], State | None]:
    """Decode a dream: of each latent its frames ``[1, 1 or 4]`` with the camera of the last, and the stream's new state.

    state: None before the first latent of a session, which is one frame. deep: the depth of that frame is the hint's, where there
    is one, not the decoder's.
    """
    made: list[tuple[Pixels, Camera]] = []
    at = 0  # video frames so far
    for z in dream.frames.z.unbind(1):
        now = slice(at, at + (1 if state is None else GROUP))
        h = dream.hint
        hint = None if h is None else View(h.rgb[:, now], h.depth[:, now], h.known[:, now])
        opening = state is None and deep
        pixels, state = vae.push(z, state, hint)
        if opening and h is not None:
            pixels = replace(pixels, depth=h.depth[:, now])
        made.append((pixels, dream.path[now][-1]))
        at = now.stop
    return made, state
