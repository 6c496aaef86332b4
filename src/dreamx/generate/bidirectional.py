"""DreamX-World-5B-Cam: all frames at once, in Euler steps under guidance; shown one latent after another.

Source: the official script of the bidirectional model.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dreamx import flow, session
from dreamx.config import to_json
from dreamx.frames import Frames, clean
from dreamx.generate.released_models import FPS, Sampling
from dreamx.generate.world_walker import WalkedChunk
from dreamx.geometry.camera import Camera, level
from dreamx.geometry.official import bidirectional_latents
from dreamx.model.attention import MaskedAttention
from dreamx.model.broken import refuse_broken
from dreamx.model.vae import State, to_bytes
from dreamx.released import ReleasedNetworks, encoded
from dreamx.rollout import noise_like

_AT_ONCE = 3  # latents that are shown in one go


class Bidirectional:
    """One video of a bidirectional model, of a length that fits the device; ``say`` hears how far it is.

    note: what of the caption its text encoder does not read, one sentence or ``""``.
    """

    legs, lens = "goes where it was led", level(dtype=torch.float64).lens

    def __init__(self, nets: ReleasedNetworks, sampling: Sampling, say: Callable[[str], None]) -> None:
        self.nets, self.size, self.fps, self.identity = nets, sampling.size, FPS, nets.identity
        self.sampler: dict[str, Any] = to_json(sampling)
        self._sampling, self._say = sampling, say
        self._z, self._at, self.note = torch.empty(0), 0, ""
        self._state: State | None = None
        self._path = Camera(torch.empty(0, 4, 4), torch.empty(0, 4))

    @torch.inference_mode()
    def begin(self, image: Tensor | None, caption: str, seed: int, path: Camera) -> WalkedChunk:
        """Makes all latents, and shows the first."""
        s, rng = self._sampling, torch.Generator().manual_seed(1_000_003 * seed)
        prompts = [caption] if s.guidance is None else [caption, s.negative]
        read = self.nets.text.read(prompts)
        words, self.note = torch.cat([x for x, _ in read]), read[0][1]
        here = bidirectional_latents(path).map(lambda x: x[None].float())
        rows, cols = (side // self.nets.vae.config.shrink for side in s.size)
        z = noise_like(torch.empty(1, here.shape[1], self.nets.dit.config.channels, rows, cols), rng)
        new = torch.ones(z.shape[:2])
        if image is not None:
            z[:, :1], new[:, 0] = encoded(self.nets.vae, image), 0.0
        self._path, self._at, self._state = path, 0, None
        self._z = self._sampled(clean(z, here).with_z(z, new), words)
        return self._show(1)

    def _sampled(self, frames: Frames, words: Tensor) -> Tensor:
        """Latents from noise; where sigma is 0, they are known and stay. ``words``: of the caption, and of what is not wanted."""
        s, new, x = self._sampling, frames.sigma, frames.z
        for i, (sigma, following) in enumerate(pairwise(flow.schedule(s.steps, s.shift))):
            now = frames.with_z(x, sigma * new)
            v = self.nets.dit(now, words[:1], MaskedAttention())
            if s.guidance is not None:
                away = self.nets.dit(now, words[1:], MaskedAttention())
                v = away + s.guidance * (v - away)
            moved = flow.euler(x, sigma * new, following * new, v)
            x = torch.where(new[..., None, None, None] == 0, x, moved)
            refuse_broken(x, f"in step {i + 1} of {s.steps}", self.nets.dit)
            if (i + 1) % 10 == 0 or i + 1 == s.steps:
                self._say(f"step {i + 1} of {s.steps}")
        return x

    @torch.inference_mode()
    def more(self, start: int) -> WalkedChunk:
        """The next few latents' frames."""
        return self._show(_AT_ONCE)

    def _show(self, count: int) -> WalkedChunk:
        z, made = self._z[:, self._at : self._at + count], list[Tensor]()
        start = 4 * self._at - 3 if self._at else 0
        for latent in z.unbind(1):
            pixels, self._state = self.nets.vae.push(latent, self._state)
            refuse_broken(pixels.rgb, "decoding", self.nets.vae)
            made.append(to_bytes(pixels.rgb[0]).cpu())
        self._at += z.shape[1]
        frames = torch.cat(made)
        return WalkedChunk(frames, self._path[start : start + len(frames)], z)

    def save(self, file: Path) -> None:
        """The latents, and how far they were shown."""
        decoder = {f"decoder.{i}": x for i, x in enumerate(self._state or ())}
        session.write(file, {"at": self._at}, {"z": self._z, **decoder})

    def load(self, file: Path, path: Camera) -> None:
        """Go on from there along the same path."""
        words, t = session.read(file)
        self._z, self._at, self._state, self._path = t["z"], words["at"], self._decoder_of(t), path

    def _decoder_of(self, t: dict[str, Tensor]) -> State | None:
        count = sum(k.startswith("decoder.") for k in t)
        return tuple(t[f"decoder.{i}"].to(self._sampling.device) for i in range(count)) or None
