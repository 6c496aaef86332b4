"""Dialects of data sets: RealEstate10K and COLMAP."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from dreamx.geometry.formats.motion import (
    Files,
    Motion,
    MotionOptions,
    camera_of,
    inverted,
    need_fps,
    need_size,
    number,
    numbers,
    one_lens,
    pixel_lens,
    rigid_rows,
    text_of,
    unit_quaternions,
)
from dreamx.geometry.formats.poses import camera_rows, rows_camera
from dreamx.geometry.path import matrices, quaternions
from dreamx.plaintext import lines, natural, shown

# Models of COLMAP, by the names of their numbers: k is of a distortion.
_COLMAP = {
    "SIMPLE_PINHOLE": "f cx cy", "PINHOLE": "fx fy cx cy", "SIMPLE_RADIAL": "f cx cy k", "RADIAL": "f cx cy k k",
    "OPENCV": "fx fy cx cy k k k k", "FULL_OPENCV": "fx fy cx cy k k k k k k k k", "OPENCV_FISHEYE": "fx fy cx cy k k k k",
    "SIMPLE_RADIAL_FISHEYE": "f cx cy k", "RADIAL_FISHEYE": "f cx cy k k", "FOV": "fx fy cx cy k",
    "THIN_PRISM_FISHEYE": "fx fy cx cy k k k k k k k k",
}  # fmt: skip


def read_realestate10k(files: Files, asked: MotionOptions) -> Motion:
    """An address, then ``microseconds fx fy cx cy 0 0 w2c[12]`` a line; the times give the frames a second."""
    said = lines(text_of(files))
    if not said or len(said[0][1].replace(",", " ").split()) != 1:
        raise ValueError("its first line must be the address of the video, alone; without one it is dreamx-rows")
    says = "microseconds fx fy cx cy 0 0 and a world-to-camera matrix of 12"
    rows = [numbers(x, 19, f"line {i}", says) for i, x in said[1:]]
    if not rows:
        raise ValueError("there are no cameras in it; a trajectory has at least one")
    table = torch.tensor(rows, dtype=torch.float64)
    gaps = table[1:, 0] - table[:-1, 0]
    if bool((gaps <= 0).any()):
        raise ValueError(f"line {said[int((gaps <= 0).nonzero()[0]) + 2][0]}: its time is not after that of the line before")
    if asked.fps is None and not len(gaps):
        raise ValueError("it has one frame, so its times give no frames a second; give fps")
    return Motion(rows_camera(table), asked.fps or 1e6 / float(gaps.median()))


def write_realestate10k(motion: Motion, asked: MotionOptions) -> dict[str, bytes]:
    """The same lines; the address is ``caption``, or a dash."""
    address = "".join(asked.caption.split()) or "-"
    times = [round(i * 1e6 / motion.fps) for i in range(len(motion.camera))]
    lines = [f"{t} {x}" for t, x in zip(times, camera_rows(motion.camera), strict=True)]
    return {"": ("\n".join([address, *lines]) + "\n").encode()}


def read_colmap(files: Files, asked: MotionOptions) -> Motion:
    """A folder with ``cameras.txt`` and ``images.txt``: world-to-camera quaternions, in the order of the pictures' names."""
    fps = need_fps(asked, "colmap")
    lenses, bent = dict[int, Tensor](), list[str]()
    for number_, lens, model in _colmap_cameras(text_of(files, "cameras.txt")):
        lenses[number_] = lens
        bent += [model] if model else []
    images: list[tuple[str, list[float], int]] = []
    rows = ((i, x) for i, x in enumerate(text_of(files, "images.txt").split("\n"), 1) if not x.lstrip().startswith("#"))
    for at, line in rows:
        if not line.strip():
            continue
        words, where = line.split(maxsplit=9), f"images.txt, line {at}"
        if len(words) != 10:
            raise ValueError(f"{where}: it must be IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME")
        lens = int(number(words[8], where)) if words[8].isdigit() else -1
        if lens not in lenses:
            raise ValueError(f"{where}: cameras.txt has no camera {words[8][:20]}")
        images.append((words[9], [number(w, where) for w in words[1:8]], lens))
        next(rows, None)  # the line of points after each
    if not images:
        raise ValueError("images.txt has no pictures in it")
    images.sort(key=lambda x: natural(x[0]))
    table = torch.tensor([x for _, x, _ in images], dtype=torch.float64)
    q = unit_quaternions(table[:, :4], [f"images.txt: picture {shown(name)}" for name, _, _ in images])
    w2c = torch.cat([matrices(q), table[:, 4:, None]], -1)
    poses = inverted(rigid_rows(w2c.flatten(1).tolist()), "images.txt")
    note = f"The lens is distorted ({', '.join(dict.fromkeys(bent))}): for a path it is taken for one without distortion."
    return Motion(camera_of(poses, torch.stack([lenses[k] for _, _, k in images])), fps, (note,) if bent else ())


def write_colmap(motion: Motion, asked: MotionOptions) -> dict[str, bytes]:
    """Both files and an empty ``points3D.txt``; ``size`` says of which picture the pixels are."""
    w, h = need_size(asked, "colmap")
    fx, fy, cx, cy = one_lens(motion.camera, "colmap")
    w2c = inverted(motion.camera.pose, "the path")
    q = quaternions(w2c[:, :3, :3])
    lines = ["# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, then a line of points, empty here"]
    for i, row in enumerate(torch.cat([q, w2c[:, :3, 3]], 1).tolist(), 1):
        lines += [f"{i} {' '.join(map(repr, row))} 1 frame_{i - 1:06d}.png", ""]
    cameras = f"# CAMERA_ID MODEL WIDTH HEIGHT PARAMS\n1 PINHOLE {w} {h} {fx * w!r} {fy * h!r} {cx * w!r} {cy * h!r}\n"
    return {"cameras.txt": cameras.encode(), "images.txt": ("\n".join(lines) + "\n").encode(), "points3D.txt": b"# none\n"}


def distorted(files: Files) -> list[str]:
    """The models of the lenses in ``cameras.txt`` that are distorted."""
    return [model for _, _, model in _colmap_cameras(text_of(files, "cameras.txt")) if model]


def _colmap_cameras(text: str) -> Iterator[tuple[int, Tensor, str]]:
    """Number, lens, and its model where that is distorted, else ""."""
    for at, line in lines(text):
        words, where = line.split(), f"cameras.txt, line {at}"
        if len(words) < 4 or words[1] not in _COLMAP:
            raise ValueError(f"{where}: it must be CAMERA_ID MODEL WIDTH HEIGHT PARAMS with a model of {', '.join(_COLMAP)}")
        names = _COLMAP[words[1]].split()
        if len(words) != 4 + len(names) or not all(w.isascii() and w.isdigit() and len(w) < 10 for w in (words[0], *words[2:4])):
            raise ValueError(f"{where}: {words[1]} must have whole width and height and then {_COLMAP[words[1]]}")
        values = [number(w, where) for w in words[4:]]
        bent = any(v for n, v in zip(names, values, strict=True) if n == "k") or "FISHEYE" in words[1]
        size = (int(words[2]), int(words[3]))
        if min(size) < 1:
            raise ValueError(f"{where}: width and height must be positive")
        fx, fy, cx, cy = values[:4] if names[0] == "fx" else [values[0], *values[:3]]
        yield (
            int(words[0]),
            pixel_lens(torch.tensor([fx, fy, cx, cy], dtype=torch.float64), size, where),
            words[1] if bent else "",
        )
