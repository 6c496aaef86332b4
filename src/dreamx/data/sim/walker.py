"""First-person walks: which keys are held on each frame, so that the walker hits nothing and comes back to what it saw.

A walk is spans of steady keys. Now and then the last spans are undone in reverse, key by opposite key: out and
back, look and look back, so that a clip shows places twice. The motion itself is ``geometry.controls.walk``, nothing else.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dreamx.data.scene.scene import Scene
from dreamx.geometry.camera import Camera, cat
from dreamx.geometry.controls import Speed, from_keys, key_vector, walk

UP = (0.0, -1.0, 0.0)
PITCH = 20.0  # degrees that a walker looks up or down at most
#: Held keys -> those that undo them.
OPPOSITE = str.maketrans("wsadjlik", "swdaljki")
# (held keys, weight, shortest and longest span in frames)
_SPANS = (
    ("w", 5.0, 12, 40), ("wj", 3.0, 10, 36), ("wl", 3.0, 10, 36), ("j", 3.0, 12, 44), ("l", 3.0, 12, 44), ("s", 1.0, 10, 24),
    ("a", 0.8, 10, 24), ("d", 0.8, 10, 24), ("aj", 0.5, 10, 30), ("dl", 0.5, 10, 30), ("al", 0.6, 12, 40), ("dj", 0.6, 12, 40),
    ("wa", 0.4, 10, 24), ("wd", 0.4, 10, 24), ("sj", 0.3, 10, 24), ("sl", 0.3, 10, 24), ("i", 0.4, 6, 12), ("k", 0.4, 6, 12),
    ("ij", 0.2, 6, 12), ("kl", 0.2, 6, 12), ("", 0.5, 4, 12),
)  # fmt: skip


def keys_for(scene: Scene, start: Camera, frames: int, rng: np.random.Generator, speed: Speed | None = None) -> list[str]:
    """Held keys that lead to frames 1, 2, ...: ``frames - 1`` strings, free of collisions from ``start``."""
    speed = speed or Speed()
    spans: list[tuple[str, int]] = []
    state = _state(start)
    weights = np.array([s[1] for s in _SPANS])
    undo = float(rng.choice([0.15, 0.5, 0.8]))  # some clips wander, some return to everything
    left, tries = frames - 1, 0
    while left > 0 and tries < 400:
        tries += 1
        if len(spans) >= 1 and spans[-1][0] and rng.random() < undo:
            back = [(held.translate(OPPOSITE), n) for held, n in reversed(spans[-int(rng.integers(1, 4)) :])]
            undo *= 0.6
        else:
            held, _, low, high = _SPANS[int(rng.choice(len(_SPANS), p=weights / weights.sum()))]
            back = [(held, int(rng.integers(low, high + 1)))]
        for held, n in back:
            went, state = _advance(scene, state, held, min(n, left), speed)
            if went:
                spans.append((held, went))
                left -= went
    return [held for held, n in spans for _ in range(n)] + [""] * max(left, 0)


def straight_on(scene: Scene, start: Camera, frames: int, side: str, speed: Speed | None = None) -> list[str]:
    """Keys of somebody who holds W, and turns only where something is in the way: ``frames - 1`` strings, free of collisions.

    Steered to ``side`` (``j`` or ``l``) first, to the other where only that is free, and on the spot where neither is.
    """
    speed = speed or Speed()
    keys: list[str] = []
    state, left = _state(start), frames - 1
    while left > 0:
        for held in ("w", f"w{side}", f"w{'l' if side == 'j' else 'j'}"):
            if _advance(scene, state, held, _AHEAD, speed)[0] == _AHEAD:
                break
        else:
            held = side
        side = held[-1] if held[-1] in "jl" else side  # not to and fro in a corner
        went, state = _advance(scene, state, held, min(_SPAN, left), speed)
        keys += [held] * went
        left -= went
    return keys


_SPAN = 4  # frames that a choice of keys holds for at least
_AHEAD = 20  # frames that must be free for a key to be held: 1.5 m at the usual speed


def path(start: Camera, keys: list[str], speed: Speed | None = None) -> tuple[Camera, Tensor]:
    """Cameras ``[F]``, the start first, and actions ``[F, 8]``, the first row zeros, of held keys that lead to frames 1 on."""
    after = walk(start, from_keys(keys, speed), torch.tensor(UP))
    actions = torch.stack([torch.zeros(8), *(key_vector(k) for k in keys)])
    return cat([start.map(lambda x: x[None]), after]), actions


def clear(scene: Scene, cameras: Camera) -> bool:
    """Does a walker fit at every camera of a path ``[F]``?"""
    p = cameras.pose[..., :3, 3].double().numpy()
    return bool(scene.free(p[..., 0], p[..., 2]).all())


State = tuple[float, float, float, float]  # x, y, heading (degrees from east to north), pitch (degrees up)


def _state(camera: Camera) -> State:
    p, f = camera.pose[:3, 3].tolist(), camera.pose[:3, 2].tolist()
    return p[0], p[2], float(np.degrees(np.arctan2(f[2], f[0]))), float(np.degrees(np.arcsin(np.clip(-f[1], -1, 1))))


def _advance(scene: Scene, state: State, held: str, frames: int, speed: Speed) -> tuple[int, State]:
    """Hold keys for up to ``frames`` frames; stop one pace before a wall. Fewer than 4 frames count as not going at all."""
    controls = from_keys([held], speed)
    right, _, forward = controls.move[0].tolist()
    yaw, pitch = controls.turn[0].tolist()
    x, y, h, p = state
    states = [state]
    for _ in range(frames):
        h, p = h - yaw, p + pitch
        f = np.radians(h)
        x += forward * float(np.cos(f)) + right * float(np.sin(f))
        y += forward * float(np.sin(f)) - right * float(np.cos(f))
        if abs(p) > PITCH or not scene.free(x, y):
            break
        states.append((x, y, h, p))
    went = len(states) - 1
    if went < min(4, frames):
        return 0, state
    return went, states[-1]
