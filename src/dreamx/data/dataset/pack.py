"""Parts into a dataset of LeRobot's layout, version 3: many clips a file, tables beside the pictures.

meta/info.json                                 written last: a folder without it is no dataset
meta/episodes/chunk-000/file-000.parquet       a row a clip: where it lies, its words, source and licence
meta/tasks.parquet  meta/stats.json            captions by number; least, greatest, mean and deviation
meta/dropped.jsonl                             a line for each clip that is not here, with the reason
data/chunk-000/file-000.parquet                a row a frame, a row group a clip
contacts/chunk-000/file-000.parquet            the same rows: what touches what; only where something does
videos/observation.image/chunk-000/file-000.mp4
depth/chunk-000/file-000.mkv  segments/...     FFV1, bit for bit
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dreamx.data.dataset.part import COLUMNS, EXACT_KEYS, SEEN_KEY, Array, ClipPart
from dreamx.data.dataset.picture_coding import EXACT, EXACT_RATE, SEEN, Coding, Joiner, MediaKind, rate_of
from dreamx.data.dataset.storage import Storage
from dreamx.data.dataset.tables import CONTACTS, EPISODES, FRAMES, features, tasks_table

INFO, DROPPED, STATS, TASKS = "meta/info.json", "meta/dropped.jsonl", "meta/stats.json", "meta/tasks.parquet"
EPISODES_FILE = "meta/episodes/chunk-000/file-000.parquet"
FILES_A_CHUNK = 1000
FORMAT = 2  # 1 had the contacts in the table of frames, and no subject as null


def stream_path(key: str, file: int) -> str:
    """Return the path of file number ``file`` of a stream of pictures."""
    where = f"chunk-{file // FILES_A_CHUNK:03d}/file-{file % FILES_A_CHUNK:03d}"
    return f"videos/{key}/{where}{SEEN.suffix}" if key == SEEN_KEY else f"{key}/{where}{EXACT.suffix}"


def data_path(file: int, table: str = "data") -> str:
    """Return the path of file number ``file`` of the numbers by frame, or of the ``contacts``."""
    return f"{table}/chunk-{file // FILES_A_CHUNK:03d}/file-{file % FILES_A_CHUNK:03d}.parquet"


class Packer:
    """Packs parts, in the order of ``add``, into the dataset at ``place``; it is one when ``close`` has come to its end.

    The files are a function of the parts and their order alone. ``megabytes``: a file that has grown beyond gets a follower.
    """

    def __init__(self, place: Storage, coding: Coding, megabytes: float = 100.0) -> None:
        self._place, self._coding, self._limit = place, coding, megabytes * 1e6
        if place.local is not None:
            place.local.mkdir(parents=True, exist_ok=True)
        self._scratch = tempfile.TemporaryDirectory(prefix=".packing-", dir=place.local)
        self._file, self._size = 0, 0
        self._first: tuple[int, int, float] | None = None
        self._frames = 0
        self._episodes: list[dict[str, Any]] = []
        self._tasks: dict[str, int] = {}
        self._names: set[str] = set()
        self._stats: dict[str, Array] = {}
        self._table: pq.ParquetWriter | None = None
        self._touching: pq.ParquetWriter | None = None
        self._groups, self._touches = 0, 0
        self._joiners: dict[str, Joiner] = {}

    def add(self, part: ClipPart) -> None:
        """One clip more; ValueError for one that does not go with those before, which are not touched."""
        row = part.row
        kind = (row.height, row.width, row.fps)
        if row.name in self._names:
            raise ValueError(f"clip.name {row.name!r} is there already; ids must differ")
        if self._first is not None and kind != self._first:
            h, w, fps = self._first
            raise ValueError(
                f"clip is {row.width}x{row.height} at {row.fps:g} frames/s, the dataset {w}x{h} at {fps:g}; "
                "make them alike with --size and --fps (dreamx.data.engine.conform)"
            )
        self._first = kind
        self._names.add(row.name)
        task = self._tasks.setdefault(row.caption, len(self._tasks))
        if self._table is None or self._touching is None:
            self._table = pq.ParquetWriter(self._scratch_path("data.parquet"), FRAMES)
            self._touching = pq.ParquetWriter(self._scratch_path("contacts.parquet"), CONTACTS)
            self._groups = self._touches = 0
        self._table.write_table(_frames(part, len(self._episodes), self._frames, task))
        self._touching.write_table(_contacts(part))
        self._touches += len(part.contacts)
        self._episodes.append(self._episode(part, task))
        self._groups += 1
        self._frames += row.frames
        self._size += sum(map(len, part.streams.values()))
        for key, value in part.stats.items():
            self._stats[key] = _merged(self._stats[key], value) if key in self._stats else value
        if self._size > self._limit:
            self._flush()

    def _episode(self, part: ClipPart, task: int) -> dict[str, Any]:
        row, chunk = part.row, {"chunk_index": self._file // FILES_A_CHUNK, "file_index": self._file % FILES_A_CHUNK}
        where: dict[str, Any] = {f"data/{k}": v for k, v in chunk.items()}
        for key, data in part.streams.items():
            kind, rate = (SEEN, rate_of(row.fps)) if key == SEEN_KEY else (EXACT, EXACT_RATE)
            joiner = self._joiner(key, kind, rate)
            prefix = f"videos/{key}" if key == SEEN_KEY else key
            where |= {f"{prefix}/{k}": v for k, v in chunk.items()} | {f"{prefix}/from_frame": joiner.frames}
            before = joiner.frames
            joiner.add_bytes(data)
            if joiner.frames != before + row.frames:
                raise ValueError(f"clip.{key} has {joiner.frames - before} pictures for {row.frames} frames")
        start, rate = where[f"videos/{SEEN_KEY}/from_frame"], rate_of(row.fps)
        return where | {
            "episode_index": len(self._episodes),
            "tasks": [row.caption],
            "length": row.frames,
            "data/row_group": self._groups,
            "dataset_from_index": self._frames,
            "dataset_to_index": self._frames + row.frames,
            f"videos/{SEEN_KEY}/from_timestamp": float(start / rate),  # of the film's own rate: 29.97 is 30000/1001 there
            f"videos/{SEEN_KEY}/to_timestamp": float((start + row.frames) / rate),
            "meta/episodes/chunk_index": 0,
            "meta/episodes/file_index": 0,
            "contacts": len(part.contacts),
            **row.words(),
        }

    def _joiner(self, key: str, kind: MediaKind, rate: Fraction) -> Joiner:
        if key not in self._joiners:
            self._joiners[key] = Joiner(self._scratch_path(f"{key}{kind.suffix}"), kind, rate)
        return self._joiners[key]

    def _scratch_path(self, name: str) -> Path:
        return Path(self._scratch.name) / name

    def _flush(self) -> None:
        """Put the open files where they belong and begin new ones."""
        if self._table is None or self._touching is None:
            return
        self._table.close()
        self._place.put(data_path(self._file), self._scratch_path("data.parquet"))
        self._touching.close()
        if self._touches:
            self._place.put(data_path(self._file, "contacts"), self._scratch_path("contacts.parquet"))
        for key, joiner in self._joiners.items():
            joiner.close()
            target = stream_path(key, self._file)
            self._place.put(target, self._scratch_path(f"{key}{Path(target).suffix}"))
        self._table, self._touching, self._joiners, self._size = None, None, {}, 0
        self._file += 1

    def close(self, dropped: Sequence[Mapping[str, Any]] | None = None, run: dict[str, Any] | None = None) -> None:
        """Write the tables and, last, ``meta/info.json``. ``run``: what made it, in words of JSON."""
        self._flush()
        episodes = self._scratch_path("episodes.parquet")
        pq.write_table(pa.Table.from_pylist(self._episodes, EPISODES), episodes, row_group_size=4096)
        self._place.put(EPISODES_FILE, episodes)
        tasks = self._scratch_path("tasks.parquet")
        pq.write_table(tasks_table(self._tasks), tasks)
        self._place.put(TASKS, tasks)
        stats = {k: _summary(v, k == SEEN_KEY) for k, v in sorted(self._stats.items())}
        self._place.write(STATS, json.dumps(stats, indent=1).encode())
        self._place.write(DROPPED, "".join(json.dumps(line) + "\n" for line in dropped or []).encode())
        self._place.write(INFO, json.dumps(self._info(run or {}), indent=1).encode())
        self._scratch.cleanup()

    def _info(self, run: dict[str, Any]) -> dict[str, Any]:
        h, w, fps = self._first or (0, 0, 0.0)
        fps = float(rate_of(fps)) if fps else fps
        return {
            "codebase_version": "v3.0",
            "robot_type": "camera",
            "total_episodes": len(self._episodes),
            "total_frames": self._frames,
            "total_tasks": len(self._tasks),
            "chunks_size": FILES_A_CHUNK,
            "data_files_size_in_mb": self._limit / 1e6,
            "video_files_size_in_mb": self._limit / 1e6,
            "fps": int(fps) if fps == int(fps) else fps,
            "splits": {"train": f"0:{len(self._episodes)}"},
            "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
            "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
            "features": features(h, w, fps, self._coding.crf is None),
            "dreamx": {"format": FORMAT, "coding": asdict(self._coding), "run": run, "exact": list(EXACT_KEYS)},
        }


def _frames(part: ClipPart, episode: int, first: int, task: int) -> pa.Table:
    """A row a frame; NaN for what a clip does not have, for readers that make batches have no use for null."""
    f = part.row.frames
    columns: dict[str, Any] = {
        "index": np.arange(first, first + f),
        "episode_index": np.full(f, episode),
        "frame_index": np.arange(f),
        "timestamp": (np.arange(f) / float(rate_of(part.row.fps))).astype(np.float32),
        "task_index": np.full(f, task),
    }
    for key, width in COLUMNS.items():
        values = part.columns.get(key, np.full((f, width), np.nan, np.float32))
        columns[key] = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), width).cast(FRAMES.field(key).type)
    return pa.table({name: columns[name] for name in FRAMES.names}, FRAMES)


def _contacts(part: ClipPart) -> pa.Table:
    """A row a frame: a list of what touches what."""
    touching: list[list[dict[str, Any]]] = [[] for _ in range(part.row.frames)]
    for c in part.contacts:
        touching[c.frame].append({"first": c.first, "second": c.second, "force": c.force})
    return pa.table({"contacts": touching}, CONTACTS)


def _merged(a: Array, b: Array) -> Array:
    return np.stack([a[0] + b[0], a[1] + b[1], a[2] + b[2], np.minimum(a[3], b[3]), np.maximum(a[4], b[4])])


def _summary(x: Array, seen: bool) -> dict[str, Any]:
    count, total, square, least, most = x
    mean = total / count
    deviation = np.sqrt(np.maximum(square / count - mean * mean, 0))

    def shaped(values: Array) -> Any:
        return values.reshape(-1, 1, 1).tolist() if seen else values.tolist()

    return {
        **{k: shaped(v) for k, v in (("min", least), ("max", most), ("mean", mean), ("std", deviation))},
        "count": [int(count[0])],
    }
