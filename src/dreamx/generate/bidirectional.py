"""DreamX-World-5B-Cam: all frames at once, in Euler steps under guidance; shown one latent after another.

Source: the official script of the bidirectional model.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dreamx import session
from dreamx.config import to_json
from dreamx.decoding import decode_chunk
from dreamx.frames import Frames, clean
from dreamx.generate.released_models import FPS, Sampling
from dreamx.generate.world_walker import WalkedChunk
from dreamx.geometry.camera import Camera, level
from dreamx.geometry.official import bidirectional_latents
from dreamx.model.attention import Attend, MaskedAttention
from dreamx.model.broken import refuse_broken
from dreamx.model.vae import State, to_bytes
from dreamx.released import ReleasedNetworks, encoded
from dreamx.rollout import Network, Sampler, denoise_chunk, noise_like
from dreamx.session import Dream
from dreamx.session_shapes import check_tensors, decoder_table

_AT_ONCE = 3  # latents that are shown in one go


class Bidirectional:
    """One video of a bidirectional model, of a length that fits the device; ``say`` hears how far it is.

    note: what of the caption its text encoder does not read, one sentence or ``""``.
    """

    legs, lens = "goes where it was led", level(dtype=torch.float64).lens

    def __init__(self, nets: ReleasedNetworks, sampling: Sampling, say: Callable[[str], None]) -> None:
        self.nets, self.size, self.fps, self.identity = nets, sampling.size, FPS, nets.identity
        self.sampler: dict[str, Any] = to_json(sampling)
        self._sampling, self._say, self.note = sampling, say, ""
        vae = nets.vae.config
        self._latent = vae.latent, self.size[0] // vae.shrink, self.size[1] // vae.shrink

    @torch.inference_mode()
    def begin(self, image: Tensor | None, caption: str, seed: int, path: Camera) -> WalkedChunk:
        """Makes all latents, and shows the first."""
        s, here = self._sampling, _cameras(path)
        read = self.nets.text.read([caption] if s.guidance is None else [caption, s.negative])
        words, self.note = torch.cat([x for x, _ in read]), read[0][1]
        z = noise_like(torch.empty(1, here.shape[1], *self._latent), torch.Generator().manual_seed(1_000_003 * seed))
        new = torch.ones(z.shape[:2])
        if image is not None:
            z[:, :1], new[:, 0] = encoded(self.nets.vae, image), 0.0
        frames = clean(z, here).with_z(z, new)
        made = denoise_chunk(self._network(), frames, words, MaskedAttention(), Sampler(s.steps, s.shift, stochastic=False))
        self._begin(made, path, 0, None)
        return self._show(1)

    def _network(self) -> Network:
        """The network under guidance. Of its words the first are the caption's, the second those of what is not wanted."""
        dit, s, passes = self.nets.dit, self._sampling, count(1)

        def guided(frames: Frames, words: Tensor, attend: Attend) -> Tensor:
            v, done = dit(frames, words[:1], attend), next(passes)
            if s.guidance is not None:
                away = dit(frames, words[1:], MaskedAttention())
                v = away + s.guidance * (v - away)
            refuse_broken(v, f"in step {done} of {s.steps}", dit)
            if done % 10 == 0 or done == s.steps:
                self._say(f"step {done} of {s.steps}")
            return v

        return guided

    @torch.inference_mode()
    def more(self, start: int) -> WalkedChunk:
        """The next few latents' frames."""
        return self._show(_AT_ONCE)

    def _begin(self, made: Frames, path: Camera, shown: int, state: State | None) -> None:
        self._made, self._path, self._at, self._state = made, path, shown, state

    def _show(self, latents: int) -> WalkedChunk:
        group, stop = self.nets.vae.config.group, min(self._at + latents, len(self._made))
        path = self._path[max(0, group * (self._at - 1) + 1) : group * (stop - 1) + 1]
        new = self._made[self._at : stop]
        made, self._state = decode_chunk(self.nets.vae, Dream(new, path, path[:0]), self.size, self._state, False)
        self._at = stop
        return WalkedChunk(to_bytes(torch.cat([pixels.rgb[0] for pixels, _ in made])), path, new.z)

    def save(self, file: Path) -> None:
        """The latents, and how far they were shown."""
        decoder = {f"decoder.{i}": x for i, x in enumerate(self._state or ())}
        session.write(file, {"at": self._at}, {"z": self._made.z, **decoder})

    def load(self, file: Path, path: Camera) -> None:
        """Go on from there along the same path. ValueError, one sentence, where the file is not of such a video."""
        (words, t), here, shown = session.read(file), _cameras(path), 0
        try:
            if not (isinstance(shown := words.get("at"), int) and 0 < shown <= here.shape[1]):
                raise ValueError(f"at is {shown!r:.40}")
            decoder = decoder_table(self.nets.vae.config, self._latent, shown == 1)
            check_tensors(t, {"z": ((*here.shape, *self._latent), (torch.float32,)), **decoder})
        except ValueError as e:
            raise ValueError(f"{file}: the session is not whole ({e}); say --overwrite to make the video anew") from e
        self._begin(clean(t["z"], here), path, shown, tuple(t[name].to(self._sampling.device) for name in decoder))


def _cameras(path: Camera) -> Camera:
    """Of the latents of a path, ``[1, T]``."""
    return bidirectional_latents(path).map(lambda x: x[None].float())
