"""Dialects with one row of keys or mouse a frame: Matrix-Game 2 and 3, ABot-World."""

from __future__ import annotations

from math import isclose
from typing import Any

import torch
from torch import Tensor

from dreamx.geometry.camera import relative_to
from dreamx.geometry.controls import KEYS, Controls
from dreamx.geometry.formats.keys import OFFICIAL, Rule, controls_of, keys_of, motion_of, path, refuse_other
from dreamx.geometry.formats.motion import LONGEST, Files, Motion, MotionOptions, camera_of, dump, entry, json_of, real

#: Mouse that turns by what a held key of DreamX turns: both of Matrix-Game's command lines use it.
MOUSE = 0.1
#: Metres (of Unreal's centimetres) and degrees a unit of mouse.
MATRIX3 = Rule(0.1235, 15.0, diagonal=0.0873, ground=True, halfway=True)
_MATRIX3_LENS = (0.5, 0.5, 0.5, 0.5)  # 90 degrees both ways
_QUIET = 0.02  # a mouse that moves less does not count
_DEGREES_A_MOUSE = OFFICIAL.degrees / MOUSE


def read_matrix_game_2(files: Files, asked: MotionOptions) -> Motion:
    """``{"keyboard_condition": [T, 4], "mouse_condition": [T, 2]}``: W S A D held or not, pitch up and yaw right.

    A row leads from its frame to the next. Matrix-Game 2 gives no speeds.
    """
    keys, mouse = _rows(json_of(files), 4)
    camera = path(Controls(_moves(keys, OFFICIAL), mouse[:-1].flip(1) * _DEGREES_A_MOUSE), OFFICIAL)
    note = (
        "Matrix-Game 2 gives no speeds with its keys; 0.075 m a frame and 1.5 degrees for 0.1 of the mouse, DreamX's own, "
        "are taken for them."
    )
    return Motion(camera, asked.fps or 25.0, (note,))


def write_matrix_game_2(motion: Motion, asked: MotionOptions) -> dict[str, bytes]:
    """The keys and the mouse whose path this is."""
    seen = relative_to(motion.camera, motion.camera[0])
    controls = motion_of(seen, OFFICIAL)
    move = torch.where(controls.move.abs() > OFFICIAL.metres / 5, controls.move.sign(), 0.0) * OFFICIAL.metres
    refuse_other(seen, path(Controls(move, controls.turn), OFFICIAL), "matrix-game-2", "keys at 0.075 m a frame and a mouse")
    return _conditions(move, controls.turn / _DEGREES_A_MOUSE, 4)


def read_matrix_game_3(files: Files, asked: MotionOptions) -> Motion:
    """The same with six keys, W S A D and two that move nothing; its own speeds, on level ground, in metres.

    0.1235 m a frame, 0.0873 m along each axis on a diagonal, 15 degrees a unit of mouse, 90 degrees of view.
    """
    keys, mouse = _rows(json_of(files), 6)
    turn = torch.where(mouse.abs() >= _QUIET, mouse, 0.0)[:-1].flip(1) * MATRIX3.degrees
    camera = path(Controls(_moves(keys, MATRIX3), turn), MATRIX3)
    return Motion(camera_of(camera.pose, _MATRIX3_LENS), asked.fps or 25.0)


def write_matrix_game_3(motion: Motion, asked: MotionOptions) -> dict[str, bytes]:
    """The keys and the mouse whose path this is."""
    seen = relative_to(motion.camera, motion.camera[0])
    controls = motion_of(seen, MATRIX3)
    signs = torch.where(controls.move.abs() > MATRIX3.metres / 5, controls.move.sign(), 0.0)
    both = (signs != 0).sum(-1, keepdim=True) > 1
    move = signs * torch.where(both, 0.0873, 0.1235).double()
    mouse = controls.turn / MATRIX3.degrees
    mouse = torch.where(mouse.abs() >= _QUIET, mouse, 0.0)
    again = path(Controls(move, mouse * MATRIX3.degrees), MATRIX3)
    refuse_other(seen, again, "matrix-game-3", "keys at 0.1235 m a frame on level ground and a mouse of 0.02 or more")
    return _conditions(move, mouse, 6)


