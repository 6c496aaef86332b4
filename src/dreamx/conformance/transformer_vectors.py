"""The two transformers through ``DiT``: bidirectional with ``MaskedAttention``, causal by chunks against a ``KVCache``."""

from __future__ import annotations

import re
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from dreamx import flow
from dreamx.checkpoints import official_names
from dreamx.conformance.vectors import Vectors, error, ordinal
from dreamx.frames import Frames
from dreamx.geometry.camera import Camera, level, se3_inverse
from dreamx.model.attention import Attend, MaskedAttention, Slot
from dreamx.model.dit import DiT
from dreamx.model.kv_cache import KVCache
from dreamx.model.positions import PositionEncoding


class CachedPast:
    """The released cache, which is ``KVCache`` but for one rule: a sink is written once.

    The first pass over a chunk writes its keys and values, every further pass replaces them; but where a chunk other than the
    very first lies in the slots of the sinks, those of its first pass stay. That happens only to sinks that the first chunk does
    not fill, or that the window has no room for beside a chunk, which no released config has.
    """

    def __init__(self, window: int | None, sinks: int, chunk: int) -> None:
        if window is not None and window < chunk:
            raise ValueError(f"config.local_attn_size: {window} frames do not hold a chunk of {chunk}")
        self.window, self.sinks = window, sinks
        self.cache = KVCache(window, sinks if window is None else min(sinks, window - chunk), alone=("view",))
        self.backend = self.cache.backend
        self._first: dict[Slot, tuple[Tensor, Tensor]] = {}
        self._later = False

    def __call__(self, slot: Slot, q: Tensor, k: Tensor, v: Tensor, place: PositionEncoding) -> Tensor:
        begin = len(self.cache) if self.window is None else min(len(self.cache), self.window - k.shape[1])
        frozen = self.sinks - begin if self._later else 0
        if frozen > 0 and slot[1] == "time":
            once = self._first.setdefault(slot, (k, v))
            k, v = (torch.cat([old[:, :frozen], new[:, frozen:]], 1) for old, new in zip(once, (k, v), strict=True))
        return self.cache(slot, q, k, v, place)

    def keep(self) -> None:
        """The chunk is finished."""
        self.cache.commit()
        self._first, self._later = {}, True


def causal(vectors: Vectors) -> dict[str, float]:
    """Chunk by chunk, every pass of the sampler against one cache. Source: the released autoregressive pipeline."""
    seen = bool(vectors.word("camera"))
    dit = _transformer(vectors, causal=True, camera=seen)
    calls = sorted((k for k in vectors.tensors if re.fullmatch(r"call\d+\.latents", k)), key=ordinal)
    window, sinks = vectors.word("config", "local_attn_size"), vectors.word("config", "sink_size")
    past = CachedPast(None if window == -1 else window, sinks, max(vectors[name].shape[2] for name in calls))
    text, errors, before = _text(vectors), _schedule(vectors), None
    for name in calls:
        call = name.removesuffix(".latents")
        start = int(vectors[f"{call}.first_frame"])
        if before is not None and start != before:
            past.keep()
        before = start
        frames = _frames(vectors, vectors[name], vectors[f"{call}.timesteps"], start, seen)
        errors[f"{call}.flow"] = error(_answer(dit, frames, text, past), vectors[f"{call}.flow"])
    return errors


def bidirectional(vectors: Vectors) -> dict[str, float]:
    """One pass over all frames, each with its own timestep, with and without cameras."""
    text, errors = _text(vectors), {}
    for name, seen in (("flow", True), ("flow_no_camera", False)):
        if name in vectors:
            dit = _transformer(vectors, causal=False, camera=seen)
            frames = _frames(vectors, vectors["latents"], vectors["timesteps"], 0, seen)
            errors[name] = error(_answer(dit, frames, text, MaskedAttention()), vectors[name])
    return errors


def _transformer(vectors: Vectors, causal: bool, camera: bool) -> DiT:
    """Our network with the file's weights; without ``camera`` it has no camera lane, whatever the file holds."""
    config = official_names.read_config(vectors.word("config"), causal)
    weights = vectors.weights()
    if not camera:
        config = replace(config, view=None)
        weights = {k: x for k, x in weights.items() if "cam_self_attn" not in k}
    return official_names.load(weights, config)


def _frames(vectors: Vectors, latents: Tensor, timesteps: Tensor, start: int, camera: bool) -> Frames:
    """``latents [1, C, T, H, W]`` from latent frame ``start`` on; ``timesteps [T]`` of 1000."""
    z = latents.movedim(1, 2).float()  # [1, T, C, H, W]
    b, t = z.shape[:2]
    index = torch.arange(start, start + t).expand(b, t)
    seen = _cameras(vectors, start, t) if camera else level().map(lambda x: x.expand(t, *x.shape))
    # float64, since 1000 * float32(t / 1000) is not t, and the network sees the difference.
    sigma = timesteps.double().expand(b, t) / 1000
    return Frames(z, sigma, index, seen.map(lambda x: x.expand(b, *x.shape)))


def _cameras(vectors: Vectors, start: int, frames: int) -> Camera:
    """World-to-camera ``viewmats`` and ``intrinsics``. Whatever these say, the official lane puts the principal point in
    the middle."""
    views = vectors["viewmats"].float().reshape(-1, 4, 4)[start : start + frames]
    if len(views) != frames:
        raise ValueError(f"viewmats: has no cameras for latent frames {start} to {start + frames - 1}")
    k = vectors["intrinsics"].float().reshape(-1, 3, 3)
    k = (k if len(k) == 1 else k[start : start + frames]).expand(frames, 3, 3)
    middle = torch.full((frames,), 0.5)
    return Camera(se3_inverse(views), torch.stack([k[:, 0, 0], k[:, 1, 1], middle, middle], -1))


def _text(vectors: Vectors) -> Tensor:
    """Text tokens, filled up with zeros to the length that the network always reads."""
    text, length = vectors["text_embeddings"].float(), vectors.word("config", "text_len")
    if text.shape[1] > length:
        raise ValueError(f"text_embeddings: {text.shape[1]} tokens are more than the text_len of {length}")
    return pad(text, (0, 0, 0, length - text.shape[1]))


def _answer(dit: DiT, frames: Frames, text: Tensor, attend: Attend) -> Tensor:
    return dit(frames, text, attend).movedim(2, 1)


def _schedule(vectors: Vectors) -> dict[str, float]:
    """Errors of the noise schedule: a lattice from 1 down, shifted by 5, of which the few steps are points."""
    if "scheduler.sigmas" not in vectors:
        return {}
    lattice = flow.shift(torch.linspace(1, 0, len(vectors["scheduler.sigmas"]) + 1), 5.0)  # float32, as theirs: 1000 is large
    steps = vectors["denoising_timesteps"]
    nearest = 1000 * lattice[(steps[:, None] - 1000 * lattice).abs().argmin(1)]
    return {
        "scheduler.sigmas": error(lattice[:-1], vectors["scheduler.sigmas"]),
        "scheduler.timesteps": error(lattice[:-1], vectors["scheduler.timesteps"] / 1000),  # of 1000 a last digit is 1.2e-4
        "denoising_timesteps": error(nearest, steps),
    }
