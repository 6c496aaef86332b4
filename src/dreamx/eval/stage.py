"""The true video of a trial, rendered once for each size of picture and kept in a folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from dreamx.clip import Clip
from dreamx.data import walker
from dreamx.data.render import render_path
from dreamx.data.scene import scene, stand
from dreamx.eval.suite import Trial
from dreamx.eval.truth import View, sources
from dreamx.geometry.camera import Camera
from dreamx.geometry.controls import Speed


def start_of(trial: Trial, view: View) -> Camera:
    """The camera of the start picture, in the world of the scene."""
    return Camera(stand(*trial.start).pose, torch.tensor(view.lens))


def render(trial: Trial, view: View) -> Clip:
    """The trial as it truly looks, with depth. ValueError when the simulator cannot draw here or the path runs into something."""
    place = scene(trial.seed, trial.style, trial.kind)
    cameras, actions = walker.path(start_of(trial, view), trial.held, Speed(fps=view.fps))
    if not walker.clear(place, cameras):
        raise ValueError(f"trial {trial.id}: the path runs into something; the scene is not the one it was drawn for")
    video, depth = render_path(place, cameras, view.width, view.height)
    about = (trial.prompt, trial.style, trial.kind, trial.seed, "dreamx simulator")
    return Clip(video, cameras, actions, depth.half(), view.fps, *about)


def true_clip(trial: Trial, view: View, folder: Path) -> Clip:
    """The same, from ``folder`` or made and kept there. A change of the simulator's code makes it anew."""
    what = hashlib.sha256(f"{trial.seed} {trial.kind} {trial.style} {trial.start} {trial.keys} {trial.prompt} {view}".encode())
    file = folder / f"{trial.id}-{what.hexdigest()[:12]}-{sources()}.safetensors"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        render(trial, view).save(file)
    return Clip.load(file)
