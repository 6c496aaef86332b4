"""First-person paths, found without drawing anything: goals on free ground, ways to them, and legs that come back.

A path is held keys, one string a frame; where they lead is ``geometry.controls.walk`` and nothing else, so that the actions of
a clip are exact. What is not taken has one of a few reasons (``Rejected``).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dreamx.data.scene.scene import EYE, Scene
from dreamx.data.sim.navigation import Rejected, StandingPlace, find_way, open_way, some_free
from dreamx.data.sim.walker import OPPOSITE, PITCH, clear, path
from dreamx.geometry.camera import Camera, lens_from_fov, rigid
from dreamx.geometry.controls import Speed, from_keys

SHORTEST, TURNED = 1.5, 60.0  # a path must be so many metres long, or have turned by so many degrees in all
STUCK = 32  # frames: within so many something must change


def camera_at(place: StandingPlace, width: int, height: int, fov: float) -> Camera:
    """The camera of a walker who stands there."""
    h, p = np.radians(place.heading), np.radians(place.pitch)
    f = np.array((np.cos(h) * np.cos(p), -np.sin(p), np.sin(h) * np.cos(p)))
    right = np.array((np.sin(h), 0.0, -np.cos(h)))
    r = torch.from_numpy(np.stack([right, np.cross(f, right), f], -1)).float()
    return Camera(rigid(r, torch.tensor([place.x, -EYE, place.y])), torch.tensor(lens_from_fov(fov, width, height)))


def follow_keys(place: StandingPlace, held: str, speed: Speed) -> StandingPlace:
    """Return the place after one frame of held keys: turn first, then move (the rule of ``walk``)."""
    controls = from_keys([held], speed)
    right, _, forward = controls.move[0].tolist()
    yaw, pitch = controls.turn[0].tolist()
    h = place.heading - yaw
    f = np.radians(h)
    return StandingPlace(place.x + forward * float(np.cos(f)) + right * float(np.sin(f)),
                 place.y + forward * float(np.sin(f)) - right * float(np.cos(f)), h, place.pitch + pitch)  # fmt: skip


def to_goals(scene: Scene, start: StandingPlace, frames: int, rng: np.random.Generator, speed: Speed) -> list[str]:
    """Keys of a walk from goal to goal, with a look aside or up or down now and then."""
    step = speed.degrees_per_second / speed.fps
    keys: list[str] = []
    at, way = start, []
    look, looking = "", 0
    pitched = 0
    while len(keys) < frames:
        if not way:
            way = find_way(scene, (at.x, at.y), some_free(scene, rng))
        dx, dy = way[0][0] - at.x, way[0][1] - at.y
        if np.hypot(dx, dy) < 0.25:
            way.pop(0)
            continue
        off = (np.degrees(np.arctan2(dy, dx)) - at.heading + 180) % 360 - 180
        if looking == 0 and rng.random() < 0.02:
            look, looking = str(rng.choice(("j", "l"))), int(rng.integers(8, 24))
        if looking > 0:  # a glance: stand and turn; the way back is that of the goal
            held, looking = look, looking - 1
        else:
            held = "" if abs(off) < step else "j" if off > 0 else "l"
            held = "w" + held if abs(off) < 35 else held
        if pitched == 0 and rng.random() < 0.015:
            pitched = int(rng.integers(4, 11)) * (1 if at.pitch < 4 else -1)
        if pitched:
            key = "i" if pitched > 0 else "k"
            pitched -= int(np.sign(pitched))
            if abs(at.pitch + (step if key == "i" else -step)) < PITCH:
                held += key
        after = follow_keys(at, held, speed)
        if not scene.free(after.x, after.y):
            held = held.replace("w", "") or ("j" if off > 0 else "l")
            after = follow_keys(at, held, speed)
        keys.append(held)
        at = after
    return keys


def out_and_back(scene: Scene, start: StandingPlace, frames: int, rng: np.random.Generator, speed: Speed) -> list[str]:
    """Half of the time to a goal and the same keys undone: the last camera is the first."""
    half = to_goals(scene, start, (frames - 1) // 2, rng, speed)
    return [*_exactly_undone(half), *[""] * (frames - 1 - 2 * len(half))]


def closed_loop(scene: Scene, start: StandingPlace, frames: int, rng: np.random.Generator, speed: Speed) -> list[str]:
    """Four legs around a rectangle, each looking on as before, with a turn aside and back on the way."""
    turn = int(rng.integers(0, 9))
    order = str(rng.choice(("wdsa", "dsaw", "sawd", "awds", "wasd", "asdw", "sdwa", "dwas")))
    a = int(rng.integers(frames // 8, frames // 4))
    b = max((frames - 4 * turn) // 2 - a, 1)
    j, l = ("j", "l") if rng.random() < 0.5 else ("l", "j")  # noqa: E741 (keys)
    keys = [order[0]] * a + [order[1]] * b + [j] * turn + [l] * turn + [order[2]] * a + [order[3]] * b
    return (keys + [l] * turn + [j] * turn + [""] * frames)[:frames]


def translate_rotate(scene: Scene, start: StandingPlace, frames: int, rng: np.random.Generator, speed: Speed) -> list[str]:
    """Straight, around on the spot, and the straight way back while looking elsewhere, then the look of the beginning."""
    key = str(rng.choice(("w", "w", "d", "a", "s")))
    turn, back = ("j", "l") if rng.random() < 0.5 else ("l", "j")
    go = frames // 5
    around = (frames - 2 * go) // 2
    keys = [key] * go + [turn] * around + [back] * around + [key.translate(OPPOSITE)] * go
    return (keys + [""] * frames)[:frames]


LEGS: dict[str, Callable[[Scene, StandingPlace, int, np.random.Generator, Speed], list[str]]] = {
    "goals": to_goals,
    "out and back": out_and_back,
    "closed loop": closed_loop,
    "translate and rotate": translate_rotate,
}


def discover(scene: Scene, index: int, frames: int, rng: np.random.Generator, speed: Speed, lens: tuple[int, int, float]) \
        -> tuple[str, Camera, Tensor]:  # fmt: skip
    """The kind of path, its cameras ``[F]`` and actions ``[F, 8]``. ``lens``: width, height, vertical degrees.

    Rejected: the reason, the same words for the same reason.
    """
    kind = list(LEGS)[int(rng.choice(len(LEGS), p=(0.55, 0.15, 0.15, 0.15)))]
    x, y = some_free(scene, rng)
    start = StandingPlace(x, y, float(rng.uniform(0, 360)), float(rng.uniform(-8, 6)))
    if open_way(scene, x, y, start.heading, 2.0) < 1.0:
        raise Rejected("begins in front of a wall")
    keys = LEGS[kind](scene, start, frames - 1, rng, speed)
    cameras, actions = path(camera_at(start, *lens), keys, speed)
    check(scene, cameras)
    return kind, cameras, actions


def check(scene: Scene, cameras: Camera) -> None:
    """Rejected unless the path is free, long enough, never stuck and mostly has something to see before it."""
    if not clear(scene, cameras):
        raise Rejected("runs into something")
    p, f = cameras.pose[:, :3, 3].double(), cameras.pose[:, :3, 2].double()
    steps = p.diff(dim=0).norm(dim=-1)
    turns = torch.rad2deg(torch.arccos((f[1:] * f[:-1]).sum(-1).clamp(-1, 1)))
    whole = len(cameras) / 81  # the lengths asked for are those of 81 frames
    if float(steps.sum()) < SHORTEST * whole and float(turns.sum()) < TURNED * whole:
        raise Rejected("too short")
    idle = ((steps < 0.01) & (turns < 0.2)).tolist()
    if "1" * STUCK in "".join("01"[int(i)] for i in idle):
        raise Rejected("stuck")
    heading = torch.rad2deg(torch.atan2(f[:, 2], f[:, 0]))
    ahead = [open_way(scene, float(q[0]), float(q[2]), float(h), 1.0) for q, h in zip(p[::4], heading[::4], strict=True)]
    if np.mean([a < 0.5 for a in ahead]) > 0.4:
        raise Rejected("looks at a wall")


def _exactly_undone(keys: list[str]) -> list[str]:
    """The keys and then what undoes them: turning comes before stepping, so each frame is undone as a step and then a turn.

    A frame of both becomes, on the way back, its step with the turn that follows it: the places are the same, one frame shifted.
    """
    back = [k.translate(OPPOSITE) for k in reversed(keys)]
    moves, turns = (["".join(c for c in k if c in part) for k in back] for part in ("wsad", "ijkl"))
    return [*keys, *[m + t for m, t in zip([*moves, ""], ["", *turns], strict=True)]]
