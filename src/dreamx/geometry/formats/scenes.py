"""Dialects of data sets and of pose estimators: RealEstate10K, COLMAP, DL3DV, MegaSaM, KITTI."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from dreamx.geometry.formats.arrays import read_npy, read_npz, shape_of, write_npz
from dreamx.geometry.formats.motion import (
    LONGEST,
    Asked,
    Files,
    Motion,
    camera_of,
    dump,
    entry,
    grid,
    inverted,
    json_of,
    need_fps,
    need_size,
    number,
    numbers,
    one_lens,
    pixel_lens,
    poses_of,
    real,
    rigid_rows,
    text_of,
)
from dreamx.geometry.formats.poses import camera_rows, matrix_lens, rows_camera
from dreamx.geometry.path import matrices, quaternions

# Models of COLMAP that are a pinhole when the numbers after these are zero.
_COLMAP = {
    "SIMPLE_PINHOLE": "f cx cy", "PINHOLE": "fx fy cx cy", "SIMPLE_RADIAL": "f cx cy k", "RADIAL": "f cx cy k k",
    "OPENCV": "fx fy cx cy k k k k",
}  # fmt: skip
_OPENGL = torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64)  # y up and z back <-> y down and z forward


def read_realestate10k(files: Files, asked: Asked) -> Motion:
    """An address, then ``microseconds fx fy cx cy 0 0 w2c[12]`` a line; the times give the frames a second."""
    lines = [x for x in text_of(files).splitlines() if x.strip()]
    if not lines or len(lines[0].split()) != 1:
        raise ValueError("its first line must be the address of the video, alone; without one it is dreamx-rows")
    says = "microseconds fx fy cx cy 0 0 and a world-to-camera matrix of 12"
    rows = [numbers(x, 19, f"line {i}", says) for i, x in enumerate(lines[1:], 2)]
    if not rows:
        raise ValueError("there are no cameras in it; a trajectory has at least one")
    table = torch.tensor(rows, dtype=torch.float64)
    gaps = table[1:, 0] - table[:-1, 0]
    if bool((gaps <= 0).any()):
        raise ValueError(f"line {int((gaps <= 0).nonzero()[0]) + 3}: its time is not after that of the line before")
    if asked.fps is None and not len(gaps):
        raise ValueError("it has one frame, so its times give no frames a second; give fps")
    return Motion(rows_camera(table), asked.fps or 1e6 / float(gaps.median()))


def write_realestate10k(motion: Motion, asked: Asked) -> dict[str, bytes]:
    """The same lines; the address is ``caption``, or a dash."""
    address = "".join(asked.caption.split()) or "-"
    times = [round(i * 1e6 / motion.fps) for i in range(len(motion.camera))]
    lines = [f"{t} {x}" for t, x in zip(times, camera_rows(motion.camera), strict=True)]
    return {"": ("\n".join([address, *lines]) + "\n").encode()}


def read_colmap(files: Files, asked: Asked) -> Motion:
    """A folder with ``cameras.txt`` and ``images.txt``: world-to-camera quaternions, in the order of the pictures' names."""
    fps = need_fps(asked, "colmap")
    lenses = dict(_colmap_cameras(text_of(files, "cameras.txt")))
    images: list[tuple[str, list[float], int]] = []
    lines = ((i, x) for i, x in enumerate(text_of(files, "images.txt").splitlines(), 1) if not x.lstrip().startswith("#"))
    for at, line in lines:
        if not line.strip():
            continue
        words, where = line.split(maxsplit=9), f"images.txt, line {at}"
        if len(words) != 10:
            raise ValueError(f"{where}: it must be IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME")
        lens = int(number(words[8], where)) if words[8].isdigit() else -1
        if lens not in lenses:
            raise ValueError(f"{where}: cameras.txt has no camera {words[8][:20]}")
        images.append((words[9], [number(w, where) for w in words[1:8]], lens))
        next(lines, None)  # the line of points after each
    if not images:
        raise ValueError("images.txt has no pictures in it")
    images.sort(key=lambda x: x[0])
    table = torch.tensor([x for _, x, _ in images], dtype=torch.float64)
    q = table[:, :4]
    if bool(((q.norm(dim=-1) - 1).abs() > 1e-2).any()):
        at = int(((q.norm(dim=-1) - 1).abs() > 1e-2).nonzero()[0])
        raise ValueError(f"images.txt: the quaternion of {images[at][0]!r} has not the length 1")
    w2c = torch.cat([matrices(q / q.norm(dim=-1, keepdim=True)), table[:, 4:, None]], -1)
    poses = inverted(rigid_rows(w2c.flatten(1).tolist()), "images.txt")
    return Motion(camera_of(poses, torch.stack([lenses[k] for _, _, k in images])), fps)


