"""Somebody else's LeRobot dataset, version 3, read like one of ours where it holds cameras.

Poses are a feature of 16 or 12 numbers, ``observation.pose`` or alike; lenses one of 4 or 9, ``observation.lens`` or alike
(``lerobot_info``), in pixels or shares. What has no cameras (nearly every robot's) is refused by what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from dreamx.clip import Clip
from dreamx.data.dataset.folder import window
from dreamx.data.dataset.foreign import lenses_of, poses_of
from dreamx.data.dataset.lerobot_info import INFO, features_of
from dreamx.data.dataset.part import Array, ClipRow, ClipRows, check
from dreamx.data.dataset.picture_coding import SEEN, decode, rate_of
from dreamx.data.dataset.storage import Storage
from dreamx.geometry.camera import Camera, se3_inverse
from dreamx.picture import open_picture


class LeRobot(ClipRows):
    """Its episodes as clips, as ``dataset.Clips``. ValueError, one sentence with the place, where they cannot be read as such."""

    def __init__(self, place: str) -> None:
        self.place = Storage(place)
        self.info, self.features = features_of(place, self.place.read(INFO))
        with self._reading("its tables of episodes"):
            self.fps = float(self.info["fps"])
            found = [self._table(name) for name in self.place.below("meta/episodes") if name.endswith(".parquet")]
            self._episodes: list[dict[str, Any]] = [row for table in found for row in table.to_pylist()]
            self.names = [f"episode_{int(row['episode_index']):06d}" for row in self._episodes]
        if not self.names:
            raise ValueError(f"{place}: a LeRobot dataset without episodes (meta/episodes); download it again")

    def __len__(self) -> int:
        return len(self.names)

    def row(self, i: int) -> ClipRow:
        """Return the metadata of clip ``i``: its tasks are its caption."""
        if not 0 <= i < len(self):
            raise ValueError(f"there are {len(self)} clips, 0 to {len(self) - 1}")
        with self._reading(self.names[i]):
            words = self._episodes[i]
            height, width = _size(self.info["features"][self.features.seen])
            caption = "; ".join(str(x) for x in words.get("tasks") or ())
            extra = {} if self.features.keys else {"actions": "unknown"}
            return ClipRow(self.names[i], int(words["length"]), width, height, self.fps, caption, source="LeRobot", extra=extra)

    def cameras(self, i: int) -> Camera:
        row = self.row(i)
        with self._reading(row.name):
            return self._cameras(self._frames(i, [self.features.pose, self.features.lens]), row)

    def clip(self, i: int) -> Clip:
        row = self.row(i)
        with self._reading(row.name):
            wanted = [self.features.pose, self.features.lens]
            wanted += [self.features.keys] if self.features.keys else []
            stored = self.info["features"][self.features.seen]["dtype"] == "image"
            table = self._frames(i, wanted + ([self.features.seen] if stored else []))
            video = _stored(table[self.features.seen], row) if stored else self._film(i, row)
            keys = _numbers(table[self.features.keys]) if self.features.keys else np.zeros((row.frames, 8))
            clip = Clip(
                torch.from_numpy(video).permute(0, 3, 1, 2).contiguous(), self._cameras(table, row),
                torch.from_numpy(keys.astype(np.float32)), None, self.fps, row.caption, source=row.source, extra=row.extra,
            )  # fmt: skip
            check(row.name, clip)
            return clip

    def window(self, i: int, start: int, count: int) -> Clip:
        return window(self.clip(i), start, count, self.names[i])

    def encoded(self, i: int) -> dict[str, bytes]:
        """Nothing here is encoded as ours is."""
        return {}

    def _table(self, name: str, columns: list[str] | None = None, episode: int | None = None) -> pa.Table:
        with self.place.open(name) as f:
            return pq.read_table(f, columns=columns, filters=None if episode is None else [("episode_index", "=", episode)])

    def _frames(self, i: int, columns: list[str]) -> pa.Table:
        words = self._episodes[i]
        where = self._where("data_path", words, "data", "")
        table = self._table(where, ["frame_index", *dict.fromkeys(columns)], int(words["episode_index"])).sort_by("frame_index")
        if table["frame_index"].to_pylist() != list(range(int(words["length"]))):
            raise ValueError(f"its table has {len(table)} rows for {words['length']} frames")
        return table

    def _where(self, path: str, words: dict[str, Any], prefix: str, key: str) -> str:
        chunk, file = (int(words[f"{prefix}/{k}_index"]) for k in ("chunk", "file"))
        return str(self.info[path]).format(chunk_index=chunk, file_index=file, video_key=key)

    def _film(self, i: int, row: ClipRow) -> Array:
        words, key = self._episodes[i], self.features.seen
        start = round(float(words[f"videos/{key}/from_timestamp"]) * rate_of(self.fps))
        where = self._where("video_path", words, f"videos/{key}", key)
        return decode(self.place.media(where), SEEN, start, row.frames, rate_of(self.fps), (row.height, row.width))

    def _cameras(self, table: pa.Table, row: ClipRow) -> Camera:
        pose = poses_of(_numbers(table[self.features.pose]), row.frames)
        lens = lenses_of(_numbers(table[self.features.lens]), row.frames, row.width, row.height)
        return Camera(se3_inverse(pose.double()).float() if self.features.inverse else pose, lens)

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        """Name the place and ``what`` is read of it in whatever is raised inside: a ValueError."""
        try:
            yield
        except Exception as e:
            said = str(e) if isinstance(e, ValueError) else f"{type(e).__name__}: {e}"
            said = f"they say nothing of {e}" if isinstance(e, KeyError) else said
            raise ValueError(f"{self.place.url}: {what} of this LeRobot dataset cannot be read: {said}") from e


def _size(feature: dict[str, Any]) -> tuple[int, int]:
    """Height and width of a feature of pictures."""
    shape, names = [int(n) for n in feature["shape"]], feature.get("names")
    if isinstance(names, list) and {"height", "width"} <= set(names):
        return shape[names.index("height")], shape[names.index("width")]
    return (shape[1], shape[2]) if shape[0] == 3 else (shape[0], shape[1])


def _numbers(column: pa.ChunkedArray) -> Array:
    return np.array(column.to_pylist(), dtype=np.float64)


def _stored(column: pa.ChunkedArray, row: ClipRow) -> Array:
    """Pictures that lie in the table as files, ``[F, H, W, 3]``."""
    found = [np.asarray(open_picture(x["bytes"])[0]) for x in column.to_pylist()]
    if any(x.shape != (row.height, row.width, 3) for x in found):
        raise ValueError(f"its pictures are not of {row.width} x {row.height}")
    return np.stack(found)
