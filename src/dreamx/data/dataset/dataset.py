"""Reading a dataset: any clip, any stretch of frames, at once and frame-exact."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from dreamx.clip import Clip
from dreamx.data.dataset.lerobot_info import Foreign, features_of, is_foreign
from dreamx.data.dataset.pack import DROPPED, EPISODES_FILE, FORMAT, INFO, data_path, stream_path
from dreamx.data.dataset.part import COLUMNS, EXACT_KEYS, SEEN_KEY, Array, ClipRow, ClipRows
from dreamx.data.dataset.picture_coding import EXACT, EXACT_RATE, SEEN, Coding, cut, decode, rate_of
from dreamx.data.dataset.storage import Storage
from dreamx.events import Contact, Event, Story
from dreamx.geometry.camera import Camera
from dreamx.plaintext import parse_json


class Dataset(ClipRows):
    """A dataset in our own layout (``pack``), as ``dataset.Clips``. ``place`` is a folder or a url that fsspec knows.

    ValueError, one sentence with the place and the clip, from every method, for what cannot be read. Nothing is kept open over
    a fork or a pickle.
    """

    def __init__(self, place: str) -> None:
        self.place = Storage(place)
        try:
            said = self.place.read(INFO)
            if is_foreign(said):
                features_of(place, said)  # refuses what has no cameras, by what is missing
                raise Foreign(f"{place}: a LeRobot dataset of somebody else; make it one of ours first with `dreamx data pack`")
            self.info: dict[str, Any] = parse_json(said)
            about = self.info["dreamx"]
            if about["format"] not in (1, FORMAT):
                raise ValueError(f"its format is {about['format']!r}, this dreamx reads 1 and {FORMAT}")
            self.coding = Coding(**about["coding"])
            self.fps = float(self.info["fps"])
            count = int(self.info["total_episodes"])
        except FileNotFoundError as e:
            raise ValueError(
                f"{place}: no dataset is here ({INFO} is missing) and no clips; give another place, or let the run that makes it"
                " come to its end"
            ) from e
        except Foreign:
            raise
        except Exception as e:
            raise ValueError(f"{place}: {INFO} cannot be read ({_said(e)}); make the dataset again") from e
        try:
            with self.place.open(EPISODES_FILE) as f:
                self._table: pa.Table = pq.read_table(f)
            self.names: list[str] = [str(name) for name in self._table["name"].to_pylist()]
            lengths = self._table["length"].to_pylist()
            if len(self.names) != count or not all(isinstance(n, int) and 0 < n < _LONGEST for n in lengths):
                raise ValueError(f"it holds {len(self.names)} clips, {INFO} says {count}")
        except Exception as e:
            raise ValueError(f"{place}: {EPISODES_FILE} cannot be read ({_said(e)}); make the dataset again") from e
        self._open: OrderedDict[str, pq.ParquetFile] = OrderedDict()
        self._lock = Lock()  # a table that is open is read by one thread at a time

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_open", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._open, self._lock = OrderedDict(), Lock()

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def dropped(self) -> list[dict[str, Any]]:
        """Read the record of dropped clips: name, stage, rule and reason of each; where it can be seen (place); other words
        about it (extra)."""
        try:
            lines = [parse_json(line) for line in self.place.read(DROPPED).decode().splitlines()]
            if not all(isinstance(line, dict) and {"name", "reason"} <= line.keys() for line in lines):
                raise ValueError("a line of it has no name and no reason")
            return lines
        except Exception as e:
            raise ValueError(f"{self.place.url}: {DROPPED} cannot be read ({_said(e)})") from e

    def row(self, i: int) -> ClipRow:
        """Return the metadata of clip ``i``."""
        with self._reading(i):
            row = ClipRow.read(self._words(i))
            if not (0 < row.width <= 1 << 14 and 0 < row.height <= 1 << 14 and row.frames == self._words(i)["length"]):
                raise ValueError("its size cannot be right")
            return row

    def clip(self, i: int) -> Clip:
        return self.window(i, 0, self.row(i).frames)

    def window(self, i: int, start: int, count: int) -> Clip:
        """Frames ``start`` to ``start + count`` of clip ``i``, times and contacts counted from there (``within``)."""
        row = self.row(i)
        if not (0 <= start < start + count <= row.frames):
            raise ValueError(f"window {start} to {start + count} is outside clip {row.name!r} of {row.frames} frames")
        with self._reading(i):
            words, columns = self._words(i), self._columns(i, row)
            h, w = row.height, row.width
            seen = decode(*self._stream(SEEN_KEY, words), int(words[f"videos/{SEEN_KEY}/from_frame"]) + start, count,
                          rate_of(row.fps), (h, w))  # fmt: skip
            maps: dict[str, Tensor | None] = dict.fromkeys(EXACT_KEYS)
            for key in (k for k in EXACT_KEYS if k in row.has):
                bits = decode(*self._stream(key, words), int(words[f"{key}/from_frame"]) + start, count, EXACT_RATE, (h, w))
                maps[key] = torch.from_numpy(bits.view(np.float16 if key == "depth" else np.int16))
            numbers = {k: torch.from_numpy(v) for k, v in columns.items() if isinstance(v, np.ndarray)}
            camera = Camera(numbers["observation.pose"].reshape(-1, 4, 4), numbers["observation.lens"])
            clip = Clip(
                torch.from_numpy(seen).permute(0, 3, 1, 2).contiguous(),
                camera[start : start + count],
                numbers["action"][start : start + count],
                maps["depth"],
                row.fps,
                row.caption,
                row.style,
                row.scene,
                row.seed,
                row.source,
                row.licence,
                row.extra,
                row.story,
                maps["segments"],
                row.entities,
                columns["contacts"],
                numbers["observation.subject"][start : start + count] if "subject" in row.has else None,
            )
        return within(clip, start, row.frames)

    def cameras(self, i: int) -> Camera:
        with self._reading(i):
            columns = self._columns(i, self.row(i))
        return Camera(
            torch.from_numpy(columns["observation.pose"]).reshape(-1, 4, 4), torch.from_numpy(columns["observation.lens"])
        )

    def numbers(self, i: int) -> tuple[dict[str, Array], tuple[Contact, ...]]:
        """The columns of numbers by frame of clip ``i`` that there are, ``[F, width]`` float32, and its contacts."""
        with self._reading(i):
            columns = self._columns(i, self.row(i))
        return {k: columns[k] for k in COLUMNS if columns[k] is not None}, columns["contacts"]

    def encoded(self, i: int) -> dict[str, bytes]:
        """The streams of clip ``i`` as they lie here, by name, each a file of its own."""
        row = self.row(i)
        with self._reading(i):
            words, found = self._words(i), dict[str, bytes]()
            for key in (SEEN_KEY, *(k for k in EXACT_KEYS if k in row.has)):
                file, kind = self._stream(key, words)
                prefix, rate = (f"videos/{key}", rate_of(row.fps)) if key == SEEN_KEY else (key, EXACT_RATE)
                found[key] = cut(file, kind, int(words[f"{prefix}/from_frame"]), row.frames, rate)
            return found

    def _words(self, i: int) -> dict[str, Any]:
        if not 0 <= i < len(self):
            raise ValueError(f"there are {len(self)} clips, 0 to {len(self) - 1}")
        return self._table.slice(i, 1).to_pylist()[0]

    def _stream(self, key: str, words: dict[str, Any]) -> tuple[Any, Any]:
        prefix = f"videos/{key}" if key == SEEN_KEY else key
        file = int(words[f"{prefix}/chunk_index"]) * 1000 + int(words[f"{prefix}/file_index"])
        return self.place.media(stream_path(key, file)), SEEN if key == SEEN_KEY else EXACT

    def _columns(self, i: int, row: ClipRow) -> dict[str, Any]:
        """Numbers by frame ``[F, width]``, None where there are none, and the contacts."""
        words = self._words(i)
        file, group = int(words["data/chunk_index"]) * 1000 + int(words["data/file_index"]), int(words["data/row_group"])
        table = self._group(data_path(file), group)
        if len(table) != row.frames or table["frame_index"].to_pylist() != list(range(row.frames)):
            raise ValueError(f"its table has {len(table)} rows for {row.frames} frames")
        found: dict[str, Any] = {k: _matrix(table[k], row.frames, width) for k, width in COLUMNS.items()}
        for key in ("action", "observation.pose", "observation.lens"):
            if found[key] is None:
                raise ValueError(f"its column {key} is empty")
        if "subject" not in row.has:
            found["observation.subject"] = None
        found["contacts"] = ()
        if "contacts" in table.column_names or words["contacts"]:  # format 1, or a clip in which something touches
            touching = table if "contacts" in table.column_names else self._group(data_path(file, "contacts"), group)
            found["contacts"] = tuple(
                Contact(frame, touch["first"], touch["second"], touch["force"])
                for frame, touches in enumerate(touching["contacts"].to_pylist())
                for touch in touches or ()
            )
        return found

    def _group(self, path: str, group: int) -> pa.Table:
        """A row group of a table, which stays open."""
        with self._lock:
            if path not in self._open:
                self._open[path] = pq.ParquetFile(self.place.open(path))
                if len(self._open) > _OPEN_FILES:
                    self._open.popitem(last=False)[1].close(force=True)
            return self._open[path].read_row_group(group)

    @contextmanager
    def _reading(self, i: int) -> Iterator[None]:
        """Name the place and the clip in whatever is raised inside: a ValueError."""
        try:
            yield
        except Exception as e:
            name = self.names[i] if 0 <= i < len(self) else "?"
            raise ValueError(f"{self.place.url}: clip {i} ({name}) cannot be read: {_said(e)}") from e


def within(clip: Clip, start: int, whole: int) -> Clip:
    """A clip whose tensors are already those of a stretch from ``start``: its words follow.

    Times of the story count from there and end with the stretch; what lies outside is left out; no keys led to its first frame.
    """
    f = len(clip.video)
    if start == 0 and f == whole:
        return clip
    actions = torch.cat([torch.zeros_like(clip.actions[:1]), clip.actions[1:]])
    contacts = tuple(replace(c, frame=c.frame - start) for c in clip.contacts if start <= c.frame < start + f)
    story = None if clip.story is None else _story(clip.story, start / clip.fps, f / clip.fps)
    return replace(clip, actions=actions, contacts=contacts, story=story)


def _story(story: Story, start: float, seconds: float) -> Story:
    seen = [e for e in story.events if e.end >= start and e.start < start + seconds]
    there = {e.id for e in seen}

    def moved(e: Event) -> Event:
        begin, end = max(e.start - start, 0.0), min(e.end - start, seconds)
        return replace(e, start=begin, end=end, interacts=tuple(i for i in e.interacts if i in there))

    return replace(story, events=tuple(moved(e) for e in seen))


def _matrix(column: pa.ChunkedArray, frames: int, width: int) -> Array | None:
    if column.null_count == frames:
        return None
    values = column.combine_chunks()
    flat = values.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    if flat.size != frames * width:
        raise ValueError(f"a column has {flat.size} numbers, not {frames} x {width}")
    return flat.reshape(frames, width)


def _said(e: Exception) -> str:
    if isinstance(e, KeyError):
        return f"it says nothing of {e}"
    return str(e) if isinstance(e, ValueError) and str(e) else f"{type(e).__name__}: {e}"


_OPEN_FILES = 8
_LONGEST = 1 << 24
