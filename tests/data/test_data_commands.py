"""``dreamx data pack`` and ``unpack``, clips made alike, and the bench of the data engine."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from data_stages import walk_clip
from dreamx.bench.data import DataBenchConfig, Many, measure
from dreamx.cli import main
from dreamx.clip import Clip
from dreamx.data import dataset
from dreamx.data.dataset import Dataset
from dreamx.data.engine import Drop, Local, run_engine
from dreamx.data.engine.conform import Conform
from dreamx.events import Contact
from test_dataset import a_clip, same
from test_engine import prints

ONE = ("--processes", "1")


def test_a_folder_into_a_dataset_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "f").mkdir()
    clips = [a_clip(i, 10 + i) for i in range(3)]
    for i, clip in enumerate(clips):
        clip.save(tmp_path / f"f/{i}.safetensors")
    (tmp_path / "f/broken.safetensors").write_bytes(b"no clip")
    main(["data", "pack", str(tmp_path / "f"), "--out", str(tmp_path / "d"), "--crf", "None", *ONE])
    assert "3 clips of 33 frames" in (said := capsys.readouterr().out) and "1 dropped" in said
    got = dataset.read(str(tmp_path / "d"))
    assert isinstance(got, Dataset) and got.names == ["0", "1", "2"]
    assert [(d["name"], d["stage"]) for d in got.dropped] == [("broken", "Folder")]
    main(["data", "unpack", str(tmp_path / "d"), "--out", str(tmp_path / "back")])
    names = ["0.safetensors", "1.safetensors", "2.safetensors"]
    assert sorted(p.name for p in (tmp_path / "back").iterdir()) == [".dreamx.json", *names]
    assert all(same(Clip.load(tmp_path / f"back/{i}.safetensors"), clip) for i, clip in enumerate(clips))


def test_what_is_bad_is_dropped_by_its_rule(tmp_path: Path) -> None:
    still = replace(walk_clip(1, 24, (32, 48)), video=torch.full((24, 3, 32, 48), 99, dtype=torch.uint8))
    dataset.write(str(tmp_path / "d"), [("still", still)])
    main(["data", "pack", str(tmp_path / "d"), "--out", str(tmp_path / "e"), "--curate", "--limits.seconds", "1", *ONE])
    got = dataset.read(str(tmp_path / "e"))
    assert isinstance(got, Dataset) and len(got) == 0
    assert (got.dropped[0]["stage"], got.dropped[0]["rule"]) == ("Judged", "static")


def test_clips_are_made_alike(tmp_path: Path) -> None:
    clip = walk_clip(1, 25, (20, 36))
    clip = replace(clip, contacts=(Contact(9, 1, 2, 1.0),), subject=torch.arange(100.0).reshape(25, 4))
    got = Conform((12, 10), 8.0)(clip)
    assert isinstance(got, Clip) and got.fps == 8.0
    assert got.video.shape == (13, 3, 10, 12) and got.depth is not None and got.depth.shape == (13, 10, 12)
    assert torch.equal(got.camera.pose, clip.camera.pose[::2]) and got.contacts[0].frame == 5
    # 36 x 20 is cut to 24 x 20: a ray through the same point of the scene lies at the same share of the narrower picture
    x = 0.3
    before = clip.camera.lens[0, 0] * x + clip.camera.lens[0, 2]
    after = got.camera.lens[0, 0] * x + got.camera.lens[0, 2]
    assert float(after) == pytest.approx((float(before) * 36 - 6) / 24)
    assert isinstance(Conform((64, 64))(clip), Drop) and isinstance(Conform(fps=30.0)(clip), Drop)
    same_clip = Conform((36, 20), 16.0)(clip)
    assert same_clip is clip
    with pytest.raises(ValueError, match="conform.size"):
        Conform((0, 4))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pack", "nowhere", "--out", "x"], "no dataset is here"),
        (["pack", "ftq://x/y", "--out", "x"], "not a place that fsspec can open"),
        (["export", "nowhere", "--out", "x"], "no dataset is here"),
        (["pack", "nowhere", "--out", "x", "--processes", "-1"], "--processes must be 0 or more"),
    ],
)
def test_bad_input_is_a_sentence(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as e:
        main(["data", *words])
    assert e.value.code == 2 and said in capsys.readouterr().err
    assert not list(tmp_path.rglob("info.json"))


def test_a_dataset_of_many_clips_in_many_files(tmp_path: Path) -> None:
    run_engine(Many(40), (), str(tmp_path / "a"), Local(processes=1), megabytes=0.1)
    got = dataset.read(str(tmp_path / "a"))
    assert len(list((tmp_path / "a/data").rglob("*.parquet"))) > 3
    assert all(got.clip(i).seed == i for i in (0, 17, 39))
    before = prints(tmp_path / "a")
    run_engine(got, (), str(tmp_path / "b"), Local(processes=1), megabytes=0.1)
    after = prints(tmp_path / "b")
    told = {"meta/info.json", "meta/stats.json"}
    assert {k: v for k, v in before.items() if k not in told} == {k: v for k, v in after.items() if k not in told}


def test_the_bench_measures_what_it_says() -> None:
    try:
        figures = measure(DataBenchConfig(scenes=1, clips=1, frames=5, width=16, height=16, many=10))
    except (ImportError, ValueError) as e:
        pytest.skip(str(e))
    assert 0 < figures.share_of_processor <= 2 and figures.bare > 0 and len(figures.megabytes_by_tenth) == 10


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    script = "import sys; sys.modules['pyarrow'] = None; from dreamx.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", script, "data", "pack", "nowhere", "--out", str(tmp_path / "d")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "pip install '.[data]'" in done.stderr and "Traceback" not in done.stderr
