"""WebDataset tars: datasets out to them, and theirs in.

A sample is some files with one key: ``KEY.video.mp4``, ``KEY.poses_c2w.npy [F, 4, 4]``, ``KEY.intrinsics.npy [F, 4]`` (shares of
width and height), ``KEY.json``; ours add ``KEY.actions.npy``, and where there are such ``KEY.subject.npy``, ``KEY.depth.mkv``
and ``KEY.segments.mkv``. Out and in again is the same dataset, bit for bit: pictures are copied, not
encoded anew (only ``meta/stats.json`` then tells of the pictures as they are decoded).
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch

from dreamx.clip import Clip
from dreamx.config import from_json, to_json
from dreamx.data.dataset.dataset import Dataset
from dreamx.data.dataset.folder import window
from dreamx.data.dataset.foreign import lenses_of, poses_of
from dreamx.data.dataset.part import EXACT_KEYS, SEEN_KEY, Array, ClipRow, ClipRows
from dreamx.data.dataset.picture_coding import EXACT, EXACT_RATE, Coding, decode, decode_all
from dreamx.data.dataset.tar_index import Member, TarIndex
from dreamx.events import Contact
from dreamx.geometry.camera import Camera
from dreamx.geometry.formats.arrays import read_npy
from dreamx.plaintext import cause, parse_json

_SUFFIX = {SEEN_KEY: "video.mp4", "depth": "depth.mkv", "segments": "segments.mkv"}
FORMAT = "dreamx clip 1"
T = TypeVar("T")


def shard(clips: Dataset, numbers: range) -> bytes:
    """Clips as one tar; the same bytes every time."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for i in numbers:
            key = f"{i:08d}_" + re.sub(r"[^A-Za-z0-9_-]", "_", clips.names[i])[:60]
            for suffix, data in _sample(clips, i):
                about = tarfile.TarInfo(f"{key}.{suffix}")
                about.size = len(data)
                tar.addfile(about, io.BytesIO(data))
    return out.getvalue()


def _sample(clips: Dataset, i: int) -> Iterator[tuple[str, bytes]]:
    row, streams = clips.row(i), clips.encoded(i)
    numbers, contacts = clips.numbers(i)
    words = {
        **row.words(),
        "format": FORMAT,
        "intrinsics": "shares of width and height",
        "coding": to_json(clips.coding),
        "contacts": [to_json(c) for c in contacts],
    }
    yield "json", json.dumps(words, ensure_ascii=False).encode(errors="surrogatepass")
    yield "poses_c2w.npy", _npy(numbers["observation.pose"].reshape(-1, 4, 4))
    yield "intrinsics.npy", _npy(numbers["observation.lens"])
    yield "actions.npy", _npy(numbers["action"])
    if "observation.subject" in numbers:
        yield "subject.npy", _npy(numbers["observation.subject"])
    for key, data in streams.items():
        yield _SUFFIX[key], data


def _npy(x: Array) -> bytes:
    out = io.BytesIO()
    np.save(out, x, allow_pickle=False)
    return out.getvalue()


