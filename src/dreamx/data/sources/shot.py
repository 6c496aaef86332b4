"""A shot as somebody's files hold it, and the clips that are made of it: at our size and rate, with a camera for each frame.

Cameras may be known at a few frames only. Between them they are interpolated (quaternions by slerp, positions linearly), as the
paper densifies sparse poses; beyond the first and the last nothing is made up, and the shot is cut there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

import av
import numpy as np
import torch
from av.error import FFmpegError
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F

from dreamx.bounds import FrameRate, Pixels
from dreamx.clip import Clip
from dreamx.geometry.camera import Camera
from dreamx.geometry.formats.check import refuse_broken
from dreamx.geometry.formats.motion import Motion
from dreamx.geometry.path import resample

#: A picture and the depth that belongs to it: uint8 ``[3, H, W]``, float ``[H, W]`` or None.
Seen = tuple[Tensor, Tensor | None]


@dataclass(frozen=True)
class Shot:
    """video:   a film, or pictures in their order, or the pictures themselves, uint8 ``[F, 3, H, W]``.
    camera:  ``[K]`` cameras, float64. Lenses are shares of the picture as it lies there.
    at:      ``[K]`` the frames that they belong to, rising; fractions are allowed. None: one for each frame from the first.
    fps:     frames a second of pictures; None takes the film's own.
    depth:   files of depth in the order of the pictures, or ``[F, H, W]``, or None. Files are OmniWorld's 16 bits.
    bend:    k1 k2 p1 p2 of OpenCV's lens, which is made straight, or None.
    The rest are words of the clip.
    """

    video: Path | tuple[Path, ...] | Tensor
    camera: Camera
    at: Tensor | None
    fps: float | None
    caption: str = ""
    style: str = "photoreal"
    scene: str = ""
    depth: tuple[Path, ...] | Tensor | None = None
    bend: tuple[float, float, float, float] | None = None
    extra: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Wanted:
    """Size in pixels and rate of the clips, and how many frames one holds at most."""

    width: Pixels = 64
    height: Pixels = 64
    fps: FrameRate = 16.0
    frames: int = 161

    def __post_init__(self) -> None:
        for name in ("width", "height", "frames"):
            if getattr(self, name) < 2:
                raise ValueError(f"wanted.{name} must be 2 or more, not {getattr(self, name)}")
        if not 0 < self.fps < inf:
            raise ValueError(f"wanted.fps must be a positive number, not {self.fps}")


def clips(shot: Shot, wanted: Wanted, source: str, licence: str) -> Iterator[Clip]:
    """The shot in windows of at most ``wanted.frames`` frames. ValueError, one sentence, for a shot that is broken."""
    fps = shot.fps or _rate(shot.video)
    refuse_broken(Motion(shot.camera, fps))
    at = shot.at if shot.at is not None else torch.arange(len(shot.camera), dtype=torch.float64)
    if len(at) != len(shot.camera) or bool((at.diff() <= 0).any()):
        raise ValueError(f"its {len(shot.camera)} cameras and the {len(at)} frames that they belong to do not go together")
    first, last = max(0, int(at[0].ceil())), int(at[-1].floor())
    pace = max(1.0, fps / wanted.fps)
    picks = [round(first + i * pace) for i in range(int((last - first) / pace + 1e-9) + 1)]
    if len(picks) < 2:
        raise ValueError(f"its cameras cover {len(picks)} frames, and a clip has two at least")
    held: list[Seen] = []
    start, wanted_now = 0, set(picks)
    lens, count = shot.camera.lens, 0
    for number, seen in enumerate(_pictures(shot)):
        count = number + 1
        if number not in wanted_now:
            continue
        held.append(fitted(seen, wanted))
        if len(held) == wanted.frames:
            yield _clip(
                shot, held, picks[start : start + len(held)], at, lens, fps / pace, wanted, source, licence, seen[0].shape
            )
            start, held = start + len(held), []
        shape = seen[0].shape
        if number == picks[-1]:
            break
    if count <= picks[-1]:
        raise ValueError(f"its video ends after {count} frames, and its cameras go on to frame {picks[-1]}: it is cut short")
    if len(held) > 1:
        yield _clip(shot, held, picks[start:], at, lens, fps / pace, wanted, source, licence, shape)  # pyright: ignore[reportPossiblyUnboundVariable]


def _clip(shot: Shot, held: list[Seen], picks: list[int], at: Tensor, lens: Tensor, fps: float, wanted: Wanted, source: str,
          licence: str, shape: torch.Size) -> Clip:  # fmt: skip
    """Pictures and the cameras of these frames as a clip."""
    places = torch.from_numpy(np.interp(picks, at.double().numpy(), np.arange(len(at))))
    seen = resample(shot.camera, places)
    lens = cropped(seen.lens, (int(shape[2]), int(shape[1])), (wanted.width, wanted.height))
    camera = Camera(seen.pose, lens).to(dtype=torch.float32)
    depth = None if any(d is None for _, d in held) else torch.stack([d for _, d in held if d is not None]).half()
    extra = {"actions": "unknown", **shot.extra}
    return Clip(
        torch.stack([p for p, _ in held]), camera, torch.zeros(len(held), 8), depth, fps, shot.caption, shot.style, shot.scene,
        source=source, licence=licence, extra=extra,
    )  # fmt: skip


def cropped(lens: Tensor, size: tuple[int, int], wanted: tuple[int, int]) -> Tensor:
    """Lenses of the part of the picture that is kept: its middle, in the shape that is wanted."""
    share = torch.tensor(
        [min(1.0, size[1] * wanted[0] / wanted[1] / size[0]), min(1.0, size[0] * wanted[1] / wanted[0] / size[1])]
    )
    return torch.cat([lens[:, :2] / share, (lens[:, 2:] - 0.5) / share + 0.5], -1)


def fitted(seen: Seen, wanted: Wanted) -> Seen:
    """The middle of a picture, and of its depth, at the size that is wanted."""
    out: list[Tensor] = []
    for x in seen:
        if x is None:
            continue
        h, w = x.shape[-2:]
        kept_w, kept_h = min(w, round(h * wanted.width / wanted.height)), min(h, round(w * wanted.height / wanted.width))
        top, left = (h - kept_h) // 2, (w - kept_w) // 2
        part = x.float().reshape(1, -1, h, w)[..., top : top + max(1, kept_h), left : left + max(1, kept_w)]
        size = (wanted.height, wanted.width)
        if x.ndim == 3:  # colours are averaged; depth is not, for a mean of two surfaces is none
            how = "area" if min(kept_h / wanted.height, kept_w / wanted.width) >= 1 else "bilinear"
            out.append(F.interpolate(part, size, mode=how)[0].round().clamp(0, 255).to(torch.uint8))
        else:
            out.append(F.interpolate(part, size, mode="nearest-exact")[0, 0])
    return out[0], out[1] if len(out) > 1 else None


def film_rate(video: Path) -> float:
    """Frames a second of a film. ValueError where it cannot be read."""
    rate = _stream(video)[0]
    if not rate:
        raise ValueError(f"{video.name} does not say how many frames a second it has")
    return rate


def film_frames(video: Path) -> tuple[int, tuple[int, int]]:
    """How many frames a film says that it has, and their width and height. ValueError where it cannot be read."""
    return _stream(video)[1:]


def _stream(video: Path) -> tuple[float, int, tuple[int, int]]:
    try:
        with av.open(str(video)) as file:
            stream = file.streams.video[0]
            return float(stream.average_rate or 0), stream.frames, (stream.width, stream.height)
    except (OSError, FFmpegError, IndexError) as e:
        raise ValueError(f"{video.name} is no video that can be read ({type(e).__name__}); it may be cut short") from None


def _rate(video: Path | tuple[Path, ...] | Tensor) -> float:
    if not isinstance(video, Path):
        raise ValueError("pictures say nothing about time; give rate, the frames a second of its video")
    return film_rate(video)


def _pictures(shot: Shot) -> Iterator[Seen]:
    """Every frame, in its order; ValueError where one cannot be read or has another size."""
    size: torch.Size | None = None
    for number, (picture, depth) in enumerate(_read(shot)):
        if size is None:
            size = picture.shape
        if picture.shape != size:
            raise ValueError(f"frame {number} is {picture.shape[2]} x {picture.shape[1]}, and the first is {size[2]} x {size[1]}")
        yield _straight(picture, shot) if shot.bend is not None and any(shot.bend) else picture, depth


def pictures_of(video: Path) -> Iterator[Tensor]:
    """The frames of a film, uint8 ``[3, H, W]``. ValueError where it cannot be decoded."""
    try:
        with av.open(str(video)) as file:
            for frame in file.decode(video=0):
                yield torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1)
    except (OSError, FFmpegError, IndexError) as e:
        raise ValueError(f"{video.name} cannot be decoded ({type(e).__name__}); it may be cut short") from None


def _read(shot: Shot) -> Iterator[Seen]:
    if isinstance(shot.video, Path):
        yield from ((p, None) for p in pictures_of(shot.video))
        return
    for i, picture in enumerate(shot.video):
        depth = None
        if isinstance(shot.depth, Tensor):
            depth = shot.depth[i]
        elif shot.depth is not None:
            depth = omniworld_depth(torch.from_numpy(_open(shot.depth[i]).astype(np.int32)))
        if isinstance(picture, Path):
            picture = torch.from_numpy(_open(picture, "RGB")).permute(2, 0, 1)
        yield picture, depth


def omniworld_depth(stored: Tensor) -> Tensor:
    """16-bit numbers ``[H, W]`` as depth along z, 0 where unknown (OmniWorld's own reader)."""
    d = stored.float() / 65535
    known = (d >= 0.0015) & (stored <= 65500)
    return torch.where(known, d / (1000 - d * 999) / 0.004, 0.0)


def _open(path: Path, mode: str | None = None) -> np.ndarray:
    try:
        with Image.open(path) as picture:
            return np.array(picture.convert(mode) if mode else picture)
    except (OSError, UnidentifiedImageError, ValueError) as e:
        raise ValueError(f"{path.name} cannot be read as a picture ({type(e).__name__}); copy it again") from None


def _straight(picture: Tensor, shot: Shot) -> Tensor:
    """The picture that a lens without distortion would give, by OpenCV. ValueError where that is not installed."""
    try:
        import cv2
    except ImportError as e:
        raise ValueError(
            f"its lens is distorted, which OpenCV makes straight ({e}); pip install '.[curate]' in the checkout"
        ) from None
    h, w = picture.shape[1:]
    fx, fy, cx, cy = shot.camera.lens[0].tolist()
    k = np.array([[fx * w, 0, cx * w - 0.5], [0, fy * h, cy * h - 0.5], [0, 0, 1]])
    straight = cv2.undistort(picture.permute(1, 2, 0).contiguous().numpy(), k, np.array(shot.bend))
    return torch.from_numpy(np.ascontiguousarray(straight)).permute(2, 0, 1)
