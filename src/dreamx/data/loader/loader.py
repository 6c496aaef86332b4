"""The loader: an endless row of draws that all ranks agree on, and the samples of this rank's draws."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dreamx.clip import Clip, refuse_held_out
from dreamx.config import to_json
from dreamx.data.dataset import Clips, read
from dreamx.data.loader.shape import Revisit, Window


@dataclass(frozen=True)
class From:
    """A dataset, how often it is drawn from compared with the others, and what is taken of its clips."""

    place: str
    weight: float
    shape: Window | Revisit

    def __post_init__(self) -> None:
        if not 0 < self.weight < float("inf"):
            raise ValueError(f"from.weight of {self.place} must be above 0, not {self.weight}")


@dataclass(frozen=True)
class LoaderConfig:
    """Datasets to draw clips from, their weights, and the seed of the order."""

    sources: tuple[From, ...]
    """Datasets, their weights, what is drawn of each."""
    seed: int = 0
    """Of the order."""
    ahead: int = 4
    """Samples that threads read in advance; 0 reads each when it is asked for."""

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("loader.sources is empty; name at least one dataset")
        if self.ahead < 0:
            raise ValueError(f"loader.ahead must be 0 or more, not {self.ahead}")


@dataclass(frozen=True)
class Draw:
    """The ``number``-th draw of all: clip ``clip`` of source ``source``, which comes for the ``epoch``-th time."""

    number: int
    source: int
    clip: int
    epoch: int


@dataclass(frozen=True)
class LoadedSample:
    """A drawn sample: a clip, or two of a revisit, and the frame of the whole at which each begins."""

    draw: Draw
    name: str
    clips: tuple[Clip, ...]
    starts: tuple[int, ...]


@dataclass
class _Row:
    """Position in the sequence of draws. ``taken``: draws from each source so far."""

    number: int = 0
    taken: list[int] = field(default_factory=list[int])


class Loader:
    """Iterates over the samples of one rank, without end.

    ValueError where a dataset has no clip that is long enough, fewer of them than there are ranks, or one of an evaluation scene;
    also, with the dataset and the clip, where one cannot be read.
    """

    def __init__(self, cfg: LoaderConfig, rank: int = 0, ranks: int = 1) -> None:
        if not 0 <= rank < ranks:
            raise ValueError(f"loader.rank must lie between 0 and ranks - 1 = {ranks - 1}, not {rank}")
        self.cfg, self.rank, self.ranks = cfg, rank, ranks
        self._clips: list[Clips] = [read(s.place) for s in cfg.sources]
        self._long: list[list[int]] = []  # of each source, the clips that are long enough
        for source, clips in zip(cfg.sources, self._clips, strict=True):
            rows = clips.rows
            for row in rows:
                refuse_held_out(row.seed)
            least = source.shape.least()
            self._long.append([i for i, row in enumerate(rows) if row.frames >= least])
            if (there := len(self._long[-1])) < ranks:
                found = f"{there} of {len(rows)} clips have {least} frames or more"
                raise ValueError(f"{source.place}: {found}, too few for {ranks} rank{'s' if ranks > 1 else ''}")
        self._row = _Row(taken=[0] * len(cfg.sources))
        self._orders: dict[int, tuple[int, Any]] = {}  # the shuffled clips of each source in its present epoch

    def state(self) -> dict[str, Any]:
        """Return the position after the last sample that it gave, as JSON. It is of this rank."""
        return {"number": self._row.number, "taken": list(self._row.taken), "of": self._of()}

    def resume(self, state: dict[str, Any]) -> Loader:
        """Go on behind the last sample of ``state``; ValueError where that is of other data, seed, or number of ranks."""
        if state.get("of") != self._of():
            raise ValueError("the loader's state is of other datasets, another seed or another rank; begin anew")
        self._row = _Row(int(state["number"]), [int(n) for n in state["taken"]])
        return self

    def _of(self) -> dict[str, Any]:
        sources = [
            {"weight": s.weight, "shape": to_json(s.shape), "clips": len(n)}
            for s, n in zip(self.cfg.sources, self._long, strict=True)
        ]
        # Not the path: datasets may be moved.
        return {"sources": sources, "seed": self.cfg.seed, "rank": self.rank, "ranks": self.ranks}

    def draws(self) -> Iterator[tuple[Draw, _Row]]:
        """Draws of this rank from here on, each with where the row is behind it. Opens no pictures."""
        row = _Row(self._row.number, list(self._row.taken))
        total = sum(s.weight for s in self.cfg.sources)
        while True:
            # The source that lags most behind its weight: the mixture is right at every moment, and nothing is left to chance.
            behind = [s.weight / total * (row.number + 1) - n for s, n in zip(self.cfg.sources, row.taken, strict=True)]
            k = int(np.argmax(behind))
            # The n-th draw of a source is the n-th of its shuffled clips: none twice before all came once.
            epoch, at = divmod(row.taken[k], len(self._long[k]))
            draw = Draw(row.number, k, self._shuffled(k, epoch)[at], epoch)
            row.number += 1
            row.taken[k] += 1
            # All ranks walk the whole row and take every n-th draw: no messages between them.
            if draw.number % self.ranks == self.rank:
                yield draw, _Row(row.number, list(row.taken))

    def _shuffled(self, k: int, epoch: int) -> Any:
        if self._orders.get(k, (-1, None))[0] != epoch:
            # 1 and 2 below: order and windows draw from streams apart.
            order = np.random.default_rng([self.cfg.seed, k, epoch, 1]).permutation(len(self._long[k]))
            self._orders[k] = (epoch, [self._long[k][i] for i in order])
        return self._orders[k][1]

    def sample(self, draw: Draw) -> LoadedSample:
        """Load the sample of a draw: a pure function of it and the seed."""
        clips, shape = self._clips[draw.source], self.cfg.sources[draw.source].shape
        rng = np.random.default_rng([self.cfg.seed, draw.source, draw.clip, draw.epoch, 2])
        starts = shape.starts(clips, draw.clip, rng)
        taken = tuple(clips.window(draw.clip, start, shape.frames) for start in starts)
        return LoadedSample(draw, clips.names[draw.clip], taken, starts)

    def __iter__(self) -> Iterator[LoadedSample]:
        if not self.cfg.ahead:
            for draw, row in self.draws():
                sample = self.sample(draw)
                self._row = row
                yield sample
            return
        waiting: deque[tuple[Future[LoadedSample], _Row]] = deque()
        with ThreadPoolExecutor(min(self.cfg.ahead, 4)) as pool:  # threads: decoders of pictures release the interpreter's lock
            try:
                for draw, row in self.draws():
                    waiting.append((pool.submit(self.sample, draw), row))
                    if len(waiting) > self.cfg.ahead:
                        future, behind = waiting.popleft()
                        sample = future.result()
                        self._row = behind  # moved on only when the sample is given out, not when it is read ahead
                        yield sample
            finally:
                for future, _ in waiting:
                    future.cancel()