@dataclass(frozen=True)
class Tars(ClipRows):
    """One tar or a folder of them, read as ``dataset.Clips``. ``licence``, ``from_whom``: of samples that do not say."""

    place: str
    licence: str = ""
    from_whom: str = ""

    @cached_property
    def _index(self) -> TarIndex:
        return TarIndex(self.place)

    @property
    def _samples(self) -> dict[str, dict[str, Member]]:
        return self._index.samples

    def __len__(self) -> int:
        return len(self.names)

    @property
    def names(self) -> list[str]:
        """The name of every sample: what its words say, else its key."""
        return self._names

    @cached_property
    def _names(self) -> list[str]:
        return [self._name(key) for key in self._samples]

    def _name(self, key: str) -> str:
        try:
            return str(self._words(key)["name"])
        except Exception:
            return key.partition("#")[2] or key

    @cached_property
    def coding(self) -> Coding | None:
        """Return the encoding of the first sample of ours; None where there is none."""
        for key in self._samples:
            try:
                return self._coding(key)
            except Exception:
                continue
        return None

    def _coding(self, key: str) -> Coding:
        words = self._words(key)
        if words["format"] != FORMAT:
            raise ValueError(f"its format is {words['format']!r}")
        return from_json(Coding, words["coding"])

    def _read(self, key: str, suffix: str) -> bytes:
        try:
            member = self._samples[key][suffix]
        except KeyError:
            raise ValueError(f"sample {key!r} has no .{suffix}") from None
        data = self._index.read(member)
        if len(data) != member.size:
            raise ValueError(f"sample {key!r}: its .{suffix} is cut off")
        return data

    def _words(self, key: str) -> dict[str, Any]:
        words = parse_json(self._read(key, "json")) if "json" in self._samples[key] else {}
        if not isinstance(words, dict):
            raise ValueError("its .json is no object")
        return words

    def encoded(self, i: int) -> dict[str, bytes]:
        """The streams of a sample of ours, if it is encoded as the first one; else nothing."""
        key = list(self._samples)[i]
        try:
            if self._coding(key) != self.coding:
                return {}
        except Exception:
            return {}
        return {k: self._read(key, suffix) for k, suffix in _SUFFIX.items() if suffix in self._samples[key]}

    def row(self, i: int) -> ClipRow:
        """Return the metadata of clip ``i``; somebody else's sample is decoded once for it."""
        return self._told(i, self._row)

    def clip(self, i: int) -> Clip:
        """A sample as a clip; ValueError, one sentence, where it is none."""
        return self._told(i, self._clip)

    def window(self, i: int, start: int, count: int) -> Clip:
        return window(self.clip(i), start, count, self.names[i])

    def cameras(self, i: int) -> Camera:
        row = self.row(i)
        return self._told(i, lambda key: self._cameras(key, row.frames, row.width, row.height))

    def _told(self, i: int, of: Callable[[str], T]) -> T:
        """``of`` the key of sample ``i``; ValueError, one sentence, with the sample, for whatever goes wrong."""
        if not 0 <= i < len(self):
            raise ValueError(f"{self.place}: there are {len(self)} samples, 0 to {len(self) - 1}")
        key = list(self._samples)[i]
        if not self._samples[key]:
            raise ValueError(f"{key}: the tar cannot be read to its end")
        try:
            return of(key)
        except Exception as e:
            said = str(e) if isinstance(e, ValueError) else f"{cause(e)}"
            raise ValueError(f"{self.place}: sample {key!r} cannot be read: {said}") from e

    def _array(self, key: str, suffix: str) -> Array:
        return read_npy(self._read(key, suffix), suffix).numpy()

    def _clip(self, key: str) -> Clip:
        words = self._words(key)
        video, fps = decode_all(io.BytesIO(self._read(key, "video.mp4")))
        f, h, w = video.shape[:3]
        ours = words.get("format") == FORMAT
        row = ClipRow.read(words) if ours else _foreign(_short(key), words, f, w, h, fps, self)
        if row.frames != f or not (0 <= w - row.width <= 1 and 0 <= h - row.height <= 1):  # odd sides are filled up
            raise ValueError(f"its video has {f} frames of {w}x{h}, its words say {row.frames} of {row.width}x{row.height}")
        video, (h, w) = video[:, : row.height, : row.width], (row.height, row.width)
        camera = self._cameras(key, f, w, h)
        there = self._samples[key]
        actions = torch.from_numpy(self._array(key, "actions.npy")) if "actions.npy" in there else torch.zeros(f, 8)
        maps = {k: self._maps(key, k, f, (h, w)) for k in EXACT_KEYS}
        subject = torch.from_numpy(self._array(key, "subject.npy")) if "subject.npy" in there else None
        contacts = tuple(from_json(Contact, c) for c in words.get("contacts", ())) if ours else ()
        return Clip(torch.from_numpy(video).permute(0, 3, 1, 2), camera, actions, maps["depth"], row.fps, row.caption,
                    row.style, row.scene, row.seed, row.source, row.licence, row.extra, row.story, maps["segments"], row.entities,
                    contacts, subject)  # fmt: skip

    def _cameras(self, key: str, frames: int, width: int, height: int) -> Camera:
        pose = poses_of(self._array(key, "poses_c2w.npy"), frames)
        return Camera(pose, lenses_of(self._array(key, "intrinsics.npy"), frames, width, height))

    def _row(self, key: str) -> ClipRow:
        words = self._words(key)
        if words.get("format") == FORMAT:
            return ClipRow.read(words)
        video, fps = decode_all(io.BytesIO(self._read(key, "video.mp4")))
        return _foreign(_short(key), words, len(video), video.shape[2], video.shape[1], fps, self)

    def _maps(self, key: str, which: str, frames: int, size: tuple[int, int]) -> Any:
        if _SUFFIX[which] not in self._samples[key]:
            return None
        bits = decode(io.BytesIO(self._read(key, _SUFFIX[which])), EXACT, 0, frames, EXACT_RATE, size)
        return torch.from_numpy(bits.view(np.float16 if which == "depth" else np.int16))


def _foreign(key: str, words: dict[str, Any], frames: int, width: int, height: int, fps: float, tars: Tars) -> ClipRow:
    """The row of a sample of somebody else."""
    caption = next((str(words[k]) for k in ("caption", "text", "prompt") if words.get(k)), "")
    row = ClipRow(key, frames, width, height, float(words.get("fps") or fps), caption)
    licence = str(words.get("licence") or words.get("license") or tars.licence)
    return replace(row, source=str(words.get("source") or tars.from_whom), licence=licence)


def _short(key: str) -> str:
    return key.partition("#")[2]
