"""Dialects of pose estimators: TUM's and KITTI's rows, ViPE's and MegaSaM's arrays."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamx.geometry.camera import OFFICIAL_LENS
from dreamx.geometry.formats.arrays import read_npy, read_npz, shape_of, write_npz
from dreamx.geometry.formats.motion import (
    Files,
    Motion,
    MotionOptions,
    camera_of,
    need_fps,
    need_size,
    numbers,
    pixel_lens,
    poses_of,
    rigid_rows,
    text_of,
    unit_quaternions,
)
from dreamx.geometry.formats.poses import lenses_of
from dreamx.geometry.formats.timed import by_numbers, by_times
from dreamx.geometry.path import matrices, quaternions
from dreamx.plaintext import lines

#: Words of one row of KITTI, and where its matrix begins: rows of 3x4 or 4x4, with a frame number in front or without.
_KITTI = {12: 0, 13: 1, 16: 0, 17: 1}


def read_tum(files: Files, asked: MotionOptions) -> Motion:
    """``time tx ty tz qx qy qz qw``, a line a camera, camera-to-world: DROID-SLAM, ORB-SLAM, MASt3R-SLAM, evo."""
    said = lines(text_of(files))
    names = [f"line {i}" for i, _ in said]
    says = "time tx ty tz qx qy qz qw"
    table = torch.tensor([numbers(x, 8, n, says) for n, (_, x) in zip(names, said, strict=True)], dtype=torch.float64).reshape(
        -1, 8
    )
    if not len(table):
        raise ValueError("there are no cameras in it; a trajectory has at least one")
    q = unit_quaternions(table[:, [7, 4, 5, 6]], names)
    poses = rigid_rows(torch.cat([matrices(q), table[:, 1:4, None]], -1).flatten(1).tolist())
    lens, notes = _lens(asked)
    camera, fps, more = by_times(camera_of(poses, lens), table[:, 0].tolist(), names, asked)
    return Motion(camera, fps, (*notes, *more))


def write_tum(motion: Motion, asked: MotionOptions) -> dict[str, bytes]:
    """Times in seconds and poses: the lens is left out."""
    q = quaternions(motion.camera.pose[:, :3, :3])[:, [1, 2, 3, 0]]
    rows = torch.cat([motion.camera.pose[:, :3, 3], q], 1).tolist()
    text = "".join(f"{i / motion.fps!r} {' '.join(map(repr, row))}\n" for i, row in enumerate(rows))
    return {"": ("# timestamp tx ty tz qx qy qz qw\n" + text).encode()}


def read_kitti(files: Files, asked: MotionOptions) -> Motion:
    """12 numbers a line, the upper 3x4 of camera-to-world, or 16, maybe after a frame number. A lens and time must be given."""
    if asked.lens is None:
        raise ValueError("kitti has no lens; give lens, fx fy cx cy as shares of width and height")
    said = lines(text_of(files))
    names = [f"line {i}" for i, _ in said]
    width = len(said[0][1].replace(",", " ").split()) if said else 12
    says = "the upper 3x4 of a camera-to-world matrix, with a frame number before it or without"
    count = width if width in _KITTI else 12
    rows = [numbers(x, count, n, says) for n, (_, x) in zip(names, said, strict=True)]
    at = _KITTI[count]
    for name, row in zip(names, rows, strict=True):
        if at and row[0] != int(row[0]):
            raise ValueError(f"{name}: it begins with {row[0]:g}, which is no frame number")
        if row[at + 12 :] not in ([], [0.0, 0.0, 0.0, 1.0]):
            raise ValueError(f"{name}: the last row of its matrix is not 0 0 0 1, so it is no camera pose")
    camera = camera_of(rigid_rows([row[at : at + 12] for row in rows]), asked.lens)
    notes: tuple[str, ...] = ()
    if at and rows:
        camera, notes = by_numbers(camera, [row[0] for row in rows], names)
    return Motion(camera, need_fps(asked, "kitti"), notes)


def write_kitti(motion: Motion, asked: MotionOptions) -> dict[str, bytes]:
    """Poses alone: the lens is left out."""
    rows: Sequence[list[float]] = (motion.camera.pose[:, :3].flatten(1) + 0.0).tolist()
    return {"": ("\n".join(" ".join(map(repr, row)) for row in rows) + "\n").encode()}


def read_vipe(files: Files, asked: MotionOptions) -> Motion:
    """``pose/NAME.npz`` with ``data`` [N, 4, 4] camera-to-world and the frame numbers ``inds`` [N].

    Its lenses are in ``intrinsics/NAME.npz`` (``data`` [N, 4] in pixels), which is read where it is found. Their picture is
    ``size``, or as large as has the principal point in its middle.
    """
    data, inds = _vipe(files[""], "the file of poses")
    poses = poses_of(data, "data")
    names = [f"frame {i}" for i in range(len(poses))]
    if inds.shape != (len(poses),):
        raise ValueError(f"inds must be [{len(poses)}], a frame number for each pose, not {list(inds.shape)}")
    lens, notes = _lens(asked)
    if asked.lens is None and "intrinsics" in files:
        k, theirs = _vipe(files["intrinsics"], "the file of lenses")
        if theirs.shape != inds.shape or not bool((theirs == inds).all()):
            raise ValueError("the file of lenses has other inds than that of the poses; name those of one video")
        k = lenses_of(k[:, :4] if k.ndim == 2 else k, len(poses), "data of the file of lenses")
        size = asked.size
        if size is None:
            size = (max(1, round(2 * float(k[..., 2].median()))), max(1, round(2 * float(k[..., 3].median()))))
            notes = (
                f"Its lenses are taken for those of pictures of {size[0]} x {size[1]}, whose middle they have; else give size.",
            )
        else:
            notes = ()
        lens = pixel_lens(k, size, "data of the file of lenses")
    camera, more = by_numbers(camera_of(poses, lens), inds.double().tolist(), names)
    return Motion(camera, need_fps(asked, "vipe"), (*notes, *more))


def write_vipe(motion: Motion, asked: MotionOptions) -> dict[str, bytes]:
    """Poses alone: the lens is left out."""
    return {"": write_npz({"data": motion.camera.pose, "inds": torch.arange(len(motion.camera))})}


def _vipe(data: bytes, name: str) -> tuple[Tensor, Tensor]:
    arrays = read_npz(data, name)
    for key in ("data", "inds"):
        if key not in arrays:
            raise ValueError(f"{name} has no {key}; its arrays are {', '.join(arrays) or 'none'}")
    return read_npy(arrays["data"], "data"), read_npy(arrays["inds"], "inds")


def read_megasam(files: Files, asked: MotionOptions) -> Motion:
    """``.npz`` with ``cam_c2w`` [N, 4, 4] and ``intrinsic`` [3, 3], or one a frame, in pixels of ``images`` (or ``depths``)."""
    arrays = read_npz(files[""])
    for name in ("cam_c2w", "intrinsic"):
        if name not in arrays:
            raise ValueError(f"it has no {name}; its arrays are {', '.join(arrays) or 'none'}")
    poses = poses_of(read_npy(arrays["cam_c2w"], "cam_c2w"), "cam_c2w")
    k = lenses_of(read_npy(arrays["intrinsic"], "intrinsic"), len(poses), "intrinsic")
    pictures = next((n for n in ("images", "depths") if n in arrays), None)
    if asked.size is None and pictures is not None:
        shape = shape_of(arrays[pictures], pictures)
        if len(shape) < 3 or min(shape[1:3]) < 1:
            raise ValueError(f"{pictures} must be [N, H, W], not {list(shape)}; or give size")
        size = (shape[2], shape[1])
    else:
        size = need_size(asked, "megasam")
    return Motion(camera_of(poses, pixel_lens(k, size, "intrinsic")), need_fps(asked, "megasam"))


def write_megasam(motion: Motion, asked: MotionOptions) -> dict[str, bytes]:
    """Cameras without pictures; ``size`` says of which picture the pixels are."""
    w, h = need_size(asked, "megasam")
    k = torch.zeros(len(motion.camera), 3, 3, dtype=torch.float64)
    fx, fy, cx, cy = motion.camera.lens.double().unbind(-1)
    k[:, 0, 0], k[:, 1, 1], k[:, 0, 2], k[:, 1, 2], k[:, 2, 2] = fx * w, fy * h, cx * w, cy * h, 1.0
    return {"": write_npz({"cam_c2w": motion.camera.pose, "intrinsic": k[0] if bool((k == k[:1]).all()) else k})}


def _lens(asked: MotionOptions) -> tuple[Sequence[float], tuple[str, ...]]:
    """The lens that was asked for, or the official one and a note."""
    if asked.lens is not None:
        return asked.lens, ()
    fx, fy, _, _ = OFFICIAL_LENS
    return OFFICIAL_LENS, (f"It has no lens; DreamX's own, {fx:.3f} {fy:.3f} 0.5 0.5, is taken for it; else give lens.",)
