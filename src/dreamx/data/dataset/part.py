"""One clip made ready for a dataset: its row of words, its numbers by frame, its encoded pictures. Checked here, once.

A run keeps every finished clip as a part, whole or not at all, and packs the parts when all are there (``pack``).
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamx import tensor_file
from dreamx.clip import Clip
from dreamx.config import from_json, to_json
from dreamx.data.dataset.picture_coding import Coding, encode_exact, encode_seen
from dreamx.events import Contact, Story
from dreamx.plaintext import cause, parse_json

Array = NDArray[Any]
#: The streams of pictures by name, and the columns of numbers by frame with their widths.
SEEN_KEY, EXACT_KEYS = "observation.image", ("depth", "segments")
COLUMNS = {"action": 8, "observation.pose": 16, "observation.lens": 4, "observation.subject": 4}
_DTYPE = {"depth": torch.float16, "segments": torch.int16}


@dataclass(frozen=True)
class ClipRow:
    """Metadata of one clip, read without opening its pictures; names of fields as in ``Clip``.

    name: its id, unlike all others of the dataset. has: which of depth, segments and subject it has.
    """

    name: str
    frames: int
    width: int
    height: int
    fps: float
    caption: str = ""
    style: str = ""
    scene: str = ""
    seed: int = -1
    source: str = ""
    licence: str = ""
    extra: dict[str, str] = field(default_factory=dict[str, str])
    story: Story | None = None
    entities: dict[int, str] = field(default_factory=dict[int, str])
    has: tuple[str, ...] = ()

    @staticmethod
    def of(name: str, clip: Clip) -> ClipRow:
        """The row of a clip."""
        f, _, h, w = clip.video.shape
        has = tuple(k for k in (*EXACT_KEYS, "subject") if getattr(clip, k) is not None)
        said: dict[str, Any] = {k: getattr(clip, k) for k in _SHARED}
        return ClipRow(name, f, w, h, float(clip.fps), has=has, **said)

    def words(self) -> dict[str, Any]:
        """Columns of a table: what is not a word or a number is JSON."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        return found | {
            "extra": json.dumps(self.extra, sort_keys=True),
            "story": "" if self.story is None else json.dumps(to_json(self.story)),
            "entities": json.dumps({str(k): v for k, v in self.entities.items()}),
            "has": list(self.has),
        }

    @staticmethod
    def read(words: dict[str, Any]) -> ClipRow:
        """Read what ``words`` gave; ValueError names the field that is not as it should be."""
        known: dict[str, Any] = {f.name: words[f.name] for f in fields(ClipRow)}
        try:
            known["extra"] = {str(k): str(v) for k, v in parse_json(known["extra"]).items()}
            known["story"] = from_json(Story, parse_json(known["story"])) if known["story"] else None
            known["entities"] = {int(k): str(v) for k, v in parse_json(known["entities"]).items()}
        except (AttributeError, TypeError) as e:
            raise ValueError(f"its words cannot be read ({e})") from e
        known["has"] = tuple(known["has"])
        return ClipRow(**known)


