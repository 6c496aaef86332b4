"""State of the player's controls: keys held now, and tapped since the last chunk began; the mouse, and a stick."""

from __future__ import annotations

from dreamx.geometry.controls import KEYS, Speed, check_keys

_OPPOSITE = dict(zip("wasdijkl", "sdwaklij", strict=True))
_STILL = (0.0, 0.0)


class KeyState:
    """Held and tapped keys. A tap between two chunks counts for the next one, however short it was.

    Opposite keys that are both held cancel, as everywhere; but where one of the two was only tapped, the newer press
    wins, so that "tap left, then hold right" turns right. Not locked: the pipeline calls it under its own lock.
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
        """From now on exactly these keys are held.

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
        self._mouse = (self._mouse[0] + yaw, self._mouse[1] + pitch)
        self._stick = turn or _STILL
        self.seq = max(self.seq, seq)

    def sample(self, frames: int, speed: Speed) -> tuple[str, tuple[float, float] | None]:
        """The keys for the chunk of so many frames that begins now, and how many degrees it turns besides. Forgets the taps."""
        keys = set(self._held) | self._tapped
        for key in tuple(keys):
            other = _OPPOSITE[key]
            both_held = key in self._held and other in self._held
            if other in keys and not both_held and self._pressed[key] < self._pressed[other]:
                keys.discard(key)
        self._tapped.clear()
        reach = frames * speed.degrees_per_second / speed.fps
        yaw, pitch = (mouse + stick * reach for mouse, stick in zip(self._mouse, self._stick, strict=True))
        self._mouse = _STILL
        return "".join(k for k in KEYS if k in keys), (yaw, pitch) if yaw or pitch else None
