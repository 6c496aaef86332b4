"""Dialects of matrices: DreamX's rows, HY-WorldPlay's JSON, LingBot-World's and Matrix-Game 3.5's arrays; and our own file."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dreamx.geometry.camera import Camera
from dreamx.geometry.formats.arrays import read_npy, read_npz, write_npy, write_npz
from dreamx.geometry.formats.keys import spread
from dreamx.geometry.formats.motion import (
    LONGEST,
    Files,
    Motion,
    MotionOptions,
    camera_of,
    dump,
    entry,
    grid,
    inverted,
    json_of,
    need_fps,
    need_size,
    numbers,
    pixel_lens,
    pose_rows,
    poses_of,
    real,
    refuse_unturned,
    rigid_rows,
    text_of,
)
from dreamx.plaintext import lines

FORMAT = "dreamx-trajectory-1"
HY_SIZE = (1920, 1080)  # pixels that HY-WorldPlay's lenses belong to
LINGBOT_SIZE = (832, 480)  # and LingBot-World's
_GROUP = 4  # video frames of a latent


def read_dreamx(files: Files, asked: MotionOptions) -> Motion:
    """Our own file: ``{"format", "fps", "lens": [4] or [T, 4], "poses": [T, 12]}``, camera-to-world, the upper 3x4 row by row."""
    data = json_of(files)
    if entry(data, "format", "it") != FORMAT:
        raise ValueError(f"format is not {FORMAT!r}; name the dialect of the file, or use the dreamx that wrote it")
    rows, lens = entry(data, "poses", "it"), entry(data, "lens", "it")
    if not isinstance(rows, list):
        raise ValueError("poses must be a list of rows of 12 numbers")
    poses = rigid_rows(grid(rows, len(rows), 12, "poses"))
    per_frame = isinstance(lens, list) and bool(lens) and isinstance(lens[0], list)
    lenses = grid(lens, len(rows), 4, "lens") if per_frame else grid([lens], 1, 4, "lens")[0]
    return Motion(
        camera_of(poses, torch.tensor(lenses, dtype=torch.float64)),
        asked.fps or real(entry(data, "fps", "it"), "fps"),
        _notes(data),
    )


def write_dreamx(motion: Motion, asked: MotionOptions) -> dict[str, bytes]:
    """Every number as it is."""
    lens = motion.camera.lens
    same = bool((lens == lens[:1]).all())
    return {
        "": dump(
            {
                "format": FORMAT,
                "fps": motion.fps,
                "lens": lens[0].tolist() if same else lens.tolist(),
                "poses": motion.camera.pose[:, :3].flatten(1).tolist(),
                "notes": list(motion.notes),
            }
        )
    }


def read_dreamx_rows(files: Files, asked: MotionOptions) -> Motion:
    """``frame fx fy cx cy 0 0 w2c[12]``, a line a video frame. The lenses are read; DreamX's own scripts ignore them."""
    says = "frame fx fy cx cy 0 0 and a world-to-camera matrix of 12"
    rows = torch.tensor([numbers(x, 19, f"line {i}", says) for i, x in lines(text_of(files))], dtype=torch.float64).reshape(
        -1, 19
    )
    return Motion(rows_camera(rows), asked.fps or 16.0)


def write_dreamx_rows(motion: Motion, asked: MotionOptions) -> dict[str, bytes]:
    """The same lines, frames counted from 0."""
    return {"": ("\n".join(f"{i} {x}" for i, x in enumerate(camera_rows(motion.camera))) + "\n").encode()}


def rows_camera(rows: Tensor) -> Camera:
    """Cameras from rows ``[T, 19]`` of RealEstate10K's layout."""
    return camera_of(inverted(rigid_rows(rows[:, 7:].tolist()), "its matrices"), rows[:, 1:5])


def camera_rows(camera: Camera) -> list[str]:
    """``fx fy cx cy 0 0 w2c[12]`` of each camera."""
    w2c = inverted(camera.pose, "the path")[:, :3].flatten(1).tolist()
    return [
        " ".join(f"{x!r}" for x in [*lens, 0, 0, *(v + 0.0 for v in row)])
        for lens, row in zip(camera.lens.tolist(), w2c, strict=True)
    ]


def read_hy_inference(files: Files, asked: MotionOptions) -> Motion:
    """``{"0": {"extrinsic": 4x4, "K": 3x3}, ...}`` in the order of the numbers: camera-to-world, one for each *latent*.

    n entries are 4 n - 3 video frames: those between are filled in. K is in pixels of a picture whose middle is (cx, cy).
    """
    data = json_of(files)
    notes: tuple[str, ...] = ()
    if isinstance(data, dict) and all(k.isascii() and k.isdigit() and len(k) < 8 for k in data):
        ordered = {k: data[k] for k in sorted(data, key=int)}
        if list(ordered) != list(data):
            notes = (
                "Its keys are not in the order of their numbers, in which they are taken; HY-WorldPlay takes them as they stand.",
            )
        data = ordered
    poses, lens = _hy(data, "extrinsic", "K", _hy_lens)
    latents = camera_of(poses_of(poses, "extrinsic"), lens)
    return Motion(spread_any(latents, _GROUP), asked.fps or 24.0, notes, _GROUP)


