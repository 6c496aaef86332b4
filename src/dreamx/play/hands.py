"""What the player's hands do: keys held now, and keys tapped since the last chunk began."""

from __future__ import annotations

from dreamx.geometry.controls import KEYS, check_keys

_OPPOSITE = dict(zip("wasdijkl", "sdwaklij", strict=True))


class Hands:
    """Held and tapped keys. A tap between two chunks counts for the next one, however short it was.

    Opposite keys that are both held cancel, as everywhere; but where one of the two was only tapped, the newer press
    wins, so that "tap left, then hold right" turns right. Not locked: the pipeline calls it under its own lock.
    """

    def __init__(self) -> None:
        self._held = ""
        self._pressed: dict[str, int] = {}  # key -> when it was last pressed, in messages
        self._tapped: set[str] = set()
        self._count = 0
        self.seq = 0

    def hold(self, held: str, seq: int) -> None:
        """From now on exactly these keys are held."""
        held = check_keys(held)
        self._count += 1
        for key in set(held) - set(self._held):
            self._pressed[key] = self._count
            self._tapped.add(key)
        self._held = held
        self.seq = max(self.seq, seq)

    def sample(self) -> str:
        """The keys for the chunk that begins now. Forgets the taps."""
        keys = set(self._held) | self._tapped
        for key in tuple(keys):
            other = _OPPOSITE[key]
            both_held = key in self._held and other in self._held
            if other in keys and not both_held and self._pressed[key] < self._pressed[other]:
                keys.discard(key)
        self._tapped.clear()
        return "".join(k for k in KEYS if k in keys)
