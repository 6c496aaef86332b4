"""LeRobot's layout both ways: ours holds what it declares and nothing else; somebody else's is read or refused."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from data_stages import walk_clip
from dreamx.cli import main
from dreamx.data import dataset
from dreamx.data.clip_list import shots
from dreamx.data.dataset import Coding, Dataset
from dreamx.data.dataset.lerobot import LeRobot
from dreamx.data.dataset.tables import CONTACTS
from lerobot_files import Info, resaved
from test_dataset import a_clip, same

EXACT = Coding(crf=None)


def declared(feature: dict[str, Any]) -> pa.DataType:
    """The column that LeRobot reads a feature from."""
    kind = {"float32": pa.float32(), "int64": pa.int64()}[feature["dtype"]]
    return kind if feature["shape"] == [1] else pa.list_(kind, feature["shape"][0])


@pytest.mark.parametrize("full", [True, False])
def test_every_column_is_declared_and_none_is_null(tmp_path: Path, full: bool) -> None:
    clips = [replace(a_clip(i, full=full, size=(17, 22)), fps=29.97) for i in range(2)]
    assert dataset.write(str(tmp_path / "d"), [(f"c{i}", c) for i, c in enumerate(clips)]) == []
    info = json.loads((tmp_path / "d/meta/info.json").read_text())
    table = pq.read_table(next((tmp_path / "d/data").rglob("*.parquet")))
    columns = {k: v for k, v in info["features"].items() if v["dtype"] != "video"}
    assert dict(zip(table.schema.names, table.schema.types, strict=True)) == {k: declared(v) for k, v in columns.items()}
    assert all(table[name].null_count == 0 for name in table.column_names)
    assert (tmp_path / "d/contacts").exists() == full
    # Its film has even sides, and its times are those of the film: LeRobot allows 0.1 ms.
    assert info["features"]["observation.image"]["shape"] == [18, 22, 3]
    rate = 30000 / 1001
    assert info["fps"] == pytest.approx(rate, abs=1e-9)
    (episode,) = pq.read_table(next((tmp_path / "d/meta/episodes").rglob("*.parquet"))).slice(1, 1).to_pylist()
    assert episode["videos/observation.image/from_timestamp"] == pytest.approx(20 / rate, abs=1e-9)


def older(place: Path) -> None:
    """Format 1: contacts in the table of frames, null for no subject."""
    for path in (place / "data").rglob("*.parquet"):
        touching = pq.ParquetFile(place / "contacts" / path.relative_to(place / "data"))
        source = pq.ParquetFile(io.BytesIO(path.read_bytes()))
        tables: list[pa.Table] = []
        for i in range(source.num_row_groups):
            table = source.read_row_group(i).append_column(CONTACTS.field(0), touching.read_row_group(i)["contacts"])
            at = table.column_names.index("observation.subject")
            if np.isnan(table["observation.subject"].combine_chunks().flatten().to_numpy()).all():
                table = table.set_column(at, table.field(at), pa.nulls(len(table), table.field(at).type))
            tables.append(table)
        with pq.ParquetWriter(path, tables[0].schema) as writer:
            for table in tables:
                writer.write_table(table)
    for path in (place / "contacts").rglob("*.parquet"):
        path.unlink()
    episodes = next((place / "meta/episodes").rglob("*.parquet"))
    pq.write_table(pq.read_table(episodes).drop_columns(["contacts"]), episodes)
    info = json.loads((place / "meta/info.json").read_text())
    info["dreamx"]["format"] = 1
    (place / "meta/info.json").write_text(json.dumps(info))


def test_a_dataset_of_format_one_is_read(tmp_path: Path) -> None:
    clips = [a_clip(0), a_clip(1, 5, full=False)]
    dataset.write(str(tmp_path / "d"), [("a", clips[0]), ("b", clips[1])], EXACT)
    older(tmp_path / "d")
    got = dataset.read(str(tmp_path / "d"))
    assert all(same(got.clip(i), c) for i, c in enumerate(clips)) and same(got.window(0, 3, 9), dataset.window(clips[0], 3, 9))


def test_contacts_that_are_gone_are_a_sentence(tmp_path: Path) -> None:
    dataset.write(str(tmp_path / "d"), [("a", a_clip(0))], EXACT)
    next((tmp_path / "d/contacts").rglob("*.parquet")).unlink()
    with pytest.raises(ValueError, match=r"clip 0 \(a\) cannot be read"):
        dataset.read(str(tmp_path / "d")).clip(0)


def test_a_dataset_of_others_that_holds_cameras_is_read(tmp_path: Path) -> None:
    clips = [replace(walk_clip(i), depth=None) for i in range(3)]
    dataset.write(str(tmp_path / "d"), [(f"c{i}", c) for i, c in enumerate(clips)], EXACT)
    resaved(tmp_path / "d", lambda info: None)
    got = dataset.read(str(tmp_path / "d"))
    assert isinstance(got, LeRobot) and got.names == ["episode_000000", "episode_000001", "episode_000002"]
    for i, c in enumerate(clips):
        clip = got.clip(i)
        assert torch.equal(clip.video, c.video) and torch.equal(clip.actions, c.actions)
        assert torch.equal(clip.camera.pose, c.camera.pose) and torch.equal(clip.camera.lens, c.camera.lens)
        assert torch.equal(got.cameras(i).pose, c.camera.pose) and got.row(i).caption == c.caption == clip.caption
    assert torch.equal(got.window(1, 2, 4).video, clips[1].video[2:6]) and len(shots(tmp_path / "d")) == 3
    with pytest.raises(ValueError, match="make it one of ours first"):
        Dataset(str(tmp_path / "d"))


def robot(info: Info) -> None:
    info["features"] = {"observation.state": {"dtype": "float32", "shape": [6]}, "action": {"dtype": "float32", "shape": [6]}}


def two_cameras(info: Info) -> None:
    info["features"]["observation.images.wrist"] = info["features"]["observation.image"]


REFUSED: list[tuple[Callable[[Info], object], str]] = [
    (robot, "lacks poses of the camera .*, and its lens .*, and pictures; it has action, observation.state"),
    (lambda info: info["features"].pop("observation.lens"), "that lacks its lens"),
    (lambda info: info.update(codebase_version="v2.1"), "of version v2.1, and 3.0 is read"),
    (lambda info: info.pop("features"), "neither of dreamx nor of LeRobot"),
    (lambda info: info.update(features=[1]), "neither of dreamx nor of LeRobot"),
    (lambda info: info.update(features={"observation.pose": {"shape": "none"}}), "cannot be read|lacks"),
    (lambda info: info.pop("fps"), "cannot be read"),
    (two_cameras, "several cameras"),
]


@pytest.mark.parametrize(("edit", "said"), REFUSED)
def test_a_dataset_of_others_is_refused_by_what_is_missing(
    tmp_path: Path, edit: Callable[[Info], object], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset.write(str(tmp_path / "d"), [("a", walk_clip(0))])
    resaved(tmp_path / "d", edit)
    with pytest.raises(ValueError, match=said):
        dataset.read(str(tmp_path / "d"))
    with pytest.raises(SystemExit) as e:
        main(["data", "sheet", "--clips", str(tmp_path / "d"), "--out", str(tmp_path / "x.png")])
    told = capsys.readouterr().err
    assert e.value.code == 2 and len(told.splitlines()) == 1 and "KeyError" not in told