def write_colmap(motion: Motion, asked: Asked) -> dict[str, bytes]:
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


def _colmap_cameras(text: str) -> Iterator[tuple[int, Tensor]]:
    for at, line in enumerate(text.splitlines(), 1):
        words, where = line.split(), f"cameras.txt, line {at}"
        if not words or words[0].startswith("#"):
            continue
        if len(words) < 4 or words[1] not in _COLMAP:
            raise ValueError(f"{where}: it must be CAMERA_ID MODEL WIDTH HEIGHT PARAMS with a model of {', '.join(_COLMAP)}")
        names = _COLMAP[words[1]].split()
        if len(words) != 4 + len(names) or not all(w.isascii() and w.isdigit() and len(w) < 10 for w in (words[0], *words[2:4])):
            raise ValueError(f"{where}: {words[1]} must have whole width and height and then {_COLMAP[words[1]]}")
        values = [number(w, where) for w in words[4:]]
        if any(v for n, v in zip(names, values, strict=True) if n == "k"):
            raise ValueError(f"{where}: the lens is distorted; undistort the pictures first (colmap image_undistorter)")
        size = (int(words[2]), int(words[3]))
        if min(size) < 1:
            raise ValueError(f"{where}: width and height must be positive")
        fx, fy, cx, cy = values[:4] if names[0] == "fx" else [values[0], *values[:3]]
        yield int(words[0]), pixel_lens(torch.tensor([fx, fy, cx, cy], dtype=torch.float64), size, where)


def read_dl3dv(files: Files, asked: Asked) -> Motion:
    """``transforms.json`` of DL3DV and nerfstudio: camera-to-world with OpenGL's axes (y up, z back), in its list's order."""
    fps, data = need_fps(asked, "dl3dv"), json_of(files)
    frames = entry(data, "frames", "it")
    if not isinstance(frames, list) or not 1 <= len(frames) <= LONGEST:
        raise ValueError(f"frames must be a list of 1 to {LONGEST} frames")
    poses: list[list[list[float]]] = []
    lenses: list[Tensor] = []
    for i, frame in enumerate(frames):
        where = f"frames.{i}"
        poses.append(grid(entry(frame, "transform_matrix", where), 4, 4, f"{where}.transform_matrix"))
        for distortion in ("k1", "k2", "k3", "k4", "p1", "p2"):
            if real(frame.get(distortion, data.get(distortion, 0)), distortion):
                raise ValueError(f"{distortion} is not 0: the lens is distorted; undistort the pictures first")
        w, h, *k = (_either(frame, data, n, where) for n in ("w", "h", "fl_x", "fl_y", "cx", "cy"))
        if min(w, h) < 1 or w != int(w) or h != int(h):
            raise ValueError(f"{where}: w and h must be positive whole numbers of pixels")
        lenses.append(pixel_lens(torch.tensor(k, dtype=torch.float64), (int(w), int(h)), where))
    opengl = poses_of(torch.tensor(poses, dtype=torch.float64), "transform_matrix")
    return Motion(camera_of(opengl * _OPENGL, torch.stack(lenses)), fps)


