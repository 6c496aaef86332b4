"""A dataset as the tools of LeRobot would leave it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

Info = dict[str, Any]


def resaved(place: Path, edit: Callable[[Info], object]) -> None:
    """As LeRobot's tools leave a dataset: without our words, its episodes in files of their own."""
    info = json.loads((place / "meta/info.json").read_text())
    del info["dreamx"]
    edit(info)
    (place / "meta/info.json").write_text(json.dumps(info))
    episodes = place / "meta/episodes/chunk-000/file-000.parquet"
    table = pq.read_table(episodes)
    table = table.select([c for c in table.column_names if "/" in c or c in ("episode_index", "tasks", "length")])
    for i in range(len(table)):
        pq.write_table(table.slice(i, 1), episodes.with_name(f"file-{i:03d}.parquet"))
