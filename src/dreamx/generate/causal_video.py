"""DreamX-World-5B: chunk after chunk, each seen from the last latent frame before it.

Source: the official autoregressive script.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dreamx import session
from dreamx.config import to_json
from dreamx.frames import clean
from dreamx.generate import released_models
from dreamx.generate.health import refuse_broken
from dreamx.generate.released_models import FPS, ReleasedNetworks, Sampling
from dreamx.generate.world_walker import WalkedChunk
from dreamx.geometry.camera import Camera, cat, level
from dreamx.geometry.official import autoregressive_latents
from dreamx.model.causal_config import CausalConfig
from dreamx.model.vae import State
from dreamx.rollout import Sampler, next_chunk, noise_like


class Causal:
    """One video of a causal model. What it holds does not grow with the video: a window of frames, and the decoder's state.

    note: what of the caption its text encoder does not read, one sentence or ``""``.
    """

    legs, lens = "goes where it was led", level(dtype=torch.float64).lens

    def __init__(self, nets: ReleasedNetworks, sampling: Sampling, past: CausalConfig) -> None:
        self.nets, self.size, self.fps, self.identity = nets, sampling.size, FPS, nets.identity
        self._device, self._past = sampling.device, past
        window = past.window or 10**9
        self._sampler = Sampler(sampling.steps, sampling.shift, True, past.chunk, window, past.sinks, sampling.context_noise)
        self.sampler: dict[str, Any] = to_json(self._sampler)
        self._cache, self._state, self._chunk, self._seed = past.cache(), None, 0, 0
        self._words, self.note = torch.empty(0), ""
        self._path = self._latents = Camera(torch.empty(0, 4, 4), torch.empty(0, 4))

    @torch.inference_mode()
    def begin(self, image: Tensor | None, caption: str, seed: int, path: Camera) -> WalkedChunk:
        """The opening picture, of ``image`` (uint8 ``[3, H, W]``); of words alone, the whole first chunk."""
        self._words, self.note = released_models.encode_prompts(self.nets, [caption], self._device)
        self._cache, self._state, self._chunk, self._seed = self._past.cache(), None, 0, seed
        self._lead(path)
        if image is None:
            return self._next(None, 0)
        z = released_models.encoded(self.nets.vae, image)
        self._known = z
        return self._show(z, 0)

    @torch.inference_mode()
    def more(self, start: int) -> WalkedChunk:
        """The next chunk's frames, of which the first is number ``start`` of the video. Beyond the path it stands still."""
        return self._next(self._known if self._chunk == 0 else None, start)

    def _next(self, known: Tensor | None, start: int) -> WalkedChunk:
        n = self._past.chunk
        rng = torch.Generator().manual_seed(1_000_003 * self._seed + self._chunk)
        here = self._latents[self._chunk * n : (self._chunk + 1) * n].map(lambda x: x[None].float())
        rows, cols = (side // self.nets.vae.config.shrink for side in self.size)
        z = noise_like(torch.empty(1, n, self.nets.dit.config.channels, rows, cols), rng)
        sigma = torch.ones(1, n)
        if known is not None:
            z[:, :1], sigma[:, 0] = known, 0.0
        chunk = clean(z, here, self._chunk * n).with_z(z, sigma)
        made = next_chunk(self.nets.dit, chunk, self._words, self._cache, self._sampler, rng)
        self._chunk += 1
        return self._show(made.z[:, 0 if known is None else 1 :], start)

    def _show(self, z: Tensor, start: int) -> WalkedChunk:
        refuse_broken(z, f"after frame {max(0, start - 1)}", self.nets.dit)
        made: list[Tensor] = []
        for latent in z.unbind(1):
            pixels, self._state = self.nets.vae.push(latent, self._state)
            made.append(released_models.shown(pixels.rgb, self.nets.vae))
        frames = torch.cat(made)
        seen = self._path[[min(i, len(self._path) - 1) for i in range(start, start + len(frames))]]
        return WalkedChunk(frames, seen, z)

    def _lead(self, path: Camera) -> None:
        """The path, and the cameras of whole chunks along it."""
        self._path = path
        latents = -(-(1 + (len(path) - 1) // 4) // self._past.chunk) * self._past.chunk
        still = path[-1:].map(lambda x: x.expand(4 * (latents - 1) + 1 - len(path), *x.shape[1:]))
        self._latents = autoregressive_latents(cat([path, still]), self._past.chunk)

    def save(self, file: Path) -> None:
        """All that the next frames depend on; the words too, so that nobody has to open the text encoder again."""
        tensors = {f"cache.{k}": x for k, x in self._cache.state().items()}
        tensors |= {f"decoder.{i}": x for i, x in enumerate(self._state or ())}
        known = {"known": self._known} if self._chunk == 0 else {}
        session.write(file, {"chunk": self._chunk, "seed": self._seed}, {**tensors, **known, "words": self._words})

    def load(self, file: Path, path: Camera) -> None:
        """Go on from there along the same path."""
        words, t = session.read(file)
        self._chunk, self._seed, self._words = words["chunk"], words["seed"], t["words"]
        self._cache, self._state = self._past.cache(), state_of(t, self._device)
        self._cache.restore({k.removeprefix("cache."): x.to(self._device) for k, x in t.items() if k.startswith("cache.")})
        if "known" in t:
            self._known = t["known"]
        self._lead(path)

    _known: Tensor


def state_of(t: dict[str, Tensor], device: str) -> State | None:
    """The decoder's state among saved tensors."""
    return tuple(t[f"decoder.{i}"].to(device) for i in range(sum(k.startswith("decoder.") for k in t))) or None