def read_abot(files: Files, asked: MotionOptions) -> Motion:
    """``{"total_frames", "fps", "frames": [{"keys": {"W": true, ...}, "frame_id": "000000"}]}``: held keys of each frame."""
    data = json_of(files)
    frames, total = entry(data, "frames", "it"), entry(data, "total_frames", "it")
    if not isinstance(frames, list) or not frames or len(frames) > LONGEST:
        raise ValueError(f"frames must be a list of 1 to {LONGEST} frames")
    if isinstance(total, bool) or total != len(frames):
        raise ValueError(f"total_frames is {str(total)[:20]} and frames has {len(frames)} of them; make them the same")
    held: list[str] = []
    for at, frame in enumerate(frames):
        keys = entry(frame, "keys", f"frames.{at}")
        if not isinstance(keys, dict) or not all(isinstance(v, bool) for v in keys.values()):
            raise ValueError(f"frames.{at}.keys must say true or false for each key")
        other = sorted(k for k in keys if len(k) != 1 or k.lower() not in KEYS)
        if other:
            raise ValueError(f"frames.{at}.keys: {other[0][:20]!r} is not a key; the keys are {', '.join(KEYS.upper())}")
        held.append("".join(k.lower() for k, down in keys.items() if down))
    fps = real(entry(data, "fps", "it"), "fps")
    if fps <= 0:
        raise ValueError(f"fps is {fps:g}; it must be positive")
    note = "ABot-World gives no speeds with its keys; 0.075 m and 1.5 degrees a frame, DreamX's own, are taken for them."
    return Motion(path(controls_of(held[1:], OFFICIAL), OFFICIAL), asked.fps or fps, (note,))


def write_abot(motion: Motion, asked: MotionOptions) -> dict[str, bytes]:
    """The held keys whose path this is; nothing is held in the first frame."""
    held = ["", *keys_of(motion.camera, OFFICIAL, 1, "abot")]
    frames = [{"keys": {k.upper(): k in h for k in KEYS}, "frame_id": f"{i:06d}"} for i, h in enumerate(held)]
    fps = int(motion.fps) if isclose(motion.fps, int(motion.fps)) else motion.fps
    return {"": dump({"total_frames": len(frames), "fps": fps, "frames": frames})}


def _rows(data: Any, width: int) -> tuple[Tensor, Tensor]:
    """Keys ``[T, width]`` and mouse ``[T, 2]``."""
    found: list[Tensor] = []
    for name, cols in (("keyboard_condition", width), ("mouse_condition", 2)):
        rows = entry(data, name, "it")
        if not isinstance(rows, list) or not 1 <= len(rows) <= LONGEST:
            raise ValueError(f"{name} must be a list of 1 to {LONGEST} rows, one for each frame")
        if not all(isinstance(r, list) and len(r) == cols for r in rows):
            raise ValueError(f"{name} must have {cols} numbers in each row")
        values = [[real(x, f"{name}.{i}") for x in row] for i, row in enumerate(rows)]
        found.append(torch.tensor(values, dtype=torch.float64))
    keys, mouse = found
    if len(keys) != len(mouse):
        raise ValueError(f"keyboard_condition has {len(keys)} rows and mouse_condition {len(mouse)}; make them the same")
    if not bool(((keys == 0) | (keys == 1)).all()):
        raise ValueError("keyboard_condition must hold 0 and 1 only: a key is held or not")
    if float(mouse.abs().max()) > 10:
        raise ValueError("mouse_condition has a number beyond 10, which is no mouse of Matrix-Game: its keys send 0.1")
    return keys, mouse


def _moves(keys: Tensor, rule: Rule) -> Tensor:
    """Metres ``[T - 1, 3]`` of W S A D; those of the last row lead out of the file."""
    letters = ["".join(k for k, down in zip("wsad", row, strict=True) if down) for row in keys[:-1, :4].tolist()]
    return controls_of(letters, rule).move


def _conditions(move: Tensor, mouse: Tensor, width: int) -> dict[str, bytes]:
    """Rows of W S A D and of the mouse; in the last nothing is held."""
    right, _, forward = move.unbind(-1)
    keys = torch.stack([forward > 0, forward < 0, right < 0, right > 0], -1).double()
    keys = torch.nn.functional.pad(keys, (0, width - 4, 0, 1))
    still = torch.nn.functional.pad(mouse.flip(1), (0, 0, 0, 1))
    rounded = (still * 1e9).round() / 1e9  # what a turn and back leaves of 0.1
    return {"": dump({"keyboard_condition": keys.int().tolist(), "mouse_condition": (rounded + 0.0).tolist()})}
