"""DreamX-World's lists of actions: the same ``eval.json`` in the two meanings of the two released scripts.

``dreamx-cam`` (bidirectional): the numbers are speeds, segments are of equal length. ``dreamx-ar`` (autoregressive): the numbers
share out the frames, speed is fixed. ``geometry.official`` is the arithmetic; here are the file and the way back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import torch

from dreamx.geometry.camera import Camera, relative_to
from dreamx.geometry.controls import check_keys
from dreamx.geometry.formats.keys import OFFICIAL, keys_of, refuse_other
from dreamx.geometry.formats.motion import Files, Motion, MotionOptions, dump, entry, json_of, real
from dreamx.geometry.official import SEGMENT, autoregressive, bidirectional

#: Frames of the official scripts where nobody says another number: five seconds at 16 a second.
FRAMES = 81
_MOST = 1000  # segments of one list


def read_dreamx_ar(files: Files, asked: MotionOptions) -> Motion:
    """An ``eval.json`` as DreamX-World-5B reads it."""
    return _read(autoregressive, files, asked)


def read_dreamx_cam(files: Files, asked: MotionOptions) -> Motion:
    """An ``eval.json`` as DreamX-World-5B-Cam reads it."""
    return _read(bidirectional, files, asked)


def entries(data: Any) -> list[dict[str, Any]]:
    """The entries of an ``eval.json``: a list of objects, or one object."""
    items = data if isinstance(data, list) else [data]
    if not items or not all(isinstance(x, dict) for x in items):
        raise ValueError("it must be a list of objects with action_seq and action_speed_list")
    return items


def actions_of(item: dict[str, Any], where: str) -> tuple[list[str], list[float]]:
    """The held keys and the numbers of one entry. ValueError names the entry and the field."""
    keys, speeds = entry(item, "action_seq", where), entry(item, "action_speed_list", where)
    if not isinstance(keys, list) or not 1 <= len(keys) <= _MOST or not all(isinstance(k, str) for k in keys):
        raise ValueError(f'{where}.action_seq must be a list of 1 to {_MOST} strings of keys, as ["w", "wj"]')
    if not isinstance(speeds, list) or len(speeds) != len(keys):
        raise ValueError(f"{where}.action_speed_list must be a list of {len(keys)} numbers, one for each action")
    found = [real(x, f"{where}.action_speed_list.{i}") for i, x in enumerate(speeds)]
    if min(found) < 0 or max(found) > 1e6 or not sum(found):
        raise ValueError(f"{where}.action_speed_list: numbers must be 0 to 1000000, and one more than 0, not {found}")
    for i, k in enumerate(keys):
        try:
            check_keys(k)
        except ValueError as e:
            raise ValueError(f"{where}.action_seq.{i}: {str(e).removeprefix('keys: ')}") from None
    return keys, found


def _read(how: Callable[[Sequence[str], Sequence[float], int], Camera], files: Files, asked: MotionOptions) -> Motion:
    items = entries(json_of(files))
    if asked.item >= len(items):
        raise ValueError(f"item is {asked.item}, and the list has {len(items)} entries, counted from 0")
    keys, speeds = actions_of(items[asked.item], f"entry {asked.item}")
    return Motion(how(keys, speeds, asked.frames or FRAMES), asked.fps or 16.0)


def write_dreamx_ar(motion: Motion, asked: MotionOptions) -> dict[str, bytes]:
    """The list whose path this is, up to where it begins: the script's first frame has already moved by its first action."""
    keys = keys_of(motion.camera, OFFICIAL, 1, "dreamx-ar")
    keys = [*keys[:1], *keys] or [""]
    if len(keys) == 1:
        raise ValueError("dreamx-ar needs a path of 2 frames at least")
    spans = [(k or " ", len(list(g))) for k, g in groupby(keys)]
    if len(spans) > _MOST:
        raise ValueError(f"dreamx-ar holds at most {_MOST} actions, and this path changes {len(spans)} times; use dreamx-rows")
    seen = relative_to(motion.camera, motion.camera[0])
    again = autoregressive([k for k, _ in spans], [n for _, n in spans], len(keys))
    refuse_other(seen, relative_to(again, again[0]), "dreamx-ar", "keys at 0.075 m and 1.5 degrees a frame")
    return _write([k for k, _ in spans], [n for _, n in spans], asked)


def write_dreamx_cam(motion: Motion, asked: MotionOptions) -> dict[str, bytes]:
    """The list whose path this is: equal segments, each at one speed."""
    seen = relative_to(motion.camera, motion.camera[0])
    for count in range(1, min(len(seen), 65)):
        length = -(-len(seen) // count)
        if (count - 1) * length + 1 >= len(seen):
            continue  # the last segment would be cut away whole
        found = [_segment(seen[i * length : (i + 1) * length + 1], length) for i in range(count)]
        keys, speeds = [k for k, _ in found], [round(s, 9) for _, s in found]
        if not any(speeds):
            continue
        again = bidirectional(keys, speeds, len(seen))
        if float((again.pose - seen.pose).abs().max()) < 1e-5:
            return _write(keys, speeds, asked)
    raise ValueError(
        "dreamx-cam is made of at most 64 equal segments, each at one speed, and this path is none; "
        "export to a dialect of poses, for example dreamx-rows"
    )


def _segment(camera: Camera, length: int) -> tuple[str, float]:
    """Keys and speed of a segment whose first frame is the last of the one before; it may have been cut at its end."""
    w2c = camera.pose[:, :3, :3].mT
    # Of yaw after pitch without roll, also where pitch is beyond the vertical.
    yaw = torch.rad2deg(torch.atan2(-w2c[:, 2, 0], w2c[:, 0, 0]))
    pitch = torch.rad2deg(torch.atan2(-w2c[:, 1, 2], w2c[:, 1, 1]))
    y, p = torch.deg2rad(yaw[0]), torch.deg2rad(pitch[0])
    ahead = torch.stack([-y.sin() * p.cos(), p.sin(), y.cos() * p.cos()])
    aside = torch.stack([y.cos(), torch.zeros_like(y), y.sin()])
    step = (camera.pose[-1, :3, 3] - camera.pose[0, :3, 3]) / (len(camera) - 1) * length / SEGMENT[0]
    turn = [float((a[1] - a[0] + 180).remainder(360) - 180) * length / SEGMENT[1] for a in (yaw, pitch)]
    table = torch.stack([ahead, aside], 1)
    forward, right = torch.linalg.lstsq(table, step[:, None]).solution[:, 0].tolist()
    parts = ((forward, "w", "s"), (right, "d", "a"), (-turn[1], "i", "k"), (-turn[0], "l", "j"))
    keys = "".join(more if v > 0 else less for v, more, less in parts if abs(v) > 1e-6)
    return keys or "w", max(abs(v) for v, _, _ in parts) if keys else 0.0


def _write(keys: list[str], numbers: Sequence[float], asked: MotionOptions) -> dict[str, bytes]:
    item = {"image_path": asked.image, "caption": asked.caption, "action_seq": keys, "action_speed_list": list(numbers)}
    return {"": dump([item])}
