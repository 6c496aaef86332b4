"""``transforms.json``: DL3DV, nerfstudio, instant-ngp and the Blender scenes of NeRF."""

from __future__ import annotations

from itertools import pairwise
from math import tan
from typing import Any

import torch

from dreamx.geometry.formats.motion import (
    LONGEST,
    Files,
    Motion,
    MotionOptions,
    camera_of,
    dump,
    entry,
    json_of,
    need_fps,
    need_size,
    one_lens,
    pixel_lens,
    pose_rows,
    poses_of,
    real,
)
from dreamx.plaintext import natural, shown

_OPENGL = torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64)  # y up and z back <-> y down and z forward
_BENDS = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")


def read_dl3dv(files: Files, asked: MotionOptions) -> Motion:
    """Camera-to-world with OpenGL's axes (y up, z back), in the order of the file names where every frame has one.

    The list's own order is that in which the structure was found, not that of the film. A lens is ``fl_x`` and ``fl_y`` in pixels
    or ``camera_angle_x``, for all frames or for each; of a distorted one the middle is taken, and a note says so.
    """
    fps, data = need_fps(asked, "dl3dv"), json_of(files)
    frames = frames_of(data)
    poses = [
        pose_rows(entry(frame, "transform_matrix", f"frames.{i}"), f"frames.{i}.transform_matrix")
        for i, frame in enumerate(frames)
    ]
    lenses = [_lens(frame, data, asked, f"frames.{i}") for i, frame in enumerate(frames)]
    opengl = poses_of(torch.tensor(poses, dtype=torch.float64), "transform_matrix")
    notes: list[str] = []
    if bent := bends(data):
        notes.append(f"The lens is distorted ({', '.join(bent)}): for a path it is taken for one without distortion.")
    if _square(frames, data, asked):
        notes.append("It has no w and h: pictures as high as wide are taken, as those of the Blender scenes; else give size.")
    order = by_name(frames)
    if order is None:
        notes.append("Its frames have no file names of their own, so they are taken in the order of the list.")
        order = list(range(len(frames)))
    at = torch.tensor(order)
    return Motion(camera_of((opengl * _OPENGL)[at], torch.stack(lenses)[at]), fps, tuple(notes))


def write_dl3dv(motion: Motion, asked: MotionOptions) -> dict[str, bytes]:
    """One lens for all frames; ``size`` says of which picture the pixels are."""
    w, h = need_size(asked, "dl3dv")
    fx, fy, cx, cy = one_lens(motion.camera, "dl3dv")
    poses = (motion.camera.pose * _OPENGL + 0.0).tolist()
    frames = [{"file_path": f"images/frame_{i:05d}.png", "transform_matrix": p} for i, p in enumerate(poses)]
    lens = {"w": w, "h": h, "fl_x": fx * w, "fl_y": fy * h, "cx": cx * w, "cy": cy * h}
    return {"": dump({**lens, "k1": 0.0, "k2": 0.0, "p1": 0.0, "p2": 0.0, "camera_model": "OPENCV", "frames": frames})}


def frames_of(data: Any) -> list[dict[str, Any]]:
    """The list of frames. ValueError where it is none."""
    frames = entry(data, "frames", "it")
    if not isinstance(frames, list) or not 1 <= len(frames) <= LONGEST or not all(isinstance(f, dict) for f in frames):
        raise ValueError(f"frames must be a list of 1 to {LONGEST} frames, each an object with its transform_matrix")
    return frames


def by_name(frames: list[dict[str, Any]]) -> list[int] | None:
    """The places in the list in the order of the file names (``frame_2`` before ``frame_10``); None where not all have one.

    ValueError where two frames are of one file.
    """
    names = [f.get("file_path") for f in frames]
    if not all(isinstance(n, str) and n for n in names):
        return None
    found = [str(n).replace("\\", "/") for n in names]
    order = sorted(range(len(found)), key=lambda i: natural(found[i]))
    for a, b in pairwise(order):
        if found[a] == found[b]:
            raise ValueError(f"frames.{a} and frames.{b} are both of the file {shown(found[a])}; take one of them out")
    return order


def bends(data: Any) -> list[str]:
    """Names of the lens's distortions that are not 0, in the file or in any frame."""
    frames = frames_of(data)
    return [k for k in _BENDS if any(real(at[k], k) for at in (data, *frames) if at.get(k) is not None)]


def _lens(frame: dict[str, Any], data: dict[str, Any], asked: MotionOptions, where: str) -> torch.Tensor:
    """fx fy cx cy as shares ``[4]``, those of the frame before those of all."""

    def find(name: str) -> float | None:
        at, said = (frame, f"{where}.{name}") if frame.get(name) is not None else (data, name)
        return None if at.get(name) is None else real(at[name], said)

    w, h, fx, fy, cx, cy, ax, ay = (find(n) for n in (*_SIZE, "fl_x", "fl_y", "cx", "cy", "camera_angle_x", "camera_angle_y"))
    if w is None or h is None:
        if asked.size is None and (fx, cx, cy) != (None,) * 3:
            raise ValueError("it has no 'w' and 'h'; give size, the width and height of its pictures")
        w, h = asked.size or (1.0, 1.0)
    elif min(w, h) < 1 or w != int(w) or h != int(h):
        raise ValueError(f"{where}: w and h must be positive whole numbers of pixels")
    if fx is None:
        fx, fy = _from_angles(ax, ay, (w, h), fy, where)
    lens = (fx, fx if fy is None else fy, w / 2 if cx is None else cx, h / 2 if cy is None else cy)
    return pixel_lens(torch.tensor(lens, dtype=torch.float64), (w, h), where)


def _from_angles(
    ax: float | None, ay: float | None, size: tuple[float, float], fy: float | None, where: str
) -> tuple[float, float | None]:
    """Focal lengths of the angles in radians that a lens sees from side to side and from top to bottom."""
    if ax is None:
        raise ValueError(f"{where}: it has neither 'fl_x' nor 'camera_angle_x', so no lens")
    for name, angle in (("camera_angle_x", ax), ("camera_angle_y", ay)):
        if angle is not None and not 0 < angle < 3.1415:
            raise ValueError(f"{where}: {name} is {angle:g}; it must be an angle in radians between 0 and 3.14")
    fx = size[0] / 2 / tan(ax / 2)
    return fx, size[1] / 2 / tan(ay / 2) if ay is not None and fy is None else fy


_SIZE = ("w", "h")


def _square(frames: list[dict[str, Any]], data: dict[str, Any], asked: MotionOptions) -> bool:
    """Whether the pictures' shape had to be guessed."""
    return asked.size is None and any(f.get(n) is None and data.get(n) is None for f in frames for n in _SIZE)
