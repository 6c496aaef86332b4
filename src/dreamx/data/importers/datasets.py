"""Readers of published data sets, by the files as they lie on the disk: each lists its shots, and opens one.

A reader is a function of a folder that gives the name of every shot and what opens it; opening raises ValueError, one sentence,
for a shot that is broken. Nothing is opened before it is needed: such folders hold hundreds of thousands.
"""

from __future__ import annotations

import csv
import glob
import io
import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dreamx.data.importers.source_shot import SourceShot, film_frames
from dreamx.geometry.camera import Camera, rigid, se3_inverse
from dreamx.geometry.formats import MotionOptions, read
from dreamx.geometry.formats.arrays import read_npy, read_npz
from dreamx.geometry.formats.motion import rigid_rows
from dreamx.geometry.formats.transforms import bends, by_name
from dreamx.geometry.path import matrices
from dreamx.plaintext import cause, lines, parse_json, read_json, read_text
from dreamx.video_reader import VIDEO_ENDINGS

Listed = Iterator[tuple[str, Callable[[], SourceShot]]]
PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".avif", ".heic", ".heif"}


def realestate10k(folder: Path, rate: float | None) -> Listed:
    """``**/HASH.txt``, and of each ``videos/YOUTUBE_ID.mp4`` or ``frames/**/HASH/MICROSECONDS.png``."""
    frames = {p.name: p for p in folder.glob("frames/**/*") if p.is_dir()}
    for path in sorted(folder.rglob("*.txt")):
        if not path.stem.lower().startswith(("licen", "readme")):
            yield path.stem, partial(_realestate10k, path, folder, frames.get(path.stem))


def _realestate10k(path: Path, folder: Path, frames: Path | None) -> SourceShot:
    motion = read("realestate10k", {"": path.read_bytes()}, MotionOptions(), broken=True)
    rows = lines(read_text(path))
    times = torch.tensor([float(x.replace(",", " ").split()[0]) for _, x in rows[1:]], dtype=torch.float64) / 1e6
    gaps = times.diff()
    if len(gaps) and float(gaps.max()) > max(0.5, 5 * float(gaps.median())):
        raise ValueError(f"rows are missing: {float(gaps.max()):.2f} s lie between two of its cameras")
    if frames is not None:
        found = {int(p.stem): p for p in frames.iterdir() if p.suffix.lower() in PICTURES and p.stem.isdigit()}
        keys = [round(float(t) * 1e6) for t in times]
        if missing := [k for k in keys if k not in found]:
            raise ValueError(f"{frames.name} lacks the pictures of {len(missing)} of {len(keys)} cameras")
        return SourceShot(tuple(found[k] for k in keys), motion.camera, None, motion.fps)
    name = rows[0][1].rsplit("v=", 1)[-1].rsplit("/", 1)[-1]
    video = film_named(folder / "videos", name)
    if video is None:
        raise ValueError(f"there is neither videos/{name}.mp4 (nor with another ending of films) nor a folder of its frames")
    return SourceShot(video, motion.camera, None, None, seconds=times)


def film_named(folder: Path, name: str) -> Path | None:
    """The film ``name`` in a folder, whatever its ending and however that is written; of several the usual ending's."""
    found = {p.suffix.lower(): p for p in sorted(folder.glob(f"{glob.escape(name)}.*"), reverse=True) if p.stem == name}
    return next((found[e] for e in VIDEO_ENDINGS if e in found), None)


def dl3dv(folder: Path, rate: float | None) -> Listed:
    """``SUBSET/HASH/transforms.json`` with ``images_8``, ``images_4`` or ``images`` beside it."""
    for path in sorted(folder.rglob("transforms.json")):
        yield below(path.parent, folder), partial(_dl3dv, path, rate)


def below(path: Path, folder: Path) -> str:
    """The name of a shot by where it lies: two of one name in different folders are two. ``listed`` makes it short."""
    return path.relative_to(folder).as_posix() if path != folder else folder.resolve().name


def _dl3dv(path: Path, rate: float | None) -> SourceShot:
    data = _json(path)
    bend = tuple(float(data.get(k, 0.0)) for k in ("k1", "k2", "p1", "p2"))
    flat = json.dumps({**data, "k1": 0, "k2": 0, "p1": 0, "p2": 0}).encode()  # the pictures are made straight below
    motion = read("dl3dv", {"": flat}, MotionOptions(fps=_need(rate)), broken=True)
    if other := bends(parse_json(flat)):
        raise ValueError(f"its lens is distorted by {other[0]}, which is not made straight here; undistort the pictures first")
    order = by_name(data["frames"])  # in which the cameras are
    if order is None:
        raise ValueError("a frame of transforms.json has no file_path, so its picture is not known")
    names = [Path(str(data["frames"][i]["file_path"])).name for i in order]
    here = next((d for n in ("images_8", "images_4", "images_2", "images") if (d := path.parent / n).is_dir()), None)
    if here is None:
        raise ValueError("there is no folder images_8, images_4, images_2 or images beside transforms.json")
    if missing := [n for n in names if not (here / n).is_file()]:
        raise ValueError(f"{here.name} lacks {len(missing)} of {len(names)} pictures, the first {missing[0]!r}")
    return SourceShot(tuple(here / n for n in names), motion.camera, None, rate, bend=(bend[0], bend[1], bend[2], bend[3]))


