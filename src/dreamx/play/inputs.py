"""Queue of the player's requests that the world has not yet carried out, and their time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf
from threading import Condition

from dreamx.geometry.controls import Speed
from dreamx.play.client_messages import Command, Restore, Rewind
from dreamx.play.hands import KeyState
from dreamx.play.pacing import ChunkPacer
from dreamx.replay import ReplayStep
from dreamx.session import Switches

MAX_PENDING = 16  # that may wait to be granted

#: What has to be done between two chunks.
PendingCommand = Command | Restore | Rewind


@dataclass(frozen=True)
class InputSample:
    """Input of the chunk that begins now, and the newest ``Keys.seq`` in it; ``error``: why the replay breaks off."""

    step: ReplayStep
    seq: int
    error: str | None


class InputQueue:
    """Hands, wishes and switches, guarded by one condition on which the dreamer waits. Called from any thread.

    ``script``: steps that are walked before the hands are listened to.
    """

    def __init__(self, speed: Speed, switches: Switches, script: Iterable[ReplayStep]) -> None:
        self._changed = Condition()
        self._speed = speed
        self._hands = KeyState()
        self._pace = ChunkPacer(speed.fps)
        self._event: str | None = None
        self._script = iter(script)
        self._next = next(self._script, None)  # of the script
        self._wishes: deque[PendingCommand] = deque()
        self.switches = switches
        self.paused = False
        self.closed = False

    @property
    def replaying(self) -> bool:
        """Whether steps of a script are left."""
        return self._next is not None

    def hold(self, held: str, seq: int, look: tuple[float, float] | None = None, turn: tuple[float, float] | None = None) -> None:
        """From now on exactly these keys are held; mouse and stick as in hands.py."""
        with self._changed:
            self._hands.hold(held, seq, look, turn)

    def event(self, text: str) -> None:
        """Let this happen, from the next chunk on."""
        with self._changed:
            self._event = text

    def switch(self, switches: Switches) -> None:
        """Set the switches of the model, from the next chunk on."""
        with self._changed:
            self.switches = switches

    def shown(self, frame: int, spare: float | None) -> None:
        """The page painted a frame; ``spare`` in seconds, see pace.py."""
        with self._changed:
            self._pace.shown(frame, spare)
            self._changed.notify()

    def pause(self, paused: bool) -> None:
        """Stand still, or go on."""
        with self._changed:
            self.paused = paused
            self._changed.notify()

    def wish(self, wish: PendingCommand) -> None:
        """Have this done before the next chunk. ValueError when too much was wished at once."""
        with self._changed:
            if len(self._wishes) >= MAX_PENDING:
                raise ValueError(f"{wish.type}: {MAX_PENDING} wishes are waiting to be done already; ask again in a moment")
            self._wishes.append(wish)
            self._changed.notify()

    def close(self) -> None:
        """There is to be no other chunk."""
        with self._changed:
            self.closed = True
            self._changed.notify()

    def look(self) -> None:
        """Something that the dreamer waits for may have changed: look again."""
        with self._changed:
            self._changed.notify()

    def turn(self, held_up: Callable[[], bool]) -> PendingCommand | bool:
        """Wait for the next chunk (True; never while ``held_up()`` holds), a command, or the end (False)."""
        with self._changed:
            while not self.closed and not self._wishes:
                wait = inf if self.paused or held_up() else self._pace.wait()
                if wait == 0:
                    return True
                self._changed.wait(None if wait == inf else wait)
            return False if self.closed else self._wishes.popleft()

    def began(self, frames: int) -> None:
        """A chunk of so many frames begins that obeys nobody: an opening picture, or the place of a jump."""
        with self._changed:
            self._pace.began(frames)

    def jumped(self) -> None:
        """The player is elsewhere now: a script does not lead on from here, and taps were meant for there."""
        with self._changed:
            self._script, self._next = iter(()), None
            self._hands.sample(1, self._speed)

    def sample(self, frames: int) -> InputSample:
        """Take the input for the chunk of so many frames that begins now."""
        with self._changed:
            keys, look = self._hands.sample(frames, self._speed)
            self._pace.began(frames)
            error, step = None, self._next
            if step is not None and step.frames != frames:
                given = step.frames
                error = f"the replay was walked {given} frames at a time and this world makes {frames}; walk on by yourself"
                self._script, self._next, step = iter(()), None, None
            if step is not None:
                self._next = next(self._script, None)
                self.switches = step.switches
            else:
                event, self._event = self._event, None
                step = ReplayStep(keys, frames, look, event, self.switches)
            return InputSample(step, self._hands.seq, error)