def write_dl3dv(motion: Motion, asked: Asked) -> dict[str, bytes]:
    """One lens for all frames; ``size`` says of which picture the pixels are."""
    w, h = need_size(asked, "dl3dv")
    fx, fy, cx, cy = one_lens(motion.camera, "dl3dv")
    poses = (motion.camera.pose * _OPENGL + 0.0).tolist()
    frames = [{"file_path": f"images/frame_{i:05d}.png", "transform_matrix": p} for i, p in enumerate(poses)]
    lens = {"w": w, "h": h, "fl_x": fx * w, "fl_y": fy * h, "cx": cx * w, "cy": cy * h}
    return {"": dump({**lens, "k1": 0.0, "k2": 0.0, "p1": 0.0, "p2": 0.0, "camera_model": "OPENCV", "frames": frames})}


def _either(frame: dict[str, Any], data: dict[str, Any], name: str, where: str) -> float:
    """A number of a frame's lens, or else that of all frames."""
    return real(frame[name], f"{where}.{name}") if name in frame else real(entry(data, name, "it"), name)


def read_megasam(files: Files, asked: Asked) -> Motion:
    """``.npz`` with ``cam_c2w`` [N, 4, 4] and ``intrinsic`` [3, 3] in pixels of its ``images`` [N, H, W, 3] (or ``depths``)."""
    arrays = read_npz(files[""])
    for name in ("cam_c2w", "intrinsic"):
        if name not in arrays:
            raise ValueError(f"it has no {name}; its arrays are {', '.join(arrays) or 'none'}")
    poses = poses_of(read_npy(arrays["cam_c2w"], "cam_c2w"), "cam_c2w")
    k = read_npy(arrays["intrinsic"], "intrinsic")
    if k.shape != (3, 3):
        raise ValueError(f"intrinsic must be [3, 3], not {list(k.shape)}")
    pictures = next((n for n in ("images", "depths") if n in arrays), None)
    if asked.size is None and pictures is not None:
        shape = shape_of(arrays[pictures], pictures)
        if len(shape) < 3 or min(shape[1:3]) < 1:
            raise ValueError(f"{pictures} must be [N, H, W], not {list(shape)}; or give size")
        size = (shape[2], shape[1])
    else:
        size = need_size(asked, "megasam")
    return Motion(camera_of(poses, pixel_lens(matrix_lens(k), size, "intrinsic")), need_fps(asked, "megasam"))


def write_megasam(motion: Motion, asked: Asked) -> dict[str, bytes]:
    """Cameras without pictures; ``size`` says of which picture the pixels are."""
    w, h = need_size(asked, "megasam")
    fx, fy, cx, cy = one_lens(motion.camera, "megasam")
    k = torch.tensor([[fx * w, 0, cx * w], [0, fy * h, cy * h], [0, 0, 1]], dtype=torch.float64)
    return {"": write_npz({"cam_c2w": motion.camera.pose, "intrinsic": k})}


def read_kitti(files: Files, asked: Asked) -> Motion:
    """Twelve numbers a line, the upper 3x4 of camera-to-world. A lens and time must be given."""
    if asked.lens is None:
        raise ValueError("kitti has no lens; give lens, fx fy cx cy as shares of width and height")
    lines = [x for x in text_of(files).splitlines() if x.strip()]
    rows = [numbers(x, 12, f"line {i}", "the upper 3x4 of a camera-to-world matrix") for i, x in enumerate(lines, 1)]
    return Motion(camera_of(rigid_rows(rows), asked.lens), need_fps(asked, "kitti"))


def write_kitti(motion: Motion, asked: Asked) -> dict[str, bytes]:
    """Poses alone: the lens is left out."""
    rows: Sequence[list[float]] = (motion.camera.pose[:, :3].flatten(1) + 0.0).tolist()
    return {"": ("\n".join(" ".join(map(repr, row)) for row in rows) + "\n").encode()}
