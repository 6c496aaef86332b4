"""The tables of a dataset: which columns there are, of which kind."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from dreamx.data.dataset.part import COLUMNS, EXACT_KEYS, SEEN_KEY

_WHOLE, _WORDS = pa.int64(), pa.string()
_CONTACT = pa.struct([("first", pa.int32()), ("second", pa.int32()), ("force", pa.float64())])

#: A row a frame: these columns and no others, for LeRobot opens a table only by the features that ``info.json`` declares.
FRAMES = pa.schema(
    [("index", _WHOLE), ("episode_index", _WHOLE), ("frame_index", _WHOLE), ("timestamp", pa.float32()), ("task_index", _WHOLE)]
    + [(key, pa.list_(pa.float32(), width)) for key, width in COLUMNS.items()]
)
#: A row a frame beside them: what touches what, which is no feature that LeRobot knows.
CONTACTS = pa.schema([("contacts", pa.list_(_CONTACT))])

_PLACES = [f"videos/{SEEN_KEY}", *EXACT_KEYS]
#: A row a clip: LeRobot's columns, where its depth and segments lie, and the words of ``Row``.
EPISODES = pa.schema(
    [("episode_index", _WHOLE), ("tasks", pa.list_(_WORDS)), ("length", _WHOLE)]
    + [("data/chunk_index", _WHOLE), ("data/file_index", _WHOLE), ("data/row_group", _WHOLE)]
    + [("dataset_from_index", _WHOLE), ("dataset_to_index", _WHOLE)]
    + [(f"{place}/{word}", _WHOLE) for place in _PLACES for word in ("chunk_index", "file_index", "from_frame")]
    + [(f"videos/{SEEN_KEY}/{word}", pa.float64()) for word in ("from_timestamp", "to_timestamp")]
    + [("meta/episodes/chunk_index", _WHOLE), ("meta/episodes/file_index", _WHOLE)]
    + [("name", _WORDS), ("frames", _WHOLE), ("width", _WHOLE), ("height", _WHOLE), ("fps", pa.float64())]
    + [(word, _WORDS) for word in ("caption", "style", "scene", "source", "licence", "extra", "story", "entities")]
    + [("seed", _WHOLE), ("has", pa.list_(_WORDS)), ("contacts", _WHOLE)]
)


def tasks_table(tasks: dict[str, int]) -> pa.Table:
    """Captions by number, the caption being the index when pandas reads it, as LeRobot does."""
    column = {"pandas_type": "int64", "numpy_type": "int64", "metadata": None}
    index = {"pandas_type": "unicode", "numpy_type": "object", "metadata": None}
    about = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [
            {"name": "task_index", "field_name": "task_index", **column},
            {"name": "task", "field_name": "task", **index},
        ],
        "pandas_version": "2.2.0",
    }
    schema = pa.schema([("task_index", _WHOLE), ("task", _WORDS)], {b"pandas": json.dumps(about).encode()})
    return pa.table({"task_index": list(tasks.values()), "task": list(tasks)}, schema)


def features(height: int, width: int, fps: float, lossless: bool) -> dict[str, Any]:
    """The ``features`` of LeRobot's ``info.json``, one entry a column; its video has even sides where colours are halved."""
    if not height:
        return {}
    if not lossless:
        height, width = height + height % 2, width + width % 2
    names = {
        "action": list("wasdijkl"),
        "observation.pose": [f"c2w{r}{c}" for r in range(4) for c in range(4)],
        "observation.lens": ["fx", "fy", "cx", "cy"],
        "observation.subject": ["x", "y", "z", "heading"],
    }
    found: dict[str, Any] = {k: {"dtype": "float32", "shape": [len(v)], "names": v} for k, v in names.items()}
    found[SEEN_KEY] = {
        "dtype": "video",
        "shape": [height, width, 3],
        "names": ["height", "width", "channels"],
        "info": {
            "video.height": height,
            "video.width": width,
            "video.codec": "h264",
            "video.pix_fmt": "gbrp" if lossless else "yuv420p",
            "video.fps": fps,
            "video.channels": 3,
            "video.is_depth_map": False,
            "has_audio": False,
        },
    }
    for key, kind in (("timestamp", "float32"), *((k, "int64") for k in ("frame_index", "episode_index", "index", "task_index"))):
        found[key] = {"dtype": kind, "shape": [1], "names": None}
    return found