class ClipRows(ABC):
    """Base of what reads a dataset: the rows of all clips, read once."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def row(self, i: int) -> ClipRow:
        """Return the metadata of clip ``i``."""

    @property
    def rows(self) -> list[ClipRow]:
        """The row of every clip."""
        return self._rows

    @cached_property
    def _rows(self) -> list[ClipRow]:
        return [self.row(i) for i in range(len(self))]


_SHARED = ("caption", "style", "scene", "seed", "source", "licence", "extra", "story", "entities")


@dataclass(frozen=True)
class ClipPart:
    """A clip made ready. columns: ``[F, width]`` float32 by name; contacts; streams: encoded pictures by name; stats:
    ``[5, D]`` float64 by name (count, sum, sum of squares, least, greatest)."""

    row: ClipRow
    columns: dict[str, Array]
    contacts: tuple[Contact, ...]
    streams: dict[str, bytes]
    stats: dict[str, Array]

    def to_bytes(self) -> bytes:
        """One safetensors file."""
        tensors = {f"column {k}": v for k, v in self.columns.items()} | {f"stats {k}": v for k, v in self.stats.items()}
        tensors |= {f"stream {k}": np.frombuffer(v, np.uint8) for k, v in self.streams.items()}
        words = json.dumps({"row": self.row.words(), "contacts": [to_json(c) for c in self.contacts]})
        return safetensors.numpy.save(tensors | {"words": np.frombuffer(words.encode(), np.uint8)})

    @staticmethod
    def from_bytes(data: bytes) -> ClipPart:
        """Read what ``to_bytes`` gave; ValueError where it is something else."""
        try:
            tensor_file.check_bytes(data)
            tensors = safetensors.numpy.load(data)
            words = parse_json(tensors["words"].tobytes())
            columns, stats, streams = (
                {k.removeprefix(p): v for k, v in tensors.items() if k.startswith(p)} for p in ("column ", "stats ", "stream ")
            )
            contacts = tuple(from_json(Contact, c) for c in words["contacts"])
            return ClipPart(ClipRow.read(words["row"]), columns, contacts, {k: v.tobytes() for k, v in streams.items()}, stats)
        except Exception as e:
            raise ValueError(f"not a readable part ({cause(e)})") from e


def make(name: str, clip: Clip, coding: Coding, encoded: dict[str, bytes] | None = None) -> ClipPart:
    """Check and encode a clip; ``encoded`` are streams of the very same pictures that exist already, by name.

    ValueError, one sentence, for a clip that cannot be kept. Cameras are kept as float32.
    """
    check(name, clip)
    encoded = encoded or {}
    columns = {
        "action": _numbers(clip.actions),
        "observation.pose": _numbers(clip.camera.pose.flatten(1)),
        "observation.lens": _numbers(clip.camera.lens),
    }
    if clip.subject is not None:
        columns["observation.subject"] = _numbers(clip.subject)
    stats = {k: _stats(v.astype(np.float64)) for k, v in columns.items()}
    stats[SEEN_KEY] = _seen_stats(clip.video)
    streams: dict[str, bytes] = {}
    if SEEN_KEY in encoded:
        streams[SEEN_KEY] = encoded[SEEN_KEY]
    else:
        streams[SEEN_KEY] = encode_seen(clip.video.permute(0, 2, 3, 1).contiguous().cpu().numpy(), clip.fps, coding)
    for key in EXACT_KEYS:
        maps: Tensor | None = getattr(clip, key)
        if maps is not None:
            streams[key] = encoded[key] if key in encoded else encode_exact(maps.to(_DTYPE[key]).cpu().numpy())
    return ClipPart(ClipRow.of(name, clip), columns, clip.contacts, streams, stats)


def check(name: str, clip: Clip) -> None:
    """ValueError for a clip that is no clip: no frames, numbers that are none, rotations that are none, words that are none."""
    f, channels, h, w = clip.video.shape
    pose, lens = clip.camera.pose.double(), clip.camera.lens.double()
    turn = pose[:, :3, :3]
    square = torch.eye(3, dtype=torch.float64)
    last = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    for bad, words in (
        (not name or len(name) > 200 or not name.isprintable(), f"clip.name must be 1 to 200 printable characters, not {name!r}"),
        (not f or not h or not w, f"clip.video has {f} frames of {w}x{h}; nothing can be seen there"),
        (channels != 3 or clip.video.dtype != torch.uint8, "clip.video must be uint8 with 3 channels, RGB"),
        (not (isinstance(clip.fps, float | int) and 0 < clip.fps < 1000), f"clip.fps must be frames a second, not {clip.fps!r}"),
        (not bool(pose.isfinite().all()), "clip.camera.pose has numbers that are not finite"),
        (not bool(lens.isfinite().all() and (lens[:, :2] > 0).all()), "clip.camera.lens must be finite, fx and fy above 0"),
        (not bool(clip.actions.isfinite().all()), "clip.actions has numbers that are not finite"),
        (clip.subject is not None and not bool(clip.subject.isfinite().all()), "clip.subject has numbers that are not finite"),
    ):
        if bad:
            raise ValueError(words)
    if float((turn @ turn.mT - square).abs().max()) > 1e-3 or float((pose[:, 3] - last).abs().max()) > 1e-5:
        raise ValueError("clip.camera.pose has rotations that are none (R R^T is not 1); camera-to-world 4x4 is wanted")
    if float(torch.linalg.det(turn).min()) < 0:
        raise ValueError("clip.camera.pose is left-handed; OpenCV axes are wanted (x right, y down, z forward)")
    texts = {k: getattr(clip, k) for k in ("caption", "style", "scene", "source", "licence")} | clip.extra
    for key, value in texts.items():
        if not isinstance(value, str):
            raise ValueError(f"clip.{key} must be words, not {value!r}")
        if any(0xD800 <= ord(c) < 0xE000 for c in value):
            raise ValueError(f"clip.{key} cannot be written down; it is not valid text")
    if any(not 0 <= c.frame < f for c in clip.contacts):
        raise ValueError(f"clip.contacts names a frame outside 0 to {f - 1}")


def _numbers(x: Tensor) -> Array:
    return x.to(torch.float32).contiguous().cpu().numpy()


def _stats(x: Array) -> Array:
    """``[N, D]`` -> ``[5, D]``."""
    return np.stack([np.full(x.shape[1], len(x), np.float64), x.sum(0), (x * x).sum(0), x.min(0), x.max(0)])


def _seen_stats(video: Tensor) -> Array:
    """Statistics by channel of pixels from 0 to 1, from counts of the 256 values: exact, and no copy of the video in floats."""
    counts = torch.stack([torch.bincount(video[:, c].flatten(), minlength=256) for c in range(3)]).double().numpy()
    values = np.arange(256) / 255
    there = counts > 0
    least = np.array([values[row].min() for row in there])
    most = np.array([values[row].max() for row in there])
    return np.stack([counts.sum(1), counts @ values, counts @ values**2, least, most])
