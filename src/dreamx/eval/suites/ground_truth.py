"""The true video of a trial, rendered once for each size of picture and kept in a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch

from dreamx.clip import Clip
from dreamx.data.scene.places import place
from dreamx.data.scene.render import render_path
from dreamx.data.scene.scene import stand
from dreamx.data.sim import walker
from dreamx.eval.suites import event_trials
from dreamx.eval.suites.suite import Suite, Trial
from dreamx.eval.suites.true_clips import VideoFormat
from dreamx.geometry.camera import Camera
from dreamx.geometry.controls import Speed
from dreamx.source_hash import source_hash


def start_of(trial: Trial, view: VideoFormat) -> Camera:
    """The camera of the start picture, in the world of the scene."""
    return Camera(stand(*trial.start).pose, torch.tensor(view.lens))


def render_trial(trial: Trial, view: VideoFormat) -> Clip:
    """The trial as it truly looks, with depth. ValueError when the simulator cannot draw here or the path runs into something."""
    here = place(trial.seed, trial.style, trial.kind)
    cameras, actions = walker.path(start_of(trial, view), trial.held, Speed(fps=view.fps))
    if not walker.clear(here, cameras):
        raise ValueError(f"trial {trial.id}: the path runs into something; the scene is not the one it was drawn for")
    video, depth = render_path(here, cameras, view.width, view.height)
    about = (trial.prompt, trial.style, trial.kind, trial.seed, "dreamx simulator")
    return Clip(video, cameras, actions, depth.half(), view.fps, *about)


def no_event_truth(trial: Trial, view: VideoFormat, folder: Path) -> Clip:
    """The truth of an event's trial in which it does not happen; kept beside the other."""
    return _kept(trial, view, folder, "plain", event_trials.without_event)


def true_clip(trial: Trial, view: VideoFormat, folder: Path) -> Clip:
    """The same, from ``folder`` or made and kept there. A change of the simulator's code makes it anew."""
    return _kept(trial, view, folder, "true", event_trials.with_event if trial.happens else render_trial)


def truths_are_cached(suite: Suite, view: VideoFormat, folder: Path) -> bool:
    """Whether every true render of a suite is in ``folder``, so that nothing has to be drawn."""
    code = source_hash(__name__)
    return all(
        _file(trial, view, folder, which, code).exists()
        for trial in suite.trials
        for which in (("true", "plain") if trial.happens else ("true",))
    )


def _file(trial: Trial, view: VideoFormat, folder: Path, which: str, code: str) -> Path:
    what = (trial.seed, trial.kind, trial.style, trial.start, trial.keys, trial.prompt, trial.happens, trial.attempt, view)
    name = hashlib.sha256(repr(what).encode()).hexdigest()[:12]
    return folder / f"{trial.id}-{which}-{name}-{code}.safetensors"


def _kept(trial: Trial, view: VideoFormat, folder: Path, which: str, make: Callable[[Trial, VideoFormat], Clip]) -> Clip:
    file = _file(trial, view, folder, which, source_hash(__name__))
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        make(trial, view).save(file)
    return Clip.load(file)
