"""First frames of windows as pictures: for a teacher that knows a first frame as one picture, encoded alone (I2V DMD).

A latent in the middle of a video stands for several of its frames, the first one for a single picture. The last video frame of
the former is therefore decoded and encoded anew, by itself. Source: LongLive (arXiv 2509.22622); DreamX-World 1.0, section 3.5.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dreamx.checkpoints import beside
from dreamx.model.vae import VAE, State, fingerprint
from dreamx.model.wan_vae import WanVAE


class WindowPictures:
    """Decoding of sequences side by side: the decoder's state, and the latents ``[B, T, C, h, w]`` that it has not read yet."""

    def __init__(self, vae: VAE | WanVAE) -> None:
        self.vae = vae
        self.clear()

    def clear(self) -> None:
        """Begin new sequences."""
        self._state: State | None = None  # None: the next latent is the first of a sequence, of one video frame
        self._unread: Tensor | None = None

    def append(self, z: Tensor) -> None:
        """Take in the newest latents ``[B, T, C, h, w]`` of the sequences."""
        z = z.detach()
        self._unread = z if self._unread is None else torch.cat([self._unread, z], 1)

    @torch.no_grad()
    def encode_from_end(self, count: int) -> Tensor:
        """Encode the last video frame of the latent that is ``count`` from the end, alone: one latent ``[B, 1, C, h, w]``.

        Everything up to that latent is decoded, once in the course of a sequence; it must not lie before what was read already.
        """
        assert self._unread is not None and 1 <= count <= self._unread.shape[1], "that latent was read before, or never made"
        done = self._unread.shape[1] - count + 1
        last = self._unread[:, 0]
        for z in self._unread[:, :done].unbind(1):
            pixels, self._state = self.vae.push(z, self._state)
            last = pixels.rgb[:, -1:]  # [B, 1, 3, H, W]
        self._unread = self._unread[:, done:]
        return self.vae.encode(last).to(self._unread)

    def state(self) -> dict[str, Any]:
        """Return the sequences as tensors, to be saved."""
        unread = None if self._unread is None else self._unread.clone()  # a slice would be saved with all that it is a slice of
        return {"decoder": None if self._state is None else list(self._state), "unread": unread}

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        """Go on from what ``state`` returned."""
        decoder, unread = state["decoder"], state["unread"]
        self._state = None if decoder is None else tuple(x.to(device) for x in decoder)
        self._unread = None if unread is None else unread.to(device)


def open_pictures(place: Path, encoded_by: str, device: torch.device) -> WindowPictures:
    """Open the autoencoder at ``place``. ValueError where the latents were ``encoded_by`` another (a fingerprint)."""
    vae = beside.open_autoencoder(place)
    name = fingerprint(vae)
    if encoded_by and name != encoded_by:
        raise ValueError(
            f"vae: {place} is the autoencoder {name}, and the latents were encoded by {encoded_by}; give that one, or encode the "
            "clips again"
        )
    return WindowPictures(vae.to(device).eval().requires_grad_(False))
