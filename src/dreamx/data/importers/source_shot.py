"""A shot as somebody's files hold it, and the clips that are made of it: at our size and rate, with a camera for each frame.

Cameras may be known at a few frames only. Between them they are interpolated (quaternions by slerp, positions linearly), as the
paper densifies sparse poses; beyond the first and the last nothing is made up, and the shot is cut there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F

from dreamx.bounds import FrameRate, Pixels
from dreamx.clip import Clip
from dreamx.geometry.camera import Camera
from dreamx.geometry.formats.motion import Motion
from dreamx.geometry.formats.path_check import refuse_broken
from dreamx.geometry.path import resample
from dreamx.picture import open_picture
from dreamx.plaintext import cause
from dreamx.video_reader import Timeline, frames, timeline

#: A picture and the depth that belongs to it: uint8 ``[3, H, W]``, float ``[H, W]`` or None.
Seen = tuple[Tensor, Tensor | None]
_NEAR = 0.02  # of a frame: times are written in milliseconds, or as fractions that do not come out even
_STILL = 1.0  # seconds for which a film may show one picture while its camera moves


@dataclass(frozen=True)
class SourceShot:
    """video:   a film, or pictures in their order, or the pictures themselves, uint8 ``[F, 3, H, W]``.
    camera:  ``[K]`` cameras, float64. Lenses are shares of the picture as it lies there.
    at:      ``[K]`` the frames that they belong to, rising; fractions are allowed. None: one for each frame from the first.
    seconds: ``[K]`` instead of ``at``, the times on the film's own clock that they belong to, rising.
    fps:     frames a second of pictures; None takes the film's own.
    depth:   files of depth in the order of the pictures, or ``[F, H, W]``, or None. Files are OmniWorld's 16 bits.
    bend:    k1 k2 p1 p2 of OpenCV's lens, which is made straight, or None.
    points:  ``[P, 3]`` what was found to be there, in the axes of the cameras, or None.
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
    seconds: Tensor | None = None
    points: Tensor | None = None
    extra: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class ClipFormat:
    """Size, rate and length of the clips."""

    width: Pixels = 64
    """Pixels."""
    height: Pixels = 64
    """Pixels."""
    fps: FrameRate = 16.0
    """Frames a second."""
    frames: int = 161
    """Frames of a clip at most."""

    def __post_init__(self) -> None:
        for name in ("width", "height", "frames"):
            if getattr(self, name) < 2:
                raise ValueError(f"wanted.{name} must be 2 or more, not {getattr(self, name)}")
        if not 0 < self.fps < inf:
            raise ValueError(f"wanted.fps must be a positive number, not {self.fps}")


def clips(shot: SourceShot, wanted: ClipFormat, source: str, licence: str) -> Iterator[Clip]:
    """The shot in windows of at most ``wanted.frames`` frames. ValueError, one sentence, for a shot that is broken.

    Each picture has the camera of the time at which its film shows it. Of a film of a variable rate even times are taken, at
    a rate that nearly all of it has; one that stands still for a second is refused.
    """
    film = timeline(shot.video) if isinstance(shot.video, Path) else None
    fps = shot.fps or (film.fps if film is not None else _no_rate())
    refuse_broken(Motion(shot.camera, fps))
    at = _frames_of(shot, film)
    if len(at) != len(shot.camera) or bool((at.diff() <= 0).any()):
        raise ValueError(f"its {len(shot.camera)} cameras and the {len(at)} frames that they belong to do not go together")
    first, last = max(0, int((at[0] - _NEAR).ceil())), int((at[-1] + _NEAR).floor())
    there = len(film.times) if film is not None else len(cast("tuple[Path, ...] | Tensor", shot.video))
    if there <= last:
        raise ValueError(f"its video ends after {there} frames, and its cameras go on to frame {last}: it is cut short")
    if film is not None and film.variable and last > first:
        picks, rate = _even(film, first, last, wanted.fps)
    else:
        pace = max(1.0, fps / wanted.fps)
        picks = [round(first + i * pace) for i in range(int((last - first) / pace + 1e-9) + 1)]
        rate = fps / pace
    if len(picks) < 2:
        raise ValueError(f"its cameras cover {len(picks)} frames, and a clip has two at least")
    clock = np.arange(there, dtype=np.float64) if film is None else film.times
    known = np.interp(at.double().numpy(), np.arange(there), clock)
    places = torch.from_numpy(np.interp(clock[picks], known, np.arange(len(at))))
    notes = {"film": "; ".join(film.notes)} if film is not None and film.notes else {}
    held: list[Seen] = []
    start, shape = 0, torch.Size((3, 1, 1))
    for seen in _repeated(_pictures(shot, set(picks)), picks):
        held.append(fitted(seen, wanted))
        shape = seen[0].shape
        if len(held) == wanted.frames or (start + len(held) == len(picks) and len(held) > 1):
            yield _clip(shot, held, places[start : start + len(held)], rate, wanted, source, licence, shape, notes)
            start, held = start + len(held), []
    if start + len(held) < len(picks):
        raise ValueError(f"its video ends after {picks[start + len(held)]} frames, and its cameras go on: it is cut short")


