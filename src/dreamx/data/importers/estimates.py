"""Readers of what pose estimators write: MegaSaM, VGGT, COLMAP. Each lists its shots, and opens one, as ``datasets`` does."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamx.data.importers.datasets import PICTURES, Listed, below
from dreamx.data.importers.source_shot import SourceShot
from dreamx.geometry.camera import Camera, se3_inverse
from dreamx.geometry.formats import MotionOptions, read
from dreamx.geometry.formats.arrays import refuse_npz_bomb
from dreamx.geometry.formats.motion import rigid_rows
from dreamx.geometry.formats.scenes import distorted
from dreamx.plaintext import cause, decode, lines, natural

_CAMERAS = 2**21  # numbers of all cameras of a shot: two hours at 16 frames a second


def megasam(folder: Path, rate: float | None) -> Listed:
    """``*.npz`` with images, depths, intrinsic and cam_c2w: ``SCENE_droid.npz`` or ``SCENE_sgd_cvd_hr.npz``."""
    for path in sorted(folder.rglob("*.npz")):
        yield below(path.with_suffix(""), folder), partial(_megasam, path, rate)


def _megasam(path: Path, rate: float | None) -> SourceShot:
    arrays = _arrays(path)
    motion = read("megasam", {"": path.read_bytes()}, MotionOptions(fps=_need(rate)), broken=True)
    if "images" not in arrays:
        raise ValueError("it has no images, and so there is nothing to see")
    images = _pictures(arrays["images"], "images")
    depth = torch.from_numpy(arrays["depths"].astype(np.float32)) if "depths" in arrays else None
    _together(len(motion.camera), len(images), depth)
    return SourceShot(images, motion.camera, None, rate, depth=depth)


def vggt(folder: Path, rate: float | None) -> Listed:
    """``**/predictions.npz``: extrinsic [S, 3, 4] world-to-camera, intrinsic [S, 3, 3] in pixels, images, depth [S, H, W, 1]."""
    for path in sorted(folder.rglob("*.npz")):
        yield below(path.parent if path.stem == "predictions" else path.with_suffix(""), folder), partial(_vggt, path, rate)


def _vggt(path: Path, rate: float | None) -> SourceShot:
    arrays = _arrays(path)
    if missing := [k for k in ("extrinsic", "intrinsic", "images") if k not in arrays]:
        raise ValueError(f"it has no {missing[0]}; its arrays are {', '.join(arrays) or 'none'}")
    if large := [n for n in ("extrinsic", "intrinsic") if arrays[n].size > _CAMERAS]:
        raise ValueError(f"{large[0]} has {arrays[large[0]].size} numbers, too many for cameras")
    e, k = (torch.from_numpy(arrays[n].astype(np.float64)) for n in ("extrinsic", "intrinsic"))
    images = _pictures(arrays["images"], "images")
    depth = torch.from_numpy(arrays["depth"].astype(np.float32)).squeeze(-1) if "depth" in arrays else None
    if e.ndim != 3 or e.shape[1:] not in ((3, 4), (4, 4)) or k.shape != (len(e), 3, 3):
        raise ValueError(f"extrinsic must be [S, 3, 4] and intrinsic [S, 3, 3], not {list(e.shape)} and {list(k.shape)}")
    _together(len(e), len(images), depth)
    h, w = images.shape[2:]
    lens = torch.stack([k[:, 0, 0] / w, k[:, 1, 1] / h, k[:, 0, 2] / w, k[:, 1, 2] / h], -1)
    pose = rigid_rows(e[:, :3].flatten(1).tolist())
    return SourceShot(images, Camera(se3_inverse(pose), lens), None, _need(rate), depth=depth)


def colmap(folder: Path, rate: float | None) -> Listed:
    """``SCENE/sparse/0`` (or ``sparse``) as text or, with pycolmap, as ``.bin``, and ``SCENE/images`` beside it."""
    found = sorted({p.parent for n in ("images.txt", "images.bin") for p in folder.rglob(n)})
    for model in found:
        scene = model.parent.parent if model.name.isdigit() else model.parent
        yield below(scene, folder), partial(_colmap, model, scene / "images", rate)


def _colmap(model: Path, images: Path, rate: float | None) -> SourceShot:
    files = _model(model)
    motion = read("colmap", files, MotionOptions(fps=_need(rate)), broken=True)
    if bent := distorted(files):
        raise ValueError(f"its lens is distorted ({bent[0]}); undistort the pictures first (colmap image_undistorter)")
    rows = [x.split(maxsplit=9) for _, x in lines(decode(files["images.txt"], "images.txt"))]
    registered = {x[9] for x in rows if len(x) == 10 and Path(x[9]).suffix}
    found = (p for p in images.rglob("*") if p.suffix.lower() in PICTURES) if images.is_dir() else ()
    pictures = sorted(found, key=lambda p: natural(p.relative_to(images).as_posix()))
    at = [i for i, p in enumerate(pictures) if p.relative_to(images).as_posix() in registered]
    if len(at) != len(motion.camera):
        raise ValueError(f"{images.name} lacks the pictures of {len(motion.camera) - len(at)} of {len(motion.camera)} cameras")
    # Pictures that COLMAP gave up on lie between others, and get their cameras from these.
    return SourceShot(tuple(pictures), motion.camera, torch.tensor(at, dtype=torch.float64), rate)


def _model(model: Path) -> dict[str, bytes]:
    """The two text files of a model; from ``.bin`` by pycolmap."""
    if (model / "images.txt").is_file() and (model / "cameras.txt").is_file():
        return {n: (model / n).read_bytes() for n in ("images.txt", "cameras.txt")}
    try:
        import pycolmap
    except ImportError as e:
        raise ValueError(f"{model.name} is binary, which pycolmap reads ({e}); pip install '.[colmap]' in the checkout") from None
    try:
        with tempfile.TemporaryDirectory() as text:
            pycolmap.Reconstruction(str(model)).write_text(text)
            return {n: (Path(text) / n).read_bytes() for n in ("images.txt", "cameras.txt")}
    except (RuntimeError, ValueError, OSError) as e:
        raise ValueError(f"{model.name} is no model of COLMAP that can be read ({cause(e)})") from None


def _arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    """Plain arrays of an ``.npz``; nothing is unpickled."""
    with path.open("rb") as f:
        refuse_npz_bomb(f, path.stat().st_size, path.name)
    try:
        with np.load(path, allow_pickle=False) as file:
            return {k: x for k in file.files if (x := file[k]).dtype.kind in "biuf"}
    except Exception as e:  # numpy raises what zip, zlib and its own parser raise
        raise ValueError(f"{path.name} is not a whole .npz file of plain numbers ({cause(e)}); copy it again") from None


def _pictures(x: NDArray[np.generic], name: str) -> Tensor:
    """``[N, H, W, 3]`` bytes, or ``[N, 3, H, W]`` of 0 to 1, as uint8 ``[N, 3, H, W]``."""
    t = torch.from_numpy(np.ascontiguousarray(x))
    if t.ndim != 4 or 3 not in (t.shape[1], t.shape[3]) or not len(t):
        raise ValueError(f"{name} must be [N, H, W, 3], not {list(t.shape)}")
    t = t if t.shape[1] == 3 else t.permute(0, 3, 1, 2)
    return t if t.dtype == torch.uint8 else (t.float() * 255).round().clamp(0, 255).to(torch.uint8)


def _together(cameras: int, pictures: int, depth: Tensor | None) -> None:
    if cameras != pictures or (depth is not None and (depth.ndim != 3 or len(depth) != pictures)):
        deep = "" if depth is None else f" and depth {list(depth.shape)}"
        raise ValueError(f"rows are missing: {cameras} cameras, {pictures} pictures{deep} do not go together")


def _need(rate: float | None) -> float:
    if rate is None:
        raise ValueError("it says nothing about time; give rate, the frames a second of its video")
    return rate
