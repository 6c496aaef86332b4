"""The past of a session, as far as one can go back: every step for the replay, remembered moments, the last half minute.

Only the thread that dreams changes it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from dreamx.replay import ReplayStep
from dreamx.world import World

MOMENTS = 12  # remembered ones; the oldest goes
RECENT = 30  # seconds that can be rewound
LONGEST = 50_000  # spans of equal steps that a replay holds: hours of walking

#: Equal steps in a row, and how many of them: a held key is one span, however long.
Span = tuple[ReplayStep, int]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One moment: the picture ``[3, H, W]`` seen last, and how it came there.

    world: gives the world as it was, one's own to go on with. Of a session that comes back it reads the disk when it is asked,
    for a dozen moments of ten megabytes each are rarely gone back to; ValueError, one sentence, where that cannot be read.
    frames: walked since the session began, its opening picture being the first. chunk: of that walk.
    """

    id: str
    world: Callable[[], World]
    picture: Tensor
    frames: int
    chunk: int
    spans: tuple[Span, ...]


class History:
    """The walk of a session (``spans``, ``frames``, ``chunk``), and the moments that it can go back to."""

    def __init__(self, here: Snapshot | None = None, moments: tuple[Snapshot, ...] = ()) -> None:
        self.spans: list[Span] = list(here.spans) if here else []
        self.frames = here.frames if here else 1
        self.chunk = here.chunk if here else 0
        self.moments = list(moments)
        self.recent: deque[Snapshot] = deque(maxlen=RECENT + 1)  # one a second, both ends counted
        self._names = max((int(m.id) for m in moments), default=0)  # ids are never used twice, also after a restart

    def step(self, step: ReplayStep) -> None:
        """Note the step of one more chunk."""
        self.frames += step.frames
        self.chunk += 1
        if self.spans and self.spans[-1][0] == step:
            self.spans[-1] = (self.spans[-1][0], self.spans[-1][1] + 1)
        elif len(self.spans) < LONGEST:  # beyond it one walks on, but the replay ends
            self.spans.append((step, 1))

    def here(self, world: World, picture: Tensor, name: str = "") -> Snapshot:
        """Return this moment, to be kept: a fork of the world, whose chunks must all be decoded."""
        # A fork of a fork: the moment stays as it is, however often one goes back to it.
        return Snapshot(name, world.fork().fork, picture, self.frames, self.chunk, tuple(self.spans))

    def remember(self, world: World, picture: Tensor) -> Snapshot:
        """Make this moment one that can be restored by its id."""
        self._names += 1
        kept = self.here(world, picture, str(self._names))
        self.moments = [*self.moments, kept][-MOMENTS:]
        return kept

    def find(self, name: str | None) -> Snapshot:
        """A remembered moment by its id, or the newest. ValueError where there is none."""
        found = [m for m in self.moments if name in (None, m.id)]
        if not found:
            raise ValueError("there is no such moment to go back to; save one first")
        return found[-1]

    def before(self, frames: float) -> Snapshot:
        """The newest of the recent moments that is at least so many frames ago, or the oldest. ValueError where there is none."""
        found = [k for k in self.recent if k.frames < self.frames]
        if not found:
            raise ValueError("there is nothing to rewind yet; walk a second first")
        old = [k for k in found if k.frames <= self.frames - frames]
        return old[-1] if old else found[0]

    def go(self, to: Snapshot) -> World:
        """Go back to a moment and return its world. ValueError where that cannot be read any more; nothing changes then."""
        world = to.world()
        self.spans, self.frames, self.chunk = list(to.spans), to.frames, to.chunk
        if to in self.recent:
            while self.recent[-1] is not to:  # later moments are of a future that is given up
                self.recent.pop()
        else:
            self.recent.clear()  # another branch: its recent past is not the one that was walked
        return world

    def rewindable(self) -> int:
        """Return the number of frames that one can go back."""
        return self.frames - self.recent[0].frames if self.recent else 0
