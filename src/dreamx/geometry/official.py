"""Action lists as the two released scripts read them: the same file means different motion in each.

The list names held keys a segment (``["w", "wj"]``) and a number for each of them (``[4, 6]``).

*Autoregressive* (DreamX-World-5B): the numbers share out the frames; speed is always 0.075 units and 1.5 degrees a frame.
Turns and steps compose in the body frame, as in ``walk``. The first row has already moved one step.

*Bidirectional* (DreamX-World-5B-Cam): segments are of equal length and the numbers are speeds, in units and tens of degrees
a segment. Its quirks are kept here, since the released weights met them in training, and nowhere else: the direction of motion
is taken once, at the start of a segment, so that forward with a turn is a straight line; and pitch and yaw are angles of the
*world-to-camera* rotation in the order yaw after pitch, so that after looking up, a turn is no turn about the vertical.

Rows are world-to-camera; cameras are, as everywhere here, camera-to-world.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamx.geometry.camera import Camera, level, relative_to, rigid, rotation, se3_inverse
from dreamx.geometry.controls import check_keys, from_keys, walk

#: Units and degrees that one of speed makes in a segment of the bidirectional script.
SEGMENT = (1.0, 10.0)


def autoregressive(actions: Sequence[str], shares: Sequence[float], frames: int) -> Camera:
    """The ``[frames]`` cameras of the autoregressive script, float64. ValueError when the lists do not fit each other."""
    _check(actions, shares, frames)
    keys: list[str] = []
    for held, share in zip(actions, shares, strict=True):
        # No segment is empty, none runs past the end.
        keys += [held] * min(max(1, round(frames * share / sum(shares))), frames - len(keys))
    keys += [actions[-1]] * (frames - len(keys))  # the last segment takes what rounding left
    # Body frame, no `up`: looking up and walking climbs, as in the script.
    return walk(level(dtype=torch.float64), from_keys(keys))


def autoregressive_latents(camera: Camera, chunk: int | None = None) -> Camera:
    """Cameras of the latent frames: of video frames 0, 1, 5, 9, ..., seen from the first of them.

    With ``chunk``, every chunk of so many is seen from the last latent frame before it instead.
    """
    _check_latents(camera)
    # The first video frame of each group; the bidirectional script, and ours, take the last one.
    c = camera[[0, *range(1, len(camera), 4)]]
    if chunk is None:
        return relative_to(c, c[:1])
    before = [max(0, i // chunk * chunk - 1) for i in range(len(c))]  # index of the last latent frame before each chunk
    return relative_to(c, c[before])


def bidirectional(actions: Sequence[str], speeds: Sequence[float], frames: int) -> Camera:
    """The ``[frames]`` cameras of the bidirectional script, float64. ValueError when the lists do not fit each other."""
    _check(actions, speeds, frames)
    length = -(-frames // len(actions))  # rounded up; the end is cut to `frames`
    steps = torch.arange(1, length + 1, dtype=torch.float64)[:, None] / length
    angles, place = torch.zeros(1, 2, dtype=torch.float64), torch.zeros(1, 3, dtype=torch.float64)  # pitch, yaw; position
    rows = [(angles, place)]
    for held, speed in zip(actions, speeds, strict=True):
        controls = from_keys([held])
        # Only which keys are held: speed is the number of the list, not metres per second.
        right, _, forward = controls.move[0].sign().tolist()
        yaw, pitch = controls.turn[0].sign().tolist()
        # Negative: angles of the world-to-camera rotation, the inverse of how the camera turns.
        turn = -speed * SEGMENT[1] * torch.tensor([[pitch, yaw]], dtype=torch.float64)
        p, y = torch.deg2rad(angles[-1]).unbind()
        # Third row of that rotation: the camera's z in the world, at the start of the segment.
        ahead = torch.stack([-y.sin() * p.cos(), p.sin(), y.cos() * p.cos()])
        aside = torch.stack([y.cos(), torch.zeros_like(y), y.sin()])
        move = speed * SEGMENT[0] * (forward * ahead + right * aside)
        angles, place = angles[-1:] + steps * turn, place[-1:] + steps * move
        rows.append((angles, place))
    pitch, yaw = torch.cat([a for a, _ in rows])[:frames].unbind(-1)
    position = torch.cat([p for _, p in rows])[:frames]
    world_to_camera = rotation("y", yaw) @ rotation("x", pitch)  # a quirk: yaw is not about the world's vertical
    return Camera(rigid(world_to_camera.mT, position), level(dtype=torch.float64).lens.expand(frames, 4))


def bidirectional_latents(camera: Camera) -> Camera:
    """Cameras of the latent frames: of video frames 0, 4, 8, ..., seen from the first of them."""
    _check_latents(camera)
    c = camera[::4]
    return relative_to(c, c[:1])


def rows(camera: Camera) -> Tensor:
    """``[..., 3, 4]`` world-to-camera."""
    return se3_inverse(camera.pose)[..., :3, :]


def _check(actions: Sequence[str], numbers: Sequence[float], frames: int) -> None:
    if not actions or len(actions) != len(numbers):
        raise ValueError(f"action_speed_list: needs one number for each of the {len(actions)} actions, not {len(numbers)}")
    if not all(0 <= x < float("inf") for x in numbers) or not any(numbers):
        raise ValueError(f"action_speed_list: no number may be negative, and one must be more than 0, not {list(numbers)}")
    if frames < 1:
        raise ValueError(f"frames: must be 1 or more, not {frames}")
    for held in actions:
        check_keys(held)


def _check_latents(camera: Camera) -> None:
    if (len(camera) - 1) % 4:
        raise ValueError(f"a path of {len(camera)} frames has no whole number of latent frames; use 4 k + 1")
