"""The camera behind a walking person: it trails smoothly, comes closer where a wall would be between, never stands in one.

All on the map of the scene, without drawing: what blocks a walker blocks the camera and its sight.
"""

from __future__ import annotations

import numpy as np
import torch

from dreamx.data.scene.scene import Scene
from dreamx.data.sim.bodies import Array
from dreamx.data.sim.navigation import Rejected
from dreamx.geometry.camera import Camera, lens_from_fov, rigid

DISTANCE, CLOSEST = 2.7, 0.9  # metres behind
_HEAD, _LOOK = 1.5, 1.15  # metres above the ground: what must be in sight, what is looked at
_SWING = (0, 15, -15, 30, -30, 50, -50, 75, -75)  # degrees aside where the way straight behind is blocked
_QUICK = 150.0  # degrees a second that the camera swings aside at most
_LAG, _OUT = 0.35, 0.8  # seconds: of turning, of going out again after coming close


def follow(scene: Scene, places: Array, width: int, height: int, fov: float, fps: float) -> Camera:
    """Cameras ``[F]`` behind someone whose places are ``[F, 3]``: x, y on the plan, heading in degrees from east to north.

    Rejected: where even the closest camera has no sight of the person for more than a few frames.
    """
    yaw, far = float(places[0, 2]), DISTANCE
    swing = 0.0
    poses, hidden = [], 0
    turn, out = 1 - np.exp(-1 / (fps * _LAG)), 1 - np.exp(-1 / (fps * _OUT))
    eased = places[0, :2].copy()
    for frame, (x, y, heading) in enumerate(places):
        yaw += turn * ((heading - yaw + 180) % 360 - 180)
        eased += (1 - np.exp(-1 / (fps * 0.12))) * (np.array((x, y)) - eased)
        wanted = max(_SWING, key=lambda s: min(_room(scene, x, y, yaw + s), DISTANCE) - 0.008 * abs(s) - 0.004 * abs(s - swing))
        swing += (turn if frame else 1.0) * (wanted - swing)
        room = _room(scene, x, y, yaw + swing)
        if room < CLOSEST:  # between where it was and where it wants to be there is a wall: jump the easing
            best = max(_SWING, key=lambda s: min(_room(scene, x, y, yaw + s), DISTANCE) - 0.02 * abs(s - swing))
            swing += float(np.clip(best - swing, -_QUICK / fps, _QUICK / fps))
            room = _room(scene, x, y, yaw + swing)
            hidden += room < 0.6
        reach = min(DISTANCE, room)
        far = reach if reach < far or frame == 0 else far + out * (reach - far)
        a = np.radians(yaw + swing)
        stand = np.array((x, y)) - far * np.array((np.cos(a), np.sin(a)))
        up = 1.5 + 0.28 * min(far, DISTANCE) * (1.0 if not scene.indoors else 0.8) + 0.35 * max(0.0, 1 - far / 1.6)
        up = min(up, 2.4 if scene.indoors else 3.0)
        poses.append(_pose(stand, up, eased, far))
    if hidden > max(2, len(places) // 20):
        raise Rejected("no room for the camera")
    lens = torch.tensor(lens_from_fov(fov, width, height))
    pose = torch.stack(poses).float()
    return Camera(pose, lens.expand(len(pose), 4))


def _room(scene: Scene, x: float, y: float, yaw: float) -> float:
    """Metres of free sight straight behind someone, as far as the camera would go."""
    a = np.radians(yaw)
    t = np.arange(0.1, DISTANCE + 0.1, 0.1)
    free = scene.free(x - t * np.cos(a), y - t * np.sin(a))
    return float(DISTANCE if free.all() else t[int(np.argmin(free))] - 0.1)


def _pose(stand: Array, up: float, at: Array, far: float) -> torch.Tensor:
    """Pose of a camera there that looks towards the chest, a little ahead of it."""
    look = np.array((at[0], -(_LOOK if far > 1.3 else _HEAD), at[1]))
    eye = np.array((stand[0], -up, stand[1]))
    f = look - eye
    f = f / np.linalg.norm(f)
    right = np.array((f[2], 0.0, -f[0]))
    right = right / np.linalg.norm(right)
    down = np.cross(f, right)
    return rigid(torch.from_numpy(np.stack([right, down, f], -1)), torch.from_numpy(eye))
