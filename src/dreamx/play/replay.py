"""A walk as data: every step that was taken."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from dreamx.geometry.controls import Controls, Speed, from_keys
from dreamx.session import Switches

STEEPEST = 12.0  # degrees a frame


@dataclass(frozen=True)
class Step:
    """One chunk: the keys held for its ``frames``; ``look``: degrees of yaw and pitch that it turns besides, over all of them."""

    keys: str
    frames: int
    look: tuple[float, float] | None = None
    event: str | None = None
    switches: Switches = Switches()

    def controls(self, speed: Speed) -> Controls:
        """The same in calibrated units; no frame turns faster than ``STEEPEST``."""
        held = from_keys([self.keys] * self.frames, speed)
        if self.look is None:
            return held
        turn = held.turn + torch.tensor(self.look) / self.frames
        return Controls(held.move, turn.clamp(-STEEPEST, STEEPEST))


@dataclass(frozen=True)
class Replay:
    """A session to be walked again. It begins from ``start`` (an id), from ``image`` (a PNG in base64), or from words alone."""

    format: int
    dreamx: str
    world: str
    weights: str
    seed: int
    prompt: str
    start: str | None
    image: str | None
    steps: tuple[Step, ...]