def sekai(folder: Path, rate: float | None, style: str = "photoreal") -> Listed:
    """``*.csv`` with videoFile, cameraFile, caption, ...; films and ``.npz`` cameras where it says, or anywhere below."""
    films = _by_name(p for p in folder.rglob("*") if p.suffix.lower() in VIDEO_ENDINGS)
    cameras = _by_name(folder.rglob("*.npz"))
    for row in _rows(folder, "videoFile"):
        video = row["videoFile"].replace("\\", "/")
        camera = (row.get("cameraFile") or "").replace("\\", "/") or Path(video).with_suffix(".npz").as_posix()
        found = _told(films, video, folder), _told(cameras, camera, folder)
        yield Path(video).with_suffix("").as_posix().lstrip("./"), partial(_sekai, *found, row, style)


def _by_name(paths: Iterable[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for p in sorted(paths):
        found.setdefault(p.name.lower(), []).append(p)
    return found


def _told(known: dict[str, list[Path]], where: str, folder: Path) -> list[Path]:
    """The files that a table may mean by ``where``: those whose path ends so, else all of that name."""
    there = known.get(where.rpartition("/")[2].lower(), [])
    ends = [p for p in there if f"/{p.relative_to(folder).as_posix()}".lower().endswith(f"/{where.lstrip('./').lower()}")]
    return [p for p in there if p == folder / where] or ends or there


def sekai_game(folder: Path, rate: float | None) -> Listed:
    """The same files of Sekai-Game."""
    return sekai(folder, rate, "game")


def _sekai(videos: list[Path], cameras: list[Path], row: dict[str, str], style: str) -> SourceShot:
    for what, found in (("video", videos), ("camera", cameras)):
        if not found:
            raise ValueError(f"its {what} is not in the folder")
        if len(found) > 1:
            raise ValueError(
                f"{len(found)} files could be its {what}, all called {found[0].name}; name it with its folder in the table"
            )
    video, camera = videos[0], cameras[0]
    arrays = read_npz(camera.read_bytes(), camera.name)
    key = next((k for k in ("extrinsic", "cam_c2w") if k in arrays), None)
    if key is None or "intrinsic" not in arrays:
        raise ValueError(
            f"{camera.name} must hold extrinsic (or cam_c2w) and intrinsic; it holds {', '.join(arrays) or 'nothing'}"
        )
    pose = _square(read_npy(arrays[key], key))
    k = read_npy(arrays["intrinsic"], "intrinsic").double()
    k = k if k.ndim == 3 else k[None].expand(len(pose), *k.shape)
    frames, size = film_frames(video)
    if len(k) != len(pose) or abs(frames - len(pose)) > 1:
        raise ValueError(f"rows are missing: it has {len(pose)} poses, {len(k)} lenses and {frames} frames")
    lens = torch.stack([k[:, 0, 0], k[:, 1, 1], k[:, 0, 2], k[:, 1, 2]], -1)
    if float(lens.abs().max()) > 8:  # pixels; the published files are shares already
        lens = lens / torch.tensor([size[0], size[1], size[0], size[1]])
    extra = {n: row[n] for n in ("location", "weather", "timeOfDay", "crowdDensity") if row.get(n)}
    n = min(len(pose), frames)
    return SourceShot(video, Camera(pose, lens)[:n], None, None, row.get("caption", ""), style, row.get("scene", ""), extra=extra)


def spatialvid(folder: Path, rate: float | None) -> Listed:
    """``**/*metadata*.csv``, ``videos/group_X/ID.mp4``, ``annotations/group_X/ID/{poses,intrinsics}.npy, indexes.txt, ...``."""
    for row in _rows(folder, "id"):
        yield row["id"], partial(_spatialvid, folder, row)


def _spatialvid(folder: Path, row: dict[str, str]) -> SourceShot:
    video = _below(folder, "videos", row.get("video path") or f"{row['id']}.mp4")
    notes = _below(folder, "annotations", row.get("annotation path") or row["id"])
    table = _array(notes / "poses.npy").double()
    lens = _array(notes / "intrinsics.npy").double()
    at = torch.tensor([float(x.split()[-1]) for x in read_text(notes / "indexes.txt").split("\n") if x.strip()])
    if table.ndim != 2 or table.shape[1] != 7 or not len(table) == len(lens) == len(at):
        raise ValueError(f"rows are missing: {len(table)} poses, {len(lens)} lenses and {len(at)} indexes do not go together")
    camera = Camera(_from_quaternions(table[:, [6, 3, 4, 5]], table[:, :3]), lens)
    words: dict[str, Any] = _json(notes / "caption.json") if (notes / "caption.json").is_file() else {}
    caption = str(words.get("SceneSummary") or words.get("SceneDescription") or "")
    return SourceShot(video, camera, at.double(), None, caption)


def omniworld(folder: Path, rate: float | None) -> Listed:
    """``SCENE/{color,depth}/*.png``, ``SCENE/camera/split_I.json``, ``split_info.json``, ``fps.txt``; a shot for each split."""
    for info in sorted(folder.rglob("split_info.json")):
        for path in sorted(info.parent.glob("camera/split_*.json"), key=lambda p: (len(p.name), p.name)):
            yield f"{below(info.parent, folder)}-{path.stem}", partial(_omniworld, info, path)


def _omniworld(info: Path, path: Path) -> SourceShot:
    data, splits = _json(path), _json(info)["split"]
    number = path.stem.removeprefix("split_")
    if not number.isdigit() or int(number) >= len(splits):
        raise ValueError(f"split_info.json lists {len(splits)} splits, and this is {number}")
    frames = splits[int(number)]
    try:
        q, t, f = (torch.tensor(data[k], dtype=torch.float64) for k in ("quats", "trans", "focals"))
        cx, cy = float(data["cx"]), float(data["cy"])
    except (KeyError, TypeError, ValueError) as e:
        raise ValueError(f"{path.name} must hold quats, trans, focals, cx and cy as numbers ({e})") from None
    if not len(frames) == len(q) == len(t) == len(f):
        raise ValueError(f"rows are missing: {len(frames)} frames, {len(q)} quats, {len(t)} trans and {len(f)} focals")
    pictures = {int(p.stem): p for p in (info.parent / "color").glob("*.png") if p.stem.isdigit()}
    if missing := [i for i in frames if i not in pictures]:
        raise ValueError(f"color lacks the pictures of {len(missing)} of {len(frames)} frames")
    w, h = 2 * cx, 2 * cy  # the official reader takes the principal point for the middle of the picture
    lens = torch.stack([f / w, f / h, torch.full_like(f, 0.5), torch.full_like(f, 0.5)], -1)
    depth = {int(p.stem): p for p in (info.parent / "depth").glob("*.png") if p.stem.isdigit()}
    deep = tuple(depth[i] for i in frames) if all(i in depth for i in frames) else None
    fps = float(read_text(info.parent / "fps.txt").split()[0]) if (info.parent / "fps.txt").is_file() else 24.0
    return SourceShot(
        tuple(pictures[i] for i in frames), Camera(_from_quaternions(q, t), lens), None, fps, style="game", depth=deep
    )


# --- reading ----------------------------------------------------------------------------------------------------------


def _from_quaternions(q: Tensor, t: Tensor) -> Tensor:
    """World-to-camera quaternions (w x y z) and translations -> camera-to-world ``[N, 4, 4]``."""
    size = q.norm(dim=-1, keepdim=True)
    if not bool(torch.isfinite(q).all() and torch.isfinite(t).all()) or bool((size < 1e-6).any()):
        raise ValueError("a camera holds NaN or infinity, or a quaternion without length")
    return se3_inverse(rigid(matrices(q / size), t))


def _square(pose: Tensor) -> Tensor:
    """Poses ``[N, 3 or 4, 4]`` -> float64 ``[N, 4, 4]``."""
    if pose.ndim != 3 or pose.shape[1:] not in ((3, 4), (4, 4)):
        raise ValueError(f"poses must be [N, 4, 4], not {list(pose.shape)}")
    return rigid_rows(pose.double()[:, :3].flatten(1).tolist())


def _rows(folder: Path, column: str) -> Iterator[dict[str, str]]:
    """The rows of every ``.csv`` below the folder that has the column. ValueError where there is none."""
    found = False
    for path in sorted(folder.rglob("*.csv")):
        table = csv.DictReader(io.StringIO(read_text(path), newline=""))
        if column in (table.fieldnames or ()):
            found = True
            yield from (r for r in table if r.get(column))
    if not found:
        raise ValueError(f"folder: there is no .csv with the column {column!r} in {folder}")


def _below(folder: Path, part: str, where: str) -> Path:
    """A path that a table names, from the folder or from ``part`` of it; it may not lead out of the folder."""
    for root in (folder, folder / part, *sorted(folder.rglob(part))):
        path = root / where
        if path.exists() and folder.resolve() in path.resolve().parents:
            return path
    raise ValueError(f"there is no {part}/{where} in the folder")


def _json(path: Path) -> Any:
    try:
        return read_json(path)
    except (OSError, ValueError) as e:
        raise ValueError(f"{path.name} is no JSON that can be read ({cause(e)})") from None


def _array(path: Path) -> Tensor:
    if not path.is_file():
        raise ValueError(f"there is no {path.name} in {path.parent.name}")
    return read_npy(path.read_bytes(), path.name)


def _need(rate: float | None) -> float:
    if rate is None:
        raise ValueError("pictures say nothing about time; give rate, the frames a second of its video")
    return rate
