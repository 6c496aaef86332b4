"""Streams: sequences of a student's own making, which go on from one update to the next, a window at a time.

The cache stays, without gradient; only the new frames of a window are made with one and count in the loss, so that an update
costs the same however long the sequence is. Source: Self Forcing (arXiv 2506.08009) for sequences of one window; LongLive
(arXiv 2509.22622) for long ones. Positions count from the start of the cache's window, as at play (Infinity-RoPE).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Generator, Tensor

from dreamx.bounds import BatchSize, LatentCount, Probability
from dreamx.frames import Frames, cat, clean
from dreamx.geometry.camera import Camera, relative_to
from dreamx.model.attention import Attend
from dreamx.model.kv_cache import KVCache
from dreamx.rollout import Sampler, next_chunk, noise_like
from dreamx.train.augment import drop_hints
from dreamx.train.latents import LatentClips
from dreamx.train.score_matching import StudentWindow, spoken
from dreamx.train.teacher_forcing import Predictor


@dataclass(frozen=True)
class StreamConfig:
    """Sequences that the student is rolled out in, and the windows that are scored."""

    batch: BatchSize = 1
    """Sequences that a process rolls out side by side."""
    window: LatentCount = 21
    """Latent frames that are scored together: as many as the teacher was trained on."""
    overlap: LatentCount = 3
    """Frames of a window, its first ones, that were made before; they are not counted. A sequence's first window has none."""
    lengths: tuple[LatentCount, ...] = (21,)
    """Latent frames after which a sequence begins anew, one for each equal part of training. WINDOW: with every window."""
    switch: Probability = 0.0
    """Probability of other words where the path of one clip ends and that of another begins."""
    drop_hint: Probability = 0.1
    """Probability of dropping what memory shows, a sequence."""

    def __post_init__(self) -> None:
        if self.overlap >= self.window:
            raise ValueError(f"stream.overlap must be less than stream.window ({self.window}), not {self.overlap}")
        if not self.lengths or min(self.lengths) < self.window:
            raise ValueError(f"stream.lengths must be one number at least, none below stream.window ({self.window})")

    def limit(self, progress: float) -> int:
        """Return the length of sequences at this share of training."""
        return self.lengths[min(int(progress * len(self.lengths)), len(self.lengths) - 1)]


def check_stream(cfg: StreamConfig, sampler: Sampler) -> None:
    """ValueError where windows are no whole chunks, or the cache does not hold one."""
    if sampler.window < sampler.sinks + sampler.chunk:
        raise ValueError(
            f"sampler.window: {sampler.window} frames do not hold {sampler.sinks} sinks and a chunk of {sampler.chunk}"
        )
    for name, frames in (("window", cfg.window), ("overlap", cfg.overlap)):
        if frames % sampler.chunk:
            raise ValueError(f"stream.{name} must be a multiple of sampler.chunk ({sampler.chunk}), not {frames}")