def seconds_of(shot: SourceShot) -> Tensor:
    """``[K]`` seconds at which its cameras stood where they stood. ValueError where its pictures say nothing about time."""
    if shot.seconds is not None:
        return shot.seconds
    film = timeline(shot.video) if isinstance(shot.video, Path) else None
    at = _frames_of(shot, film).double()
    return (
        at / (shot.fps or _no_rate()) if film is None else torch.from_numpy(np.interp(at, np.arange(len(film.times)), film.times))
    )


def _frames_of(shot: SourceShot, film: Timeline | None) -> Tensor:
    """``[K]`` the frame that each camera belongs to."""
    if shot.seconds is not None:
        if film is None:
            raise ValueError("its cameras have times and its pictures have none")
        return torch.from_numpy(film.frame_at(shot.seconds.double().numpy()))
    return shot.at if shot.at is not None else torch.arange(len(shot.camera), dtype=torch.float64)


def _even(film: Timeline, first: int, last: int, most: float) -> tuple[list[int], float]:
    """Frames at even times of a film of a variable rate, and how many a second."""
    gaps = np.diff(film.times[first : last + 1])
    if float(gaps.max()) > _STILL:
        at = float(film.times[first + int(gaps.argmax())])
        raise ValueError(
            f"its film shows one picture for {float(gaps.max()):.2f} s from {at:.2f} s on: pictures are missing there"
        )
    rate = min(most, film.steady_rate(first, last))
    return film.even(first, last, rate), rate


def _repeated(numbered: Iterator[tuple[int, Seen]], picks: list[int]) -> Iterator[Seen]:
    """The picture of each pick in order, where a picture may be picked more than once."""
    wanted = iter(picks)
    pick = next(wanted, None)
    for number, seen in numbered:
        while pick is not None and pick <= number:
            yield seen
            pick = next(wanted, None)


def _clip(shot: SourceShot, held: list[Seen], places: Tensor, fps: float, wanted: ClipFormat, source: str, licence: str,
          shape: torch.Size, notes: dict[str, str]) -> Clip:  # fmt: skip
    """Pictures and the cameras at ``places`` (fractions of their numbers) as a clip."""
    seen = resample(shot.camera, places)
    lens = cropped(seen.lens, (int(shape[2]), int(shape[1])), (wanted.width, wanted.height))
    camera = Camera(seen.pose, lens).to(dtype=torch.float32)
    depth = None if any(d is None for _, d in held) else torch.stack([d for _, d in held if d is not None]).half()
    extra = {"actions": "unknown", **notes, **shot.extra}
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


def fitted(seen: Seen, wanted: ClipFormat) -> Seen:
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


def film_frames(video: Path) -> tuple[int, tuple[int, int]]:
    """Return the number of frames of a film, and width and height as shown. ValueError where it cannot be read."""
    film = timeline(video)
    return len(film.times), film.size


def _no_rate() -> float:
    raise ValueError("pictures say nothing about time; give rate, the frames a second of its video")


def _pictures(shot: SourceShot, wanted: set[int]) -> Iterator[tuple[int, Seen]]:
    """The frames that are wanted, in their order, with their numbers; ValueError where one cannot be read or has another size."""
    size: torch.Size | None = None
    for number, (picture, depth) in _read(shot, wanted):
        if size is None:
            size = picture.shape
        if picture.shape != size:
            raise ValueError(f"frame {number} is {picture.shape[2]} x {picture.shape[1]}, and the first is {size[2]} x {size[1]}")
        yield number, (_straight(picture, shot) if shot.bend is not None and any(shot.bend) else picture, depth)


def _read(shot: SourceShot, wanted: set[int]) -> Iterator[tuple[int, Seen]]:
    if isinstance(shot.video, Path):
        yield from ((number, (p, None)) for number, p in frames(shot.video, wanted))
        return
    fx, fy = shot.camera.lens[0, :2].tolist()
    for i in sorted(wanted):
        depth, picture = None, shot.video[i]
        if isinstance(shot.depth, Tensor):
            depth = shot.depth[i]
        elif shot.depth is not None:
            depth = omniworld_depth(_stored(shot.depth[i]))
        yield i, (_picture(picture, fy / fx) if isinstance(picture, Path) else picture, depth)


def omniworld_depth(stored: Tensor) -> Tensor:
    """16-bit numbers ``[H, W]`` as depth along z, 0 where unknown (OmniWorld's own reader)."""
    d = stored.float() / 65535
    known = (d >= 0.0015) & (stored <= 65500)
    return torch.where(known, d / (1000 - d * 999) / 0.004, 0.0)


def _picture(path: Path, aspect: float) -> Tensor:
    """A file of a picture as a viewer shows it, uint8 ``[3, H, W]``; lying, where its camera knows it only so."""
    try:
        picture, _ = open_picture(path.read_bytes(), aspect)
    except (OSError, ValueError) as e:
        raise ValueError(f"{path.name} cannot be read as a picture ({e}); copy it again") from None
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def _stored(path: Path) -> Tensor:
    """Numbers of a picture as they are stored."""
    try:
        with Image.open(path) as picture:
            return torch.from_numpy(np.array(picture).astype(np.int32))
    except (OSError, UnidentifiedImageError, ValueError) as e:
        raise ValueError(f"{path.name} cannot be read as a picture ({cause(e)}); copy it again") from None


def _straight(picture: Tensor, shot: SourceShot) -> Tensor:
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
