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
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from dreamx.clip import Clip
from dreamx.config import from_json, to_json
from dreamx.data.store.dataset import Dataset
from dreamx.data.store.files import Place
from dreamx.data.store.part import EXACT_KEYS, SEEN_KEY, Array, Row
from dreamx.data.store.pictures import EXACT, EXACT_RATE, Coding, decode, decode_all
from dreamx.events import Contact
from dreamx.geometry.camera import Camera

_SUFFIX = {SEEN_KEY: "video.mp4", "depth": "depth.mkv", "segments": "segments.mkv"}
FORMAT = "dreamx clip 1"


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
class Member:
    """A file in a tar."""

    tar: str
    offset: int
    size: int


@dataclass(frozen=True)
class Tars:
    """A folder of tars as a source of clips (``dreamx.data.engine``). ``licence``, ``from_whom``: of samples that do not say."""

    place: str
    licence: str = ""
    from_whom: str = ""

    @cached_property
    def _samples(self) -> dict[str, dict[str, Member]]:
        """``TAR#KEY`` -> ending -> where it lies, in order. A tar that cannot be read on gives what came before."""
        found: dict[str, dict[str, Member]] = {}
        tars = [name for name in Place(self.place).names("") if name.endswith(".tar")]
        if not tars:
            raise ValueError(f"{self.place}: no tars (*.tar) are here")
        for tar in tars:
            found[tar] = {}
            try:
                with Place(self.place).open(tar) as f, tarfile.open(fileobj=f, mode="r:") as members:
                    for member in members:
                        folder, _, base = member.name.rpartition("/")
                        key, _, suffix = base.partition(".")
                        if member.isfile() and suffix:
                            name = f"{tar}#{folder}/{key}" if folder else f"{tar}#{key}"
                            found.setdefault(name, {})[suffix] = Member(tar, member.offset_data, member.size)
                    whole = members.offset
                    f.seek(0, io.SEEK_END)
                    if f.tell() < whole:
                        raise tarfile.ReadError("it ends in the middle of a file")
                del found[tar]
            except (tarfile.TarError, OSError, ValueError, OverflowError):
                continue  # the entry of the tar itself stays, to be dropped with a reason
        return found

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
        """How the first sample of ours is encoded; None where there is none."""
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
        with Place(self.place).open(member.tar) as f:
            f.seek(member.offset)
            data = f.read(member.size)
        if len(data) != member.size:
            raise ValueError(f"sample {key!r}: its .{suffix} is cut off")
        return data

    def _words(self, key: str) -> dict[str, Any]:
        words = json.loads(self._read(key, "json")) if "json" in self._samples[key] else {}
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

    def clip(self, i: int) -> Clip:
        """A sample as a clip; ValueError, one sentence, where it is none."""
        key = list(self._samples)[i]
        if not self._samples[key]:
            raise ValueError(f"{key}: the tar cannot be read to its end")
        try:
            return self._clip(key)
        except Exception as e:
            said = str(e) if isinstance(e, ValueError) else f"{type(e).__name__}: {e}"
            raise ValueError(f"{self.place}: sample {key!r} cannot be read: {said}") from e

    def _array(self, key: str, suffix: str) -> Array:
        return np.load(io.BytesIO(self._read(key, suffix)), allow_pickle=False)

    def _clip(self, key: str) -> Clip:
        words = self._words(key)
        video, fps = decode_all(io.BytesIO(self._read(key, "video.mp4")))
        f, h, w = video.shape[:3]
        ours = words.get("format") == FORMAT
        row = Row.read(words) if ours else _foreign(key.partition("#")[2], words, f, w, h, fps, self)
        if row.frames != f or not (0 <= w - row.width <= 1 and 0 <= h - row.height <= 1):  # odd sides are filled up
            raise ValueError(f"its video has {f} frames of {w}x{h}, its words say {row.frames} of {row.width}x{row.height}")
        video, (h, w) = video[:, : row.height, : row.width], (row.height, row.width)
        pose = torch.from_numpy(self._array(key, "poses_c2w.npy").astype(np.float32))
        if pose.ndim == 3 and pose.shape[1:] == (3, 4):
            pose = torch.cat([pose, torch.tensor([0.0, 0.0, 0.0, 1.0]).expand(len(pose), 1, 4)], 1)
        if tuple(pose.shape) != (f, 4, 4):
            raise ValueError(f"it has poses of shape {tuple(pose.shape)} for {f} frames")
        lens = _lens(self._array(key, "intrinsics.npy"), f, w, h)
        there = self._samples[key]
        actions = torch.from_numpy(self._array(key, "actions.npy")) if "actions.npy" in there else torch.zeros(f, 8)
        maps = {k: self._maps(key, k, f, (h, w)) for k in EXACT_KEYS}
        subject = torch.from_numpy(self._array(key, "subject.npy")) if "subject.npy" in there else None
        contacts = tuple(from_json(Contact, c) for c in words.get("contacts", ())) if ours else ()
        return Clip(torch.from_numpy(video).permute(0, 3, 1, 2), Camera(pose, lens), actions, maps["depth"], row.fps, row.caption,
                    row.style, row.scene, row.seed, row.source, row.licence, row.extra, row.story, maps["segments"], row.entities,
                    contacts, subject)  # fmt: skip

    def _maps(self, key: str, which: str, frames: int, size: tuple[int, int]) -> Any:
        if _SUFFIX[which] not in self._samples[key]:
            return None
        bits = decode(io.BytesIO(self._read(key, _SUFFIX[which])), EXACT, 0, frames, EXACT_RATE, size)
        return torch.from_numpy(bits.view(np.float16 if which == "depth" else np.int16))


def _foreign(key: str, words: dict[str, Any], frames: int, width: int, height: int, fps: float, tars: Tars) -> Row:
    """The row of a sample of somebody else."""
    caption = next((str(words[k]) for k in ("caption", "text", "prompt") if words.get(k)), "")
    row = Row(key, frames, width, height, float(words.get("fps") or fps), caption)
    licence = str(words.get("licence") or words.get("license") or tars.licence)
    return replace(row, source=str(words.get("source") or tars.from_whom), licence=licence)


def _lens(x: Array, frames: int, width: int, height: int) -> torch.Tensor:
    """Intrinsics of any of the usual shapes -> ``[F, 4]`` shares. Pixels are told by a middle beyond 2 of the picture's sides."""
    if x.shape[-2:] == (3, 3):
        x = np.stack([x[..., 0, 0], x[..., 1, 1], x[..., 0, 2], x[..., 1, 2]], -1)
    if x.shape not in ((4,), (1, 4), (frames, 4)):
        raise ValueError(f"it has intrinsics of shape {x.shape} for {frames} frames")
    x = np.broadcast_to(x.astype(np.float32).reshape(-1, 4), (frames, 4))
    if x[:, 2:].max() > 2:
        x = x / np.array([width, height, width, height], np.float32)
    return torch.from_numpy(x.copy())
