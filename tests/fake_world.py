"""A world without a network: a coloured pattern that follows the controls, so that play can be tested by itself.

Same words as ``dreamx.world.World``, as far as play uses them; deterministic in (seed, image, controls).
"""

from __future__ import annotations

import time

import torch
from torch import Tensor

from dreamx.geometry import Controls, Speed
from dreamx.world import Dream, WorldConfig


class FakeDream(Dream):
    """Places instead of latents."""

    def __init__(self, places: list[Tensor]) -> None:
        object.__setattr__(self, "places", places)

    places: list[Tensor]


class FakeWorld:
    """``dream_seconds`` and ``show_seconds`` are slept; the step number ``fail_at`` raises; ``forks`` lists the copies."""

    def __init__(
        self,
        size: tuple[int, int] = (64, 64),
        due: int = 12,
        dream_seconds: float = 0.0,
        show_seconds: float = 0.0,
        fail_at: int | None = None,
        fps: float = 16.0,
    ) -> None:
        self.config = WorldConfig(size[0], size[1], (0.5, 0.5, 0.5, 0.5), Speed(fps=16))
        self.size, self.due, self.fps = size, due, fps
        self.dream_seconds, self.show_seconds, self.fail_at = dream_seconds, show_seconds, fail_at
        self.base: Tensor | None = None
        self.place = torch.zeros(5)  # right, down, forward, yaw, pitch
        self.actions: list[Controls] = []
        self.events: list[str] = []
        self.forks: list[FakeWorld] = []

    def fork(self) -> FakeWorld:
        other = FakeWorld(self.size, self.due, self.dream_seconds, self.show_seconds, self.fail_at, self.fps)
        other.base, other.place, other.actions, other.events = self.base, self.place, self.actions[:], self.events[:]
        self.forks.append(other)
        return other

    def reset(self, image: Tensor | None, prompt: str = "", seed: int = 0) -> Tensor:
        if len(prompt) > 100:
            raise ValueError(f"prompt has {len(prompt)} characters; this world reads 100, so shorten it")
        rows, cols = self.size
        noise = torch.Generator().manual_seed(seed)
        self.base = torch.randint(0, 80, (3, rows, cols), generator=noise) if image is None else image.long() // 3
        self.place, self.actions = torch.zeros(5), []
        return self._draw(self.place)[None]

    def dream(self, controls: Controls, event: str | None = None) -> FakeDream:
        if event == "refuse":
            raise ValueError("event: this world does not know that word; use another")
        if self.fail_at == len(self.actions):
            raise RuntimeError("the dream broke")
        time.sleep(self.dream_seconds)
        self.actions.append(controls)
        if event is not None:
            self.events.append(event)
        places: list[Tensor] = []
        for move in torch.cat([controls.move, controls.turn / 20], 1):
            self.place = self.place + move
            places.append(self.place)
        return FakeDream(places)

    def show(self, dream: FakeDream) -> Tensor:
        time.sleep(self.show_seconds)
        return torch.stack([self._draw(x) for x in dream.places])

    def step(self, controls: Controls, event: str | None = None) -> Tensor:
        return self.show(self.dream(controls, event))

    def _draw(self, place: Tensor) -> Tensor:
        assert self.base is not None, "reset the world first"
        rows, cols = self.size
        y, x = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, cols), indexing="ij")
        right, _, forward, yaw, pitch = place.tolist()
        zoom = 2.0 ** (-forward / 2)
        u, v = x * zoom + yaw + right, y * zoom - pitch
        waves = torch.stack([torch.sin(6 * u), torch.sin(6 * v), torch.sin(4 * (u + v))])
        return (self.base + 85 + 80 * waves).clamp(0, 255).to(torch.uint8)
