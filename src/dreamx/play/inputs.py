"""The player's input between two chunks: held and tapped keys, mouse, stick, switches, words, commands."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf
from threading import Condition

from dreamx.geometry.controls import KEYS, Speed, check_keys
from dreamx.play.client_messages import Command, Restore, Rewind
from dreamx.play.pacing import ChunkPacer
from dreamx.replay import ReplayStep
from dreamx.session import Switches

MAX_PENDING = 16  # commands that may wait

_OPPOSITE = dict(zip("wasdijkl", "sdwaklij", strict=True))
_STILL = (0.0, 0.0)

#: What has to be done between two chunks.
PendingCommand = Command | Restore | Rewind


class KeyState:
    """Held and tapped keys. A tap between two chunks counts for the next one, however short it was.

    Opposite keys that are both held cancel, as everywhere; but where one of the two was only tapped, the newer press
    wins, so that "tap left, then hold right" turns right. Not locked: ``InputQueue`` calls it under its own lock.
    """

    def __init__(self) -> None:
        self._held = ""
        self._pressed: dict[str, int] = {}  # key -> when it was last pressed, in messages
        self._tapped: set[str] = set()
        self._count = 0
        self._mouse = _STILL
        self._stick = _STILL
        self.seq = 0

    def hold(self, held: str, seq: int, look: tuple[float, float] | None = None, turn: tuple[float, float] | None = None) -> None:
        """Hold exactly these keys from now on.

        ``look``: degrees of yaw and pitch that the mouse moved since the last call. ``turn``: how far a stick is held from
        now on, -1 to 1 of the speed of a key.
        """
        held = check_keys(held)
        self._count += 1
        for key in set(held) - set(self._held):
            self._pressed[key] = self._count
            self._tapped.add(key)
        self._held = held
        yaw, pitch = look or _STILL
        self._mouse = (self._mouse[0] + yaw, self._mouse[1] + pitch)  # summed: messages come faster than chunks
        self._stick = turn or _STILL  # a position, not a motion: it holds until the next message
        self.seq = max(self.seq, seq)  # never backwards, whatever a page sends

    def sample(self, frames: int, speed: Speed) -> tuple[str, tuple[float, float] | None]:
        """The keys for the chunk of so many frames that begins now, and how many degrees it turns besides. Forgets the taps."""
        keys = set(self._held) | self._tapped
        for key in tuple(keys):
            other = _OPPOSITE[key]
            both_held = key in self._held and other in self._held
            if other in keys and not both_held and self._pressed[key] < self._pressed[other]:  # the older press gives way
                keys.discard(key)
        self._tapped.clear()
        reach = frames * speed.degrees_per_second / speed.fps  # degrees that a key turns in this chunk
        yaw, pitch = (mouse + stick * reach for mouse, stick in zip(self._mouse, self._stick, strict=True))
        self._mouse = _STILL
        return "".join(k for k in KEYS if k in keys), (yaw, pitch) if yaw or pitch else None


@dataclass(frozen=True)
class InputSample:
    """Input of the chunk that begins now, and the newest ``Keys.seq`` in it; ``error``: why the replay breaks off."""

    step: ReplayStep
    seq: int
    error: str | None


class InputQueue:
    """Keys, commands and switches, guarded by one condition on which the pipeline's thread waits. Called from any thread.

    ``script``: steps of a replay that are walked before the player's keys count.
    """

    def __init__(self, speed: Speed, switches: Switches, script: Iterable[ReplayStep]) -> None:
        self._changed = Condition()
        self._speed = speed
        self._keys = KeyState()
        self._pace = ChunkPacer(speed.fps)
        self._event: str | None = None
        self._script = iter(script)
        self._next = next(self._script, None)  # of the script
        self._pending: deque[PendingCommand] = deque()
        self.switches = switches
        self.paused = False
        self.closed = False

    @property
    def replaying(self) -> bool:
        """Whether steps of a script are left."""
        return self._next is not None

    def hold(self, held: str, seq: int, look: tuple[float, float] | None = None, turn: tuple[float, float] | None = None) -> None:
        """Hold exactly these keys from now on; mouse and stick as in ``KeyState``."""
        with self._changed:
            self._keys.hold(held, seq, look, turn)

    def event(self, text: str) -> None:
        """Set the words of an event, from the next chunk on."""
        with self._changed:
            self._event = text

    def switch(self, switches: Switches) -> None:
        """Set the switches of the model, from the next chunk on."""
        with self._changed:
            self.switches = switches

    def shown(self, frame: int, spare: float | None) -> None:
        """The page painted a frame; ``spare`` in seconds, see ``pacing``."""
        with self._changed:
            self._pace.shown(frame, spare)
            self._changed.notify()

    def pause(self, paused: bool) -> None:
        """Stand still, or go on."""
        with self._changed:
            self.paused = paused
            self._changed.notify()

    def submit(self, command: PendingCommand) -> None:
        """Have this done before the next chunk. ValueError when too many commands wait."""
        with self._changed:
            if len(self._pending) >= MAX_PENDING:
                raise ValueError(f"{command.type}: {MAX_PENDING} commands are waiting already; ask again in a moment")
            self._pending.append(command)
            self._changed.notify()

    def close(self) -> None:
        """Let no further chunk begin."""
        with self._changed:
            self.closed = True
            self._changed.notify()

    def notify(self) -> None:
        """Wake the pipeline's thread: what it waits for may have changed."""
        with self._changed:
            self._changed.notify()

    def next_request(self, held_up: Callable[[], bool]) -> PendingCommand | bool:
        """Wait for the next chunk (True; never while ``held_up()`` holds), a command, or the end (False)."""
        with self._changed:
            while not self.closed and not self._pending:
                wait = inf if self.paused or held_up() else self._pace.wait()
                if wait == 0:
                    return True
                # Releases the lock; any message wakes it, and all is looked at anew.
                self._changed.wait(None if wait == inf else wait)
            return False if self.closed else self._pending.popleft()

    def began(self, frames: int) -> None:
        """Note that a chunk of so many frames begins without input: an opening picture, or the picture of a jump."""
        with self._changed:
            self._pace.began(frames)

    def jumped(self) -> None:
        """The player is elsewhere now: a script does not lead on from here, and taps and words were meant for there."""
        with self._changed:
            self._script, self._next, self._event = iter(()), None, None
            self._keys.sample(1, self._speed)  # sampled to be forgotten

    def sample(self, frames: int) -> InputSample:
        """Take the input for the chunk of so many frames that begins now."""
        with self._changed:
            keys, look = self._keys.sample(frames, self._speed)
            self._pace.began(frames)
            error, step = None, self._next
            if step is not None and step.frames != frames:  # a replay of a world with another chunk length
                given = step.frames
                error = f"the replay was walked {given} frames at a time and this world makes {frames}; walk on by yourself"
                self._script, self._next, step = iter(()), None, None
            if step is not None:
                self._next = next(self._script, None)
                self.switches = step.switches  # the page shows what the replay had on
            else:
                event, self._event = self._event, None  # once, at the start of one chunk
                step = ReplayStep(keys, frames, look, event, self.switches)
            return InputSample(step, self._keys.seq, error)