def write_hy_inference(motion: Motion, asked: MotionOptions) -> dict[str, bytes]:
    """The cameras of frames 0, 4, 8, ...; K in pixels of 1920 x 1080."""
    latents = _every(motion.camera, "hy-inference")
    return {"": dump({str(i): {"extrinsic": p, "K": k} for i, (p, k) in enumerate(_hy_rows(latents.pose, latents.lens))})}


def read_hy_training(files: Files, asked: MotionOptions) -> Motion:
    """``{"0": {"w2c": 4x4, "intrinsic": 3x3}, ...}`` keyed by video frame: *world-to-camera*.

    All frames, or those of the latents alone: 0, 4, 8, ...
    """
    data = json_of(files)
    if not isinstance(data, dict) or any(not (k.isascii() and k.isdigit() and len(k) < 8) for k in data):
        raise ValueError("it must be an object whose keys are the numbers of video frames")
    frames = sorted(map(int, data))
    if frames != list(range(0, len(frames) * _GROUP, _GROUP)) and frames != list(range(len(frames))):
        raise ValueError("its keys must be all video frames 0, 1, 2, ... or those of the latents 0, 4, 8, ...")
    ordered = {str(i): data[k] for i, k in ((int(k), k) for k in sorted(data, key=int))}
    poses, lens = _hy(ordered, "w2c", "intrinsic", _hy_lens)
    camera = camera_of(inverted(poses_of(poses, "w2c"), "w2c"), lens)
    every = _GROUP if len(frames) > 1 and frames[1] == _GROUP else 1
    return Motion(spread_any(camera, every) if every > 1 else camera, asked.fps or 24.0, (), every)


def write_hy_training(motion: Motion, asked: MotionOptions) -> dict[str, bytes]:
    """Every video frame."""
    c = motion.camera
    rows = _hy_rows(inverted(c.pose, "the path"), c.lens)
    return {"": dump({str(i): {"w2c": p, "intrinsic": k} for i, (p, k) in enumerate(rows)})}


def _hy(data: Any, pose: str, k: str, lens: Any) -> tuple[Tensor, Tensor]:
    if not isinstance(data, dict) or not 1 <= len(data) <= LONGEST:
        raise ValueError(f"it must be an object with an entry for each camera, which has {pose!r} and {k!r}")
    poses = [pose_rows(entry(v, pose, f"entry {n!r}"), f"entry {n!r}.{pose}") for n, v in data.items()]
    lenses = [lens(grid(entry(v, k, f"entry {n!r}"), 3, 3, f"entry {n!r}.{k}"), f"entry {n!r}.{k}") for n, v in data.items()]
    return torch.tensor(poses, dtype=torch.float64), torch.tensor(lenses, dtype=torch.float64)


def _hy_lens(k: list[list[float]], where: str) -> list[float]:
    """fx / (2 cx), fy / (2 cy) and the middle, as HY-WorldPlay reads it."""
    if min(k[0][0], k[1][1], k[0][2], k[1][2]) <= 0:
        raise ValueError(f"{where}: fx, fy, cx and cy must be positive pixels")
    return [k[0][0] / (2 * k[0][2]), k[1][1] / (2 * k[1][2]), 0.5, 0.5]


def _hy_rows(poses: Tensor, lens: Tensor) -> list[tuple[list[list[float]], list[list[float]]]]:
    if float((lens[:, 2:] - 0.5).abs().max()) > 1e-6:
        raise ValueError("HY-WorldPlay's lens is centred, and this one is not; use a dialect with cx and cy")
    w, h = HY_SIZE
    ks = [[[fx * w, 0.0, w / 2], [0.0, fy * h, h / 2], [0.0, 0.0, 1.0]] for fx, fy, _, _ in lens.tolist()]
    return list(zip((poses + 0.0).tolist(), ks, strict=True))


def read_lingbot(files: Files, asked: MotionOptions) -> Motion:
    """A folder with ``poses.npy`` [T, 4, 4], camera-to-world, and ``intrinsics.npy`` [T, 4] in pixels of 832 x 480.

    Poses [T, 3, 4] are read, too, and lenses [4], [3, 3] and [T, 3, 3].
    """
    poses = poses_of(read_npy(files["poses.npy"], "poses.npy"), "poses.npy")
    lens = lenses_of(read_npy(files["intrinsics.npy"], "intrinsics.npy"), len(poses), "intrinsics.npy")
    note = "LingBot-World divides the steps by the longest of them, so how fast this is does not reach its model."
    return Motion(camera_of(poses, pixel_lens(lens, LINGBOT_SIZE, "intrinsics.npy")), asked.fps or 16.0, (note,))


