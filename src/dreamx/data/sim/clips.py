"""From takes to clips: attempts until one is accepted, its pictures, and what was seen in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from dreamx.clip import Clip
from dreamx.data.scene.scene import Scene
from dreamx.data.sim.narration import caption_of
from dreamx.data.sim.navigation import Rejected
from dreamx.data.sim.painter import Painter
from dreamx.data.sim.take import SUBSETS, SimulatedShot, Take
from dreamx.events import STYLE_WORDS, Story

ATTEMPTS = 40
#: Subsets that are others filmed once more: ``still`` is ``events`` of the same scene and number, in which nothing happens.
TWINS = {"still": "events"}
_SEEN = 0.0015  # share of the picture that a lead must fill, on the frames where it is seen
_OFTEN = 0.25  # share of the frames on which each lead must be seen


def attempt(scene: Scene, subset: str, index: int, number: int, shot: SimulatedShot) -> Take:
    """One attempt at a clip: a pure function of its arguments. Rejected: with the reason."""
    subset = TWINS.get(subset, subset)
    rng = np.random.default_rng([scene.seed, index, number, *subset.encode()])
    try:
        return SUBSETS[subset](scene, index, shot, rng)
    except ArithmeticError as e:
        raise Rejected(str(e)) from e


def accepted(scene: Scene, subset: str, index: int, shot: SimulatedShot, first: int = 0) -> Iterator[tuple[int, Take | str]]:
    """Attempts from ``first`` on with their takes, or with the reasons why there is none."""
    for number in range(first, ATTEMPTS):
        try:
            yield number, attempt(scene, subset, index, number, shot)
        except Rejected as e:
            yield number, str(e)


def still(take: Take) -> Take:
    """The same take, in which nothing happens: all stays as it is in the first frame, and nobody says otherwise."""
    count = len(take.poses)
    return replace(
        take,
        poses=np.repeat(take.poses[:1], count, 0),
        tints=np.repeat(take.tints[:1], count, 0),
        weather=take.weather[:1] * count,
        contacts=(),
        story=Story(take.story.scene),
        leads=(),
    )


def film(take: Take, subset: str, shot: SimulatedShot) -> Clip:
    """The clip of a take. Rejected: what must be seen is hidden, or the pictures are dark or empty.

    Of a subset of ``TWINS``: its twin is filmed first, and turned down for the same reasons, so that both are of one take.
    """
    if subset in TWINS:
        film(take, TWINS[subset], shot)
        take = still(take)
    pictures: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
    with Painter(take.scene, take.bodies, shot.width, shot.height) as painter:
        for frame in range(shot.frames):
            pictures.append(
                painter.render(take.camera[frame], take.poses[frame], take.tints[frame], take.weather[frame], frame / shot.fps)
            )
    video, depth, ids = (torch.stack([p[k] for p in pictures]) for k in range(3))
    for lead in take.leads:
        share = (ids == lead).float().mean((1, 2))
        often = 0.9 if subset == "third_person" else _OFTEN
        if float((share > _SEEN).float().mean()) < often:
            raise Rejected("hidden behind something")
    if float((depth < 0.15).float().mean((1, 2)).max()) > 0.3:
        raise Rejected("the camera is inside something")
    if float(video.float().mean((1, 2, 3)).min()) < 4:
        raise Rejected("too dark")
    return Clip(
        video,
        take.camera,
        take.actions,
        depth.half(),
        shot.fps,
        caption_of(take.scene, take.story),
        take.scene.style,
        take.scene.kind,
        take.scene.seed,
        source="dreamx simulator",
        licence="Apache-2.0",
        extra={"subset": subset, "kind": take.kind, "look": STYLE_WORDS[take.scene.style]},
        story=take.story,
        segments=ids,
        entities=take.entities,
        contacts=take.contacts,
        subject=take.subject,
    )


def drawn(scene: Scene, subset: str, index: int, shot: SimulatedShot, first: int = 0) -> tuple[Clip | None, list[str]]:
    """The first attempt from number ``first`` on that is accepted and, drawn, shows what it should; or None. And why the others
    were not."""
    tried: list[str] = []
    for _, take in accepted(scene, subset, index, shot, first):
        try:
            if isinstance(take, Take):
                return film(take, subset, shot), tried
            tried.append(take)
        except Rejected as e:
            tried.append(str(e))
    return None, tried
