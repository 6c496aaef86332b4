"""A world without a network: a coloured pattern that follows the controls, so that play can be tested by itself.

Same words as ``dreamx.world.World``, as far as play uses them; deterministic in (seed, image, controls).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from dreamx import session
from dreamx.config import from_json, to_json
from dreamx.event_phases import EventState, OngoingEvent, next_events
from dreamx.geometry import Camera, Controls, Speed
from dreamx.geometry.camera import level
from dreamx.geometry.controls import walk
from dreamx.memory import MemoryConfig
from dreamx.model.prompt import Taught
from dreamx.model.taught_event import TaughtEvent
from dreamx.session import Dream, Switches, WorldConfig


class FakeDream(Dream):
    """Places instead of latents."""

    def __init__(self, places: list[Tensor], path: Camera, recalled: Camera) -> None:
        for name, value in (("places", places), ("path", path), ("recalled", recalled)):
            object.__setattr__(self, name, value)

    places: list[Tensor]


class FakeWorld:
    """``dream_seconds`` and ``show_seconds`` are slept; the step number ``fail_at`` raises; ``forks`` lists the copies.

    Not ``can_pipeline``, it recalls the cameras of the chunk before, and complains when that was not shown.
    """

    identity = "fake"
    taught: Taught | None = None
    places: None = None
    place: str | None = None

    def __init__(
        self,
        size: tuple[int, int] = (64, 64),
        due: int = 12,
        dream_seconds: float = 0.0,
        show_seconds: float = 0.0,
        fail_at: int | None = None,
        fps: float = 16.0,
        ahead: bool = True,
    ) -> None:
        self.config = WorldConfig(size[0], size[1], (0.5, 0.5, 0.5, 0.5), Speed(fps=16), memory=MemoryConfig())
        self.size, self.frames_per_step, self.fps, self.can_pipeline = size, due, fps, ahead
        self.dream_seconds, self.show_seconds, self.fail_at = dream_seconds, show_seconds, fail_at
        self.write_seconds, self.unwritten = 0.0, False
        self.base: Tensor | None = None
        self.at = torch.zeros(5)  # right, down, forward, yaw, pitch
        self.actions: list[Controls] = []
        self.events: list[str] = []
        self.switched: list[Switches] = []
        self.switches = Switches()
        self.camera = level(self.config.lens)
        self.before: Camera | None = None  # cameras of the last chunk that was shown
        self.unshown = 0
        self.forks: list[FakeWorld] = []
        self.note = ""
        self.told, self.made = EventState(), 1  # what goes on; number of the next chunk

    @property
    def happenings(self) -> tuple[TaughtEvent, ...]:
        return () if self.taught is None else self.taught.happenings

    @property
    def ongoing(self) -> tuple[OngoingEvent, ...]:
        return self.told.ongoing

    def seconds_before(self, chunk: int) -> float:
        return (1 + self.frames_per_step * (chunk - 1)) / self.fps

    def fork(self) -> FakeWorld:
        assert self.unshown == 0, "a world is whole only when all that was dreamt is shown"
        other = FakeWorld(
            self.size, self.frames_per_step, self.dream_seconds, self.show_seconds, self.fail_at, self.fps, self.can_pipeline
        )
        other.base, other.at, other.camera, other.before = self.base, self.at, self.camera, self.before
        other.actions, other.events, other.switched = self.actions[:], self.events[:], self.switched[:]
        other.switches, other.taught, other.place = self.switches, self.taught, self.place
        other.told, other.made = self.told, self.made
        self.forks.append(other)
        return other

    def reset(self, image: Tensor | None, prompt: str = "", seed: int = 0) -> Tensor:
        if len(prompt) > 100:
            raise ValueError(f"prompt has {len(prompt)} characters; this world reads 100, so shorten it")
        self.note = 'This world was not taught this word: "zzzz".' if "zzzz" in prompt else ""
        rows, cols = self.size
        noise = torch.Generator().manual_seed(seed)
        self.base = torch.randint(0, 80, (3, rows, cols), generator=noise) if image is None else image.long() // 3
        self.at, self.actions, self.told, self.made = torch.zeros(5), [], EventState(), 1
        self.camera, self.before = level(self.config.lens), None
        return self._draw(self.at)[None]

    def denoise(
        self, controls: Controls, event: str | None = None, early: Callable[[FakeDream], None] = lambda _: None
    ) -> FakeDream:
        if event == "refuse":
            raise ValueError("event: this world does not know that word; use another")
        if self.fail_at == len(self.actions):
            raise RuntimeError("the dream broke")
        time.sleep(self.dream_seconds)
        assert self.can_pipeline or self.unshown == 0, "dreamt before the chunk before was shown"
        self.unshown += 1
        self.actions.append(controls)
        self.switched.append(self.switches)
        self.told = next_events(self.told, event, self.happenings, self.made, self.frames_per_step / self.fps)
        self.made += 1
        if event is not None:
            self.events.append(event)
            self.note = 'This world was not taught this word: "zzzz".' if "zzzz" in event else ""
        places: list[Tensor] = []
        for move in torch.cat([controls.move, controls.turn / 20], 1):
            self.at = self.at + move
            places.append(self.at)
        path = walk(self.camera, controls)
        self.camera = path[-1]
        before = path[:0] if self.before is None or self.can_pipeline or not self.switches.memory else self.before
        dream = FakeDream(places, path, before)
        self.unwritten = True
        early(dream)
        time.sleep(self.write_seconds)
        self.unwritten = False
        return dream

    def decode(self, dream: FakeDream) -> Tensor:
        time.sleep(self.show_seconds)
        self.unshown -= 1
        self.before = dream.path
        return torch.stack([self._draw(x) for x in dream.places])

    def look_ahead(self) -> None:
        assert self.can_pipeline or self.unshown == 0, "looked ahead before all was shown"
        assert self.can_pipeline or not self.unwritten, "looked ahead before the past was written"

    def step(self, controls: Controls, event: str | None = None) -> Tensor:
        return self.decode(self.denoise(controls, event))

    def save(self, path: Path) -> None:
        assert self.base is not None
        words = {"switches": to_json(self.switches), "events": self.events, "told": to_json(self.told), "made": self.made}
        session.write(path, words, {"base": self.base, "place": self.at, "pose": self.camera.pose})

    def load(self, path: Path) -> None:
        words, state = session.read(path)
        self.base, self.at, self.camera = state["base"], state["place"], Camera(state["pose"], self.camera.lens)
        self.switches, self.events = from_json(Switches, words["switches"]), words["events"]
        self.told, self.made = from_json(EventState, words["told"]), words["made"]

    def _draw(self, place: Tensor) -> Tensor:
        assert self.base is not None, "reset the world first"
        rows, cols = self.size
        y, x = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, cols), indexing="ij")
        right, _, forward, yaw, pitch = place.tolist()
        zoom = 2.0 ** (-forward / 2)
        u, v = x * zoom + yaw + right, y * zoom - pitch
        waves = torch.stack([torch.sin(6 * u), torch.sin(6 * v), torch.sin(4 * (u + v))])
        return (self.base + 85 + 80 * waves).clamp(0, 255).to(torch.uint8)