def write_lingbot(motion: Motion, asked: MotionOptions) -> dict[str, bytes]:
    """Float32, as its own."""
    w, h = LINGBOT_SIZE
    lens = motion.camera.lens * torch.tensor([w, h, w, h], dtype=torch.float64)
    return {"poses.npy": write_npy(motion.camera.pose.float()), "intrinsics.npy": write_npy(lens.float())}


def read_matrix_game_35(files: Files, asked: MotionOptions) -> Motion:
    """``.npz``: ``extrinsics_c2w`` (or ``extrinsics``) [N, 4, 4]; ``intrinsics`` in pixels: [4], [N, 4], [3, 3] or [N, 3, 3]."""
    return _matrix_game_35(files, asked, "matrix-game-3.5", False)


def read_matrix_game_35_w2c(files: Files, asked: MotionOptions) -> Motion:
    """The same under ``--camera-convention w2c``: the matrices are world-to-camera."""
    return _matrix_game_35(files, asked, "matrix-game-3.5-w2c", True)


def write_matrix_game_35(motion: Motion, asked: MotionOptions) -> dict[str, bytes]:
    """Camera-to-world; ``size`` says of which picture the pixels are."""
    return _write_matrix_game_35(motion, asked, "matrix-game-3.5", motion.camera.pose, "extrinsics_c2w")


def write_matrix_game_35_w2c(motion: Motion, asked: MotionOptions) -> dict[str, bytes]:
    """World-to-camera, under the name that claims nothing else."""
    poses = inverted(motion.camera.pose, "the path")
    return _write_matrix_game_35(motion, asked, "matrix-game-3.5-w2c", poses, "extrinsics")


def _write_matrix_game_35(motion: Motion, asked: MotionOptions, dialect: str, poses: Tensor, name: str) -> dict[str, bytes]:
    w, h = need_size(asked, dialect)
    return {"": write_npz({name: poses, "intrinsics": motion.camera.lens * torch.tensor([w, h, w, h], dtype=torch.float64)})}


def _matrix_game_35(files: Files, asked: MotionOptions, dialect: str, w2c: bool) -> Motion:
    size = need_size(asked, dialect)
    arrays = read_npz(files[""])
    name = next((n for n in ("extrinsics_c2w", "extrinsics") if n in arrays), None)
    if name is None or "intrinsics" not in arrays:
        raise ValueError(f"it has no {'intrinsics' if name else 'extrinsics_c2w'}; its arrays are {', '.join(arrays) or 'none'}")
    poses = poses_of(read_npy(arrays[name], name), name)
    k = lenses_of(read_npy(arrays["intrinsics"], "intrinsics"), len(poses), "intrinsics")
    poses = inverted(poses, name) if w2c else poses
    return Motion(camera_of(poses, pixel_lens(k, size, "intrinsics")), need_fps(asked, dialect))


def lenses_of(k: Tensor, frames: int, where: str) -> Tensor:
    """fx fy cx cy, ``[4]`` or ``[T, 4]``: one lens for all frames or one for each, given so or as matrices ``[3, 3]``."""
    while k.ndim > 2 and k.shape[0] == 1:
        k = k[0]
    found = k.double()
    if k.shape in ((3, 3), (frames, 3, 3)):
        if bool(((found[..., 2, :] - found.new_tensor([0.0, 0.0, 1.0])).abs() > 1e-6).any()):
            raise ValueError(f"{where}: the last row of a lens's matrix is not 0 0 1")
        found = torch.stack([found[..., 0, 0], found[..., 1, 1], found[..., 0, 2], found[..., 1, 2]], -1)
    if found.shape not in ((4,), (1, 4), (frames, 4)):
        says = f"[4], [{frames}, 4], [3, 3] or [{frames}, 3, 3]: fx fy cx cy, for all poses or for each"
        raise ValueError(f"{where} must be {says}, not {list(k.shape)}")
    bad = ~torch.isfinite(found).reshape(-1, 4).all(-1)
    if bool(bad.any()):
        raise ValueError(f"{where}: the lens of frame {int(bad.nonzero()[0])} holds NaN or infinity; every number must be finite")
    return found


def spread_any(camera: Camera, steps: int) -> Camera:
    """``keys.spread``, which needs rotations: ValueError, one sentence, where there are none."""
    refuse_unturned(camera)
    return spread(camera, steps)


def _every(camera: Camera, dialect: str) -> Camera:
    if (len(camera) - 1) % _GROUP:
        raise ValueError(f"{dialect} has a camera for each latent: it needs 4 k + 1 frames, and this path has {len(camera)}")
    return camera[::_GROUP]


def _notes(data: Any) -> tuple[str, ...]:
    notes = data.get("notes", [])
    return tuple(str(n)[:500] for n in notes[:20]) if isinstance(notes, list) else ()