class StudentStream:
    """Sequences side by side, all of the same length, which begin with the first frame of a clip and go along its cameras."""

    def __init__(self, cfg: StreamConfig, sampler: Sampler, data: LatentClips, device: torch.device) -> None:
        self.cfg, self.sampler, self.data, self.device = cfg, sampler, data, device
        self.length = 0  # latent frames that were made of the present sequences
        self.cache = sampler.cache()
        self.prompts: list[str] = []
        self.way: Frames | None = None  # to come: cameras, hints, words, and true latents, of which a sequence's first is used
        self.end: Frames | None = None  # the last frame of that path
        self.before: Frames | None = None  # the newest frames that were made

    def next(
        self, student: Predictor, progress: float, paths: Generator, noise: Generator, exit_step: int | None = None
    ) -> StudentWindow:
        """Make the next window; a gradient reaches the student through the new frames alone.

        progress: share of training that is done. paths: what draws clips. exit_step: as in ``rollout.denoise_chunk``.
        """
        new = self.cfg.window - self.cfg.overlap
        if not self.length or self.length + new > self.cfg.limit(progress):
            self.length, self.cache, self.prompts, self.way, self.before = 0, self.sampler.cache(), [], None, None
            new = self.cfg.window
        self.lengthen(new, paths)
        made = [] if self.before is None else [self.before]
        made += [chunk for _, chunk in self.chunks(student, new, noise, exit_step, self.before)]
        frames = cat(*made)
        old = frames[-self.cfg.overlap :]
        self.before = old.with_z(old.z.detach())
        # Counted from 0, as the clips that a teacher learned from.
        window = replace(clean(frames.z, frames.camera), hint=frames.hint, said=frames.said)
        time = torch.arange(self.cfg.window, device=self.device).expand(self.cfg.batch, -1)
        # The first frame is known: a sequence's picture, or a frame that was made before. Teachers were trained with one.
        return StudentWindow(window, time >= max(1, self.cfg.window - new), time == 0, list(self.prompts))

    def lengthen(self, frames: int, paths: Generator) -> None:
        """Draw paths until there are so many frames to go."""
        while self.way is None or len(self.way) < frames:
            self._extend(paths)

    def chunks(
        self,
        student: Predictor,
        frames: int,
        noise: Generator,
        exit_step: int | None = None,
        last: Frames | None = None,
    ) -> Iterator[tuple[KVCache, Frames]]:
        """Go so many frames on; yield each chunk behind a fork of the past that it was made from.

        The path must be as long (``lengthen``). last: the frames that were made before, by whose words a flush is decided.
        """
        assert self.way is not None and len(self.way) >= frames
        todo, self.way = self.way[:frames].to(self.device), self.way[frames:]
        for first in range(0, frames, self.sampler.chunk):
            past, last = self._chunk(student, todo[first : first + self.sampler.chunk], noise, exit_step, last)
            yield past, last

    def branch(self, times: int) -> StudentStream:
        """Return ``times`` sequences for each of these, side by side, that go on from here along the same path.

        Nothing is computed again, and these sequences stay as they are.
        """
        other = StudentStream(replace(self.cfg, batch=self.cfg.batch * times), self.sampler, self.data, self.device)
        other.length, other.cache, other.prompts = self.length, _fork(self.cache, times), list(self.prompts)
        other.way, other.end, other.before = (
            None if x is None else repeat_rows(x, times) for x in (self.way, self.end, self.before)
        )
        return other

    def state(self) -> dict[str, Any]:
        """Return the sequences as plain values and tensors, to be saved."""
        frames = {name: _tensors(x) for name in ("way", "end", "before") if (x := getattr(self, name)) is not None}
        return {"length": self.length, "prompts": self.prompts, "cache": self.cache.state(), "frames": frames}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        self.length, self.prompts = state["length"], state["prompts"]
        self.cache = self.sampler.cache()
        self.cache.restore(state["cache"])
        self.way, self.end, self.before = (_frames(state["frames"].get(name)) for name in ("way", "end", "before"))

    def _chunk(
        self, student: Predictor, todo: Frames, noise: Generator, exit_step: int | None, last: Frames | None
    ) -> tuple[KVCache, Frames]:
        z, sigma = noise_like(todo.z, noise), torch.ones_like(todo.sigma)
        if not self.length:  # a sequence's first frame is given
            z, sigma = torch.cat([todo.z[:, :1], z[:, 1:]], 1), torch.cat([0 * sigma[:, :1], sigma[:, 1:]], 1)
        if last is not None and self.sampler.flush is not None and not torch.equal(_words(last)[:, -1], _words(todo)[:, 0]):
            self.cache.cut(self.sampler.flush)
        past = self.cache.fork()

        def net(frames: Frames, _: Tensor, attend: Attend) -> Tensor:
            return student(*spoken(frames, self.prompts), attend)

        index = self.length + torch.arange(len(todo), device=self.device).expand_as(todo.index)
        self.length += len(todo)
        # `sigma` stands where the text goes: `net` takes the prompts instead.
        todo = replace(todo, z=z, sigma=sigma, index=index)
        return past, next_chunk(net, todo, sigma, self.cache, self.sampler, noise, exit_step)

    def _extend(self, rng: Generator) -> None:
        """Put the path of another clip behind the one that is there, beginning where that ends, of which memory knows nothing.

        The camera does not jump; where a path ends looking up or down, the horizon of the next one is tilted by as much.
        """
        known, prompts = self.data.batch(self.cfg.batch, rng)
        rows = torch.arange(self.cfg.batch)[:, None].expand_as(known.index) if known.said is None else known.said
        known = replace(known, said=len(self.prompts) + rows)
        other = float(torch.rand(1, generator=rng)) < self.cfg.switch
        if self.way is None or self.end is None:
            self.prompts = prompts
            self.way = drop_hints(known, self.cfg.drop_hint, 0.0, rng)
        else:
            pose = self.end.camera.pose @ relative_to(known.camera, known.camera[:, :1]).pose
            known = replace(known, camera=Camera(pose, known.camera.lens), hint=None)
            if other:
                self.prompts = [*self.prompts, *prompts]
            else:
                known = replace(known, said=_words(self.end).expand_as(known.index))
            self.way = cat(self.way, known[1:])  # its first camera is where the path before ends
        self.end = known[-1:]


def repeat_rows(frames: Frames, times: int) -> Frames:
    """Each row ``times`` times, side by side: ``[B, T]`` to ``[B times, T]``. A single row is not copied."""
    hint, said = (None if x is None else _repeat(x, times) for x in (frames.hint, frames.said))
    z, sigma, index = (_repeat(x, times) for x in (frames.z, frames.sigma, frames.index))
    return Frames(z, sigma, index, frames.camera.map(lambda x: _repeat(x, times)), hint, said)


def _fork(cache: KVCache, times: int) -> KVCache:
    """An independent future of the same past, each of its rows ``times`` times."""
    other = cache.fork()
    if cache.where is not None:
        camera = cache.where.camera.map(lambda x: _repeat(x, times))
        other.where = replace(cache.where, index=_repeat(cache.where.index, times), camera=camera)
    other.kv = {slot: tuple((_repeat(k, times), _repeat(v, times)) for k, v in pieces) for slot, pieces in cache.kv.items()}
    return other


def _repeat(x: Tensor, times: int) -> Tensor:
    return x.expand(times, *x.shape[1:]) if len(x) == 1 else x.repeat_interleave(times, 0)


def _words(frames: Frames) -> Tensor:
    assert frames.said is not None
    return frames.said


def _tensors(frames: Frames) -> dict[str, Tensor | None]:
    facts = {"z": frames.z, "sigma": frames.sigma, "index": frames.index, "hint": frames.hint, "said": frames.said}
    facts |= {"pose": frames.camera.pose, "lens": frames.camera.lens}
    # Copies: a slice would be saved with all that it is a slice of.
    return {k: None if x is None else x.clone() for k, x in facts.items()}


def _frames(facts: dict[str, Tensor] | None) -> Frames | None:
    if facts is None:
        return None
    camera = Camera(facts["pose"], facts["lens"])
    return Frames(facts["z"], facts["sigma"], facts["index"], camera, facts["hint"], facts["said"])
