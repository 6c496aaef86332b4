"""A world as what a list of actions is walked in: along somebody's cameras, with its own legs. ``bidirectional`` is no world."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dreamx.config import to_json
from dreamx.geometry.camera import Camera, cat, relative_to
from dreamx.geometry.controls import Controls, walk
from dreamx.geometry.formats.keys import Rule, motion_of
from dreamx.geometry.formats.path_check import angle
from dreamx.world import World


@dataclass(frozen=True)
class WalkedChunk:
    """New frames of a video: uint8 ``[n, 3, H, W]``, the ``[n]`` cameras that they were seen from, the latents they come from."""

    frames: Tensor
    camera: Camera
    latents: Tensor


class Walker:
    """A session in a world. A released checkpoint goes where it is led; the legs of ours may not reach the cameras that a list
    asks for: ``legs`` says why."""

    def __init__(self, world: World) -> None:
        self.world, config = world, world.config
        self.size, self.fps, self.identity = world.size, world.fps, world.identity
        self.lens = torch.tensor(config.lens, dtype=torch.float64)
        self.sampler: dict[str, Any] = to_json(config.sampler)
        self._led = config.past is not None
        walks = "walks on level ground and never rolls" if config.upright else "turns about two axes at a time"
        self.legs = "goes where it was led" if self._led else walks
        self._path = world.camera.map(lambda x: x[None])

    @property
    def note(self) -> str:
        """Sentences about words of the caption that are not read, or not known; or ``""``."""
        return self.world.note

    def begin(self, image: Tensor | None, caption: str, seed: int, path: Camera) -> WalkedChunk:
        """The opening picture, of ``image`` (uint8 ``[3, H, W]``) or of words alone; a released checkpoint makes of these a
        whole chunk."""
        self._path = path
        chunk = self._along(0, 1 + self.world.vae.config.group * (self.world.config.sampler.chunk - 1))
        frames = self.world.reset(image, caption, seed, path=chunk if self._led else None)
        here = chunk[: len(frames)] if self._led else self.world.camera.map(lambda x: x[None])
        return WalkedChunk(frames, here, frames)

    def more(self, start: int) -> WalkedChunk:
        """The next frames, of which the first is number ``start`` of the video. Beyond the path it stands still."""
        world, wanted = self.world, self._along(start, self.world.frames_per_step)
        dream = world.follow(wanted) if self._led else world.denoise(controls_to(world.camera, wanted, world.config.upright))
        frames = world.decode(dream)
        world.actions.clear()  # the list of actions says it all; kept for each chunk, they would grow without end
        return WalkedChunk(frames, dream.path, dream.frames.z)

    def save(self, file: Path) -> None:
        """All that the next frames depend on."""
        self.world.save(file)

    def load(self, file: Path, path: Camera) -> None:
        """Go on from there along the same path."""
        self.world.load(file)
        self._path = path

    def _along(self, start: int, frames: int) -> Camera:
        return self._path[[min(i, len(self._path) - 1) for i in range(start, start + frames)]]


def controls_to(here: Camera, wanted: Camera, upright: bool) -> Controls:
    """Motion ``[n]`` from the camera ``here`` through the cameras ``wanted [n]``, each step from where the last one really led.

    A walker (``upright``) stays on its level and never rolls; one that flies turns about two axes in a step, so that a roll is
    left out. What is left out of one step is not added to the next.
    """
    rule, up = Rule(1.0, 1.0, ground=upright), torch.tensor((0.0, -1.0, 0.0), dtype=torch.float64) if upright else None
    camera, steps = here.to(dtype=torch.float64), list[Controls]()
    for pose in wanted.pose.to(camera.pose):
        steps.append(motion_of(cat([x.map(lambda t: t[None]) for x in (camera, Camera(pose, camera.lens))]), rule))
        camera = walk(camera, steps[-1], up)[0]
    return Controls(torch.cat([s.move for s in steps]).float(), torch.cat([s.turn for s in steps]).float())


def missed(wanted: Camera, used: Camera) -> tuple[float, float]:
    """Return the largest distance of the used cameras from the wanted ones: metres and degrees."""
    step = relative_to(used.to(dtype=torch.float64), wanted.to(dtype=torch.float64)).pose
    return float(step[:, :3, 3].norm(dim=-1).max()), float(angle(step[:, :3, :3]).max())
