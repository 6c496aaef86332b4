"""Models to measure, behind one small protocol: a name, an exact identity, and the video made of a trial.

Ours; a folder of videos that somebody else made; and what a model must beat or cannot beat: the first picture for ever, the first
picture moved by its true depth, the truth.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from dreamx.clip import Clip
from dreamx.eval import baselines, video_files
from dreamx.eval.hint_copy import hint_copy
from dreamx.eval.metrics.camera_error import angle_between
from dreamx.eval.suites.drive import drive
from dreamx.eval.suites.suite import Trial
from dreamx.eval.suites.true_clips import warp_of
from dreamx.geometry.camera import Camera, relative_to
from dreamx.geometry.formats import read
from dreamx.plaintext import named
from dreamx.released import is_released
from dreamx.released import weights_of as released_files
from dreamx.session import Switches
from dreamx.source_hash import source_hash
from dreamx.video_reader import VIDEO_ENDINGS
from dreamx.world import World, find

_SAME_PATH = (2.0, 0.05)  # degrees, metres: cameras that differ by more are of another path


class VideoModel(Protocol):
    """A model, as the runner needs it. A frozen dataclass, so that it travels to other processes."""

    @property
    def name(self) -> str:
        """Name of the row in the table, and of a folder."""
        ...

    @property
    def identity(self) -> str:
        """Exact identity: another identity is another model."""
        ...

    def film(self, trial: Trial, truth: Clip) -> Tensor:
        """Its video of the trial, uint8 ``[F, 3, H, W]``, as long and as large as the truth. ValueError: why there is none."""
        ...


@dataclass(frozen=True)
class Ours:
    """A world, walked as a player walks. ``steps`` of denoising a chunk; None: as the world says. ``code``: a hash of what walks
    it, as it was when the run began. Switched off may be its memory, its camera lane, the words that it is told, the places
    that it knows by heart, and its transformer (``network``: ``hint_copy``)."""

    world: str
    memory: bool = True
    camera: bool = True
    steps: int | None = None
    name: str = "ours"
    code: str = field(default_factory=lambda: rollout_hash())
    words: bool = True
    network: bool = True
    places: bool = True

    @property
    def identity(self) -> str:
        """Hash of the weights, the code that walks them, and what is switched on."""
        switched = f"memory={self.memory} camera={self.camera} steps={self.steps or 'own'}"
        for name in ("words", "network", "places"):
            switched += "" if getattr(self, name) else f" {name}=False"
        return f"{weights_hash(find(self.world))} {switched} code={self.code}"

    def open(self) -> World:
        """The world, with its steps and switches."""
        return self.switched(World.open(self.world))

    def switched(self, world: World) -> World:
        """A fork of an open world with these steps and switches."""
        world = world.fork()
        if self.steps is not None:
            world.config = replace(world.config, sampler=replace(world.config.sampler, steps=self.steps))
        world.switches = Switches(self.memory, self.camera)
        world.places = world.places if self.places else None
        return world if self.network else hint_copy(world)

    def film(self, trial: Trial, truth: Clip) -> Tensor:
        world = self.switched(_opened(self.world))
        return drive(world, truth, trial.said) if self.words else drive(world, replace(truth, caption=""))


def rows_of_world(world: str, memory: bool = True, camera: bool = True, steps: int | None = None) -> dict[str, Ours]:
    """The rows of a table that are of one world, by name: itself, and with one thing switched off each."""
    ours = Ours(world, memory, camera, steps)
    return {
        "ours": ours,
        "hint-copy": replace(ours, name="hint-copy", network=False, places=False),
        "no-lane": replace(ours, name="no-lane", camera=False),
        "no-memory": replace(ours, name="no-memory", memory=False),
        "no-words": replace(ours, name="no-words", words=False),
        "no-places": replace(ours, name="no-places", places=False),
        "no-transformer": replace(ours, name="no-transformer", network=False),
    }


#: Names of these rows.
OF_WORLD = ("ours", "hint-copy", "no-lane", "no-memory", "no-words", "no-places", "no-transformer")


@dataclass(frozen=True)
class Truth:
    """The true render: the upper bound, and the check of every score that knows the truth."""

    name: str = "truth"
    identity: str = "truth"

    def film(self, trial: Trial, truth: Clip) -> Tensor:
        return truth.video


@dataclass(frozen=True)
class CopyFirst:
    """The first picture for ever."""

    name: str = "copy-first"
    identity: str = "copy-first"

    def film(self, trial: Trial, truth: Clip) -> Tensor:
        return baselines.copy_first(truth.video[0], len(truth.video)).contiguous()


@dataclass(frozen=True)
class Warp:
    """The first picture moved by its true depth: the strongest thing that knows no world."""

    name: str = "warp"
    identity: str = "warp"

    def film(self, trial: Trial, truth: Clip) -> Tensor:
        """Frame 0 is the true one."""
        return torch.cat([truth.video[:1], warp_of(truth)[1:]])


@dataclass(frozen=True)
class Videos:
    """A folder that somebody else filled: for each trial ``ID.mp4`` (or .mkv, .webm) and ``ID.cameras.json``, our own format.

    The cameras are those that the model was driven with; they must be those of the trial, seen from the first of them.
    """

    name: str
    folder: Path

    @property
    def identity(self) -> str:
        """Hash of all files: a changed file is another model."""
        digest = hashlib.sha256()
        for file in sorted(f for f in self.folder.iterdir() if f.is_file()):
            digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
        return f"videos {digest.hexdigest()[:16]}"

    def file(self, trial: Trial) -> Path | None:
        """The video of a trial; None where there is none."""
        paths = (self.folder / f"{trial.id}{kind}" for kind in (".mp4", ".mkv", ".webm"))
        return next((p for p in paths if p.is_file()), None)

    def film(self, trial: Trial, truth: Clip) -> Tensor:
        """Read, and refuse what is not this trial."""
        self._check_cameras(trial, truth)
        paths = [p for kind in VIDEO_ENDINGS if (p := self.folder / f"{trial.id}{kind}").is_file()]
        film = video_files.load_video(paths[0] if paths else self.folder / f"{trial.id}.mp4", truth.fps)
        want = tuple(truth.video.shape[2:])
        if abs(film.fps - truth.fps) > 0.01:
            raise ValueError(f"fps: the video has {film.fps:g} where the trial has {truth.fps:g}; write it with that rate")
        if tuple(film.video.shape[2:]) != want:
            got = film.video.shape
            raise ValueError(f"size: the video is {got[3]} x {got[2]} where the trial is {want[1]} x {want[0]}; resize it")
        if len(film.video) < len(truth.video):
            raise ValueError(f"length: the video has {len(film.video)} frames where the trial has {len(truth.video)}")
        return film.video[: len(truth.video)]

    def _check_cameras(self, trial: Trial, truth: Clip) -> None:
        file = self.folder / f"{trial.id}.cameras.json"
        if not file.is_file():
            raise ValueError(f"cameras: {file.name} is missing; write the cameras that the video was made with")
        with named(f"cameras: {file.name}"):
            theirs = read("dreamx", {"": file.read_bytes()}).camera
        if len(theirs) < len(truth.camera):
            raise ValueError(f"cameras: {file.name} has {len(theirs)} where the trial has {len(truth.camera)} frames")
        a, b = (_from_first(c[: len(truth.camera)]) for c in (theirs, truth.camera))
        degrees = float(angle_between(a.pose[:, :3, :3], b.pose[:, :3, :3]).max())
        metres = float((a.pose[:, :3, 3] - b.pose[:, :3, 3]).norm(dim=-1).max())
        if degrees > _SAME_PATH[0] or metres > _SAME_PATH[1]:
            raise ValueError(f"cameras: another path than the trial's: up to {degrees:.1f} degrees and {metres:.2f} m away")


def _from_first(path: Camera) -> Camera:
    path = path.to(dtype=torch.float64)
    return relative_to(path, path[0])


@lru_cache(maxsize=1)
def _opened(world: str) -> World:
    """One world a process, open as long as it is walked."""
    return World.open(world)


def rollout_hash() -> str:
    """A hash of all code below the data engine, and of ``drive``: a film that other code walked is filmed anew."""
    return source_hash("dreamx.eval.suites.drive", "dreamx.eval.hint_copy")


def weights_hash(folder: Path) -> str:
    """Hash the files of a world, so that a report says what exactly it is of."""
    digest = hashlib.sha256()
    theirs = is_released(folder)
    ours = () if theirs else (f for f in folder.iterdir() if f.suffix in (".json", ".safetensors"))
    for file in released_files(folder) if theirs else sorted(ours):
        with file.open("rb") as opened:  # piece by piece: released ones have 20 GB
            while piece := opened.read(2**24):
                digest.update(piece)
    return digest.hexdigest()[:16]
