"""Streams: sequences of a student's own making, which go on from one update to the next, a window at a time.

The cache stays, without gradient; only the new frames of a window are made with one and count in the loss, so that an update
costs the same however long the sequence is. Source: Self Forcing (arXiv 2506.08009) for sequences of one window; LongLive
(arXiv 2509.22622) for long ones. Positions count from the start of the cache's window, as at play (Infinity-RoPE).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Generator, Tensor

from dreamx.bounds import BatchSize, LatentCount, Probability
from dreamx.config import LATER
from dreamx.frames import Frames, cat, clean, repeat, repeat_rows
from dreamx.geometry.camera import Camera, relative_to
from dreamx.model.attention import Attend
from dreamx.model.causal_config import CausalConfig
from dreamx.model.kv_cache import KVCache
from dreamx.rollout import Sampler, next_chunk, noise_like, recall
from dreamx.train.augment import drop_hints
from dreamx.train.latents import LatentClips
from dreamx.train.played_memory import PlayedMemory
from dreamx.train.score_matching import StudentWindow, spoken
from dreamx.train.stream_memory import StreamMemory
from dreamx.train.trained_networks import Predictor
from dreamx.train.window_pictures import WindowPictures


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
    known: Probability = field(default=1.0, metadata=LATER)
    """Share of the windows, beside a sequence's first, whose first frame teacher and critic are given. A teacher that is given a
    frame of one colour goes on with it; one that is not says how likely the whole window is (arXiv 2510.02283)."""

    def __post_init__(self) -> None:
        if self.overlap >= self.window:
            raise ValueError(f"stream.overlap must be less than stream.window ({self.window}), not {self.overlap}")
        if not self.lengths or min(self.lengths) < self.window:
            raise ValueError(f"stream.lengths must be one number at least, none below stream.window ({self.window})")

    def limit(self, progress: float) -> int:
        """Return the length of sequences at this share of training."""
        return self.lengths[min(int(progress * len(self.lengths)), len(self.lengths) - 1)]


def check_stream(cfg: StreamConfig, sampler: Sampler, past: CausalConfig | None = None) -> None:
    """ValueError where windows are no whole chunks, the cache does not hold one, or ``past`` is not that of the sampler."""
    if (s := sampler).window < s.sinks + s.chunk:
        raise ValueError(f"sampler.window: {s.window} frames do not hold {s.sinks} sinks and a chunk of {s.chunk}")
    for name, frames in (("window", cfg.window), ("overlap", cfg.overlap)):
        if frames % sampler.chunk:
            raise ValueError(f"stream.{name} must be a multiple of sampler.chunk ({sampler.chunk}), not {frames}")
    if past is None:
        return
    for name in ("chunk", "window", "sinks"):
        if getattr(past, name) != getattr(sampler, name):
            raise ValueError(f"past.{name} must be sampler.{name}, {getattr(sampler, name)}, not {getattr(past, name)}")
    if past.from_before and "view" not in past.alone:
        raise ValueError(
            "past.from_before: each chunk then has axes of its own, which a camera lane that sees the past cannot read; add view "
            "to past.alone, or set past.from_before to false"
        )


class StudentStream:
    """Sequences side by side, all of the same length, which begin with the first frame of a clip and go along its cameras.

    past: as in ``WorldConfig``. pictures: the first frame of a window is encoded anew, alone (None: it is as it was made), and
    its cameras are seen from that frame, as a teacher from pictures knows them. played: None: hints are those of the clips.
    """

    def __init__(
        self,
        cfg: StreamConfig,
        sampler: Sampler,
        data: LatentClips,
        device: torch.device,
        past: CausalConfig | None = None,
        pictures: WindowPictures | None = None,
        played: PlayedMemory | None = None,
    ) -> None:
        self.cfg, self.sampler, self.data, self.device, self.past, self.pictures = cfg, sampler, data, device, past, pictures
        self.played = played
        packed = None if past is None else past.packed
        self.memory = None if packed is None else StreamMemory(packed, cfg.batch)
        self.length = 0  # latent frames that were made of the present sequences
        self.cache = self._empty()
        self.prompts: list[str] = []
        self.way: Frames | None = None  # to come: cameras, hints, words, and true latents, of which a sequence's first is used
        self.end: Frames | None = None  # the last frame of that path
        self.before: Frames | None = None  # the newest frames that were made

    def next(
        self, student: Predictor, progress: float, paths: Generator, noise: Generator, exit_step: int | None = None
    ) -> StudentWindow:
        """Make the next window; a gradient reaches the student through the new frames alone. exit_step: of ``denoise_chunk``.

        progress: share of training that is done. paths: what draws clips.
        """
        new = self.cfg.window - self.cfg.overlap
        if not self.length or self.length + new > self.cfg.limit(progress):
            self.length, self.cache, self.prompts, self.way, self.before = 0, self._empty(), [], None, None
            for kept in (self.pictures, self.memory):
                if kept is not None:
                    kept.clear()
            if self.played is not None:
                self.played.begin(torch.rand(self.cfg.batch, generator=paths) >= self.cfg.drop_hint)
            new = self.cfg.window
        self.lengthen(new, paths)
        made = [] if self.before is None else [self.before]
        assert self.way is not None
        truth = torch.cat([*(x.z for x in made), self.way[:new].z.to(self.device)], 1)  # of frames made before, themselves
        made += [chunk for _, chunk in self.chunks(student, new, noise, exit_step, self.before)]
        frames = cat(*made)
        old = frames[-self.cfg.overlap :]
        self.before = old.with_z(old.z.detach())
        # Counted from 0, as the clips that a teacher learned from.
        window = replace(clean(frames.z, frames.camera), hint=frames.hint, said=frames.said)
        if self.pictures is not None:
            window = self._from_picture(window, self.pictures, new)
        time = torch.arange(self.cfg.window, device=self.device).expand(self.cfg.batch, -1)
        known = time == 0  # a sequence's picture, or a frame that was made before; teachers learned with and without
        if self.cfg.known < 1 and new < self.cfg.window:
            known = known & (torch.rand(self.cfg.batch, 1, generator=noise) < self.cfg.known).to(self.device)
        return StudentWindow(window, time >= max(1, self.cfg.window - new), known, list(self.prompts), truth)

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
        assert self.played is None, "no banks are forked"
        other = StudentStream(replace(self.cfg, batch=self.cfg.batch * times), self.sampler, self.data, self.device, self.past)
        if self.memory is not None and other.memory is not None:
            other.memory.each = [memory.fork() for memory in self.memory.each for _ in range(times)]
        other.length, other.cache, other.prompts = self.length, _fork(self.cache, times), list(self.prompts)
        other.way, other.end, other.before = (
            None if x is None else repeat_rows(x, times) for x in (self.way, self.end, self.before)
        )
        return other

    def state(self) -> dict[str, Any]:
        """Return the sequences as plain values and tensors, to be saved."""
        frames = {name: _tensors(x) for name in ("way", "end", "before") if (x := getattr(self, name)) is not None}
        more = {name: kept.state() for name in ("pictures", "memory", "played") if (kept := getattr(self, name)) is not None}
        return {"length": self.length, "prompts": self.prompts, "cache": self.cache.state(), "frames": frames} | more

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        self.length, self.prompts = state["length"], state["prompts"]
        self.cache = self._empty()
        self.cache.restore(state["cache"])
        if self.pictures is not None:
            self.pictures.restore(state["pictures"], self.device)
        for name in ("memory", "played"):
            if (kept := getattr(self, name)) is not None:
                kept.restore(state[name])
        self.way, self.end, self.before = (_frames(state["frames"].get(name)) for name in ("way", "end", "before"))

    def _empty(self) -> KVCache:
        return self.sampler.cache() if self.past is None else self.past.cache()

    def _from_picture(self, window: Frames, pictures: WindowPictures, new: int) -> Frames:
        """A window ``[B, W]`` of which so many frames are new, as a teacher from pictures is given it."""
        z = window.z
        if new < len(window):  # the first frame of a sequence is a picture already
            z = torch.cat([pictures.encode_from_end(self.cfg.overlap), z[:, 1:]], 1)
        pictures.append(window.z[:, -new:])
        return replace(window, z=z, camera=relative_to(window.camera, window.camera[:, :1]))

    def _chunk(
        self, student: Predictor, todo: Frames, noise: Generator, exit_step: int | None, last: Frames | None
    ) -> tuple[KVCache, Frames]:
        z, sigma = noise_like(todo.z, noise), torch.ones_like(todo.sigma)
        if not self.length:  # a sequence's first frame is given
            z, sigma = torch.cat([todo.z[:, :1], z[:, 1:]], 1), torch.cat([0 * sigma[:, :1], sigma[:, 1:]], 1)
        if last is not None and self.sampler.flush is not None and not torch.equal(_words(last)[:, -1], _words(todo)[:, 0]):
            self.cache.cut(self.sampler.flush)
        past = self.cache.fork()
        before = last.camera[:, -1:] if last is not None else todo.camera[:, :1]  # the last latent before the chunk
        if self.played is not None:
            todo = self.played.next(before[:, 0], todo)

        def net(frames: Frames, _: Tensor, attend: Attend) -> Tensor:
            return student(*spoken(frames, self.prompts), attend)

        index = self.length + torch.arange(len(todo), device=self.device).expand_as(todo.index)
        self.length += len(todo)
        chunk = replace(todo, z=z, sigma=sigma, index=index)
        recalled = None if self.memory is None else self.memory.choose(chunk, self.cache.held(len(chunk)))
        # `sigma` stands where the text goes: `net` takes the prompts instead.
        if recalled is not None and self.past is not None and self.past.packed is not None:
            told = replace(recalled, said=_words(todo)[:, :1].expand_as(recalled.index))  # read under the words of now
            with torch.no_grad():
                recall(net, self._seen(told, before), sigma, self.cache, self.past.packed.gaps)
        done = next_chunk(net, self._seen(chunk, before), sigma, self.cache, self.sampler, noise, exit_step)
        done = replace(done, camera=todo.camera)
        for memory in (self.memory, self.played):
            if memory is not None:
                memory.remember(done)
        return past, done

    def _seen(self, frames: Frames, before: Camera) -> Frames:
        """The frames with cameras as the student is given them."""
        if self.past is None or not self.past.from_before:
            return frames
        return replace(frames, camera=relative_to(frames.camera, before))

    def _extend(self, rng: Generator) -> None:
        """Put the path of another clip behind the one that is there, beginning where that ends, of which memory knows nothing.

        The camera does not jump; where a path ends looking up or down, the horizon of the next one is tilted by as much.
        """
        known, prompts = self.data.batch(self.cfg.batch, rng)
        rows = torch.arange(self.cfg.batch)[:, None].expand_as(known.index) if known.said is None else known.said
        known = replace(known, said=len(self.prompts) + rows, hint=None if self.played is not None else known.hint)
        other = float(torch.rand(1, generator=rng)) < self.cfg.switch
        if self.way is None or self.end is None:
            self.prompts = prompts
            self.way = drop_hints(known, self.cfg.drop_hint, 0.0, rng)
        else:
            pose = self.end.camera.pose @ relative_to(known.camera, known.camera[:, :1]).pose
            known = replace(known, z=torch.full_like(known.z, torch.nan), camera=Camera(pose, known.camera.lens), hint=None)
            if other:
                self.prompts = [*self.prompts, *prompts]
            else:
                known = replace(known, said=_words(self.end).expand_as(known.index))
            self.way = cat(self.way, known[1:])  # its first camera is where the path before ends
        self.end = known[-1:]


def _fork(cache: KVCache, times: int) -> KVCache:
    """An independent future of the same past, each of its rows ``times`` times."""
    other = cache.fork()
    if cache.where is not None:
        camera = cache.where.camera.map(lambda x: repeat(x, times))
        other.where = replace(cache.where, index=repeat(cache.where.index, times), camera=camera)
    other.kv = {slot: tuple((repeat(k, times), repeat(v, times)) for k, v in pieces) for slot, pieces in cache.kv.items()}
    return other


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
