"""``--dataset``: what makes clips writes them as a dataset, the same as in a folder, with a reason for each that is missing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import layouts
from drawing import draws
from dreamx.clip import Clip
from dreamx.data import dataset as dataset_files
from dreamx.data.dataset import Coding, Dataset
from dreamx.data.engine import Local, Ray, run_engine
from dreamx.data.importers.doom import DoomConfig, doom
from dreamx.data.importers.run_import import Brought, ImportConfig, import_clips
from dreamx.data.importers.source_shot import ClipFormat
from dreamx.data.opengl import CannotDraw
from dreamx.data.output_options import Into
from dreamx.data.sim import clips, simulated
from dreamx.data.sim.clips import ATTEMPTS
from dreamx.data.sim.navigation import Rejected
from dreamx.data.sim.simulate import simulate
from dreamx.data.sim.simulated import SimulateConfig, Simulated
from test_engine import prints
from test_sources import FPS

EXACT = Into(True, crf=None)


def same(a: Clip, b: Clip) -> bool:
    """Cameras of a dataset are float32; all else is the same bit for bit."""
    maps = ("video", "actions", "depth", "segments", "subject")
    words = ("fps", "caption", "style", "scene", "seed", "source", "licence", "extra", "story", "entities", "contacts")
    for name in maps:
        x, y = getattr(a, name), getattr(b, name)
        if (x is None) != (y is None) or (x is not None and not torch.equal(x, y)):
            return False
    cameras = zip((a.camera.pose, a.camera.lens), (b.camera.pose, b.camera.lens), strict=True)
    return all(torch.equal(x.float(), y.float()) for x, y in cameras) and all(getattr(a, w) == getattr(b, w) for w in words)


def check_same(folder: Path, dataset: Path) -> Dataset:
    """The clips of both, by name."""
    a, b = dataset_files.read(str(folder)), dataset_files.read(str(dataset))
    assert isinstance(b, Dataset) and sorted(b.names) == a.names and len(a) > 0
    assert all(same(a.clip(i), b.clip(b.names.index(name))) for i, name in enumerate(a.names))
    return b


@draws
def test_walks(tmp_path: Path) -> None:
    cfg = SimulateConfig(tmp_path / "f", ("walk",), 2, clips=2, frames=5, width=16, height=16, processes=1)
    assert simulate(cfg) == 4
    into = replace(cfg, out=tmp_path / "d", into=EXACT)
    assert simulate(into) == 4 and simulate(into) == 4, "run again it is there"
    check_same(tmp_path / "f", tmp_path / "d")
    with pytest.raises(ValueError, match="another dataset is here"):
        simulate(replace(into, scenes=3))
    with pytest.raises(ValueError, match="out: .* is a dataset"):
        simulate(replace(cfg, out=tmp_path / "d"))
    with pytest.raises(ValueError, match="out: .* is a folder of clips"):
        simulate(replace(into, out=tmp_path / "f"))


@draws
def test_another_way_of_working_goes_on_with_the_same_run(tmp_path: Path) -> None:
    """Processes, place and patience are not what clips depend on; the width is."""
    cfg = SimulateConfig(tmp_path / "d", ("walk",), 1, clips=2, frames=5, width=16, height=16, processes=1, into=EXACT)
    source = Simulated.of(cfg)
    assert source == Simulated.of(replace(cfg, out=tmp_path / "e", processes=2, into=Into(patience=1)))
    assert source != Simulated.of(replace(cfg, width=32))
    assert Simulated.of(SimulateConfig(tmp_path)) == Simulated.of(SimulateConfig(tmp_path / "e", processes=2))


@draws
def test_events_and_what_cannot_be_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = SimulateConfig(tmp_path / "f", scenes=1, frames=9, width=32, height=32, fps=8.0, processes=1)
    assert simulate(cfg) == 3
    assert simulate(replace(cfg, out=tmp_path / "d", into=EXACT)) == 3
    got = check_same(tmp_path / "f", tmp_path / "d")
    assert got.row(0).extra["subset"] == "first_person" and got.row(2).story is not None

    def never(*_: object) -> Clip:
        raise Rejected("too dark")

    monkeypatch.setattr(clips, "film", never)
    none = replace(cfg, out=tmp_path / "n", subset=("first_person",), into=EXACT)
    assert simulate(none) == 0
    (line,) = Dataset(str(tmp_path / "n")).dropped
    assert line["name"] == "0000000_first_person_00" and line["stage"] == "Simulated"
    assert line["reason"].startswith(f"none of {ATTEMPTS} attempts is good") and " x too dark" in line["reason"]


def test_a_machine_that_cannot_draw_stops_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(*_: object) -> None:
        raise CannotDraw("the simulator cannot draw on this machine")

    monkeypatch.setattr(simulated, "Renderer", blind)
    monkeypatch.setattr(simulated, "drawn", blind)
    for make, cfg in (
        (simulate, SimulateConfig(tmp_path / "w", ("walk",), scenes=1, width=17, processes=1, into=EXACT)),
        (simulate, SimulateConfig(tmp_path / "e", scenes=1, processes=1, into=EXACT)),
    ):
        with pytest.raises(ValueError, match="cannot draw"):
            make(cfg)  # pyright: ignore[reportArgumentType]
        assert not (cfg.out / "meta").exists()


def test_the_game(tmp_path: Path) -> None:
    pytest.importorskip("vizdoom")
    cfg = DoomConfig(tmp_path / "f", clips=2, wanted=ClipFormat(32, 32, frames=9))
    assert doom(cfg) == 2
    assert doom(replace(cfg, out=tmp_path / "d", into=EXACT)) == 2
    assert check_same(tmp_path / "f", tmp_path / "d").names == ["doom-0000000", "doom-0000001"]


def shots(place: Path, kind: str = "megasam") -> ImportConfig:
    """Two shots of 21 frames, one that is damaged, one that is there twice, to be cut to 8 frames."""
    place.mkdir()
    layouts.LAYOUTS[kind][1](place, *layouts.walk())
    (first,) = place.glob("*.npz")
    shutil.copy(first, place / "b_droid.npz")
    (place / "broken_droid.npz").write_bytes(first.read_bytes()[:2000])
    return ImportConfig("megasam", place, place.parent / "f", rate=FPS, wanted=ClipFormat(32, 24, FPS, 8), processes=1)


def test_other_peoples_files(tmp_path: Path) -> None:
    cfg = shots(tmp_path / "in")
    told = import_clips(cfg)
    assert told["clips"] > 4 and told["dropped"] == 1
    assert import_clips(replace(cfg, out=tmp_path / "d", into=EXACT)) == told
    got = check_same(tmp_path / "f", tmp_path / "d")
    assert {"b_droid", "b_droid-1", "b_droid-2"} <= set(got.names) and got.row(0).extra["shot"] == "b_droid"
    (line,) = got.dropped
    assert line["name"] == "broken_droid" and line["stage"] == "Brought" and line["reason"]


def test_killed_and_run_again_gives_the_same_files(tmp_path: Path) -> None:
    cfg = replace(shots(tmp_path / "in"), out=tmp_path / "whole", into=EXACT)
    import_clips(cfg)
    out = tmp_path / "again"
    code = (
        "import sys; from dreamx.data.dataset import Storage as Place; real, n = Place.write, [0]\n"
        "def write(self, name, data):\n"
        "    n[0] += 1\n"
        "    if n[0] == int(sys.argv[1]): import os; os._exit(9)\n"
        "    real(self, name, data)\n"
        "Place.write = write\n"
        "from dreamx.cli import main; main(sys.argv[2:])"
    )
    words = f"data import megasam {cfg.folder} --out {out} --rate {FPS} --wanted.width 32 --wanted.height 24 --wanted.fps {FPS} "
    words += "--wanted.frames 8 --processes 1 --dataset --crf None"
    for at in (3, 4, 5):  # each run gets a little further
        done = subprocess.run([sys.executable, "-c", code, str(at), *words.split()], capture_output=True, check=False)
        assert done.returncode == 9, done.stderr
    assert not (out / "meta/info.json").exists() and list((out / ".parts").glob("*.part"))
    import_clips(replace(cfg, out=out))
    assert prints(out) == prints(tmp_path / "whole")


def test_a_library_that_is_missing_stops_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    dataset_files.write(str(tmp_path / "film"), [("a", walks_clip())], Coding(20))
    shutil.copy(next((tmp_path / "film").rglob("*.mp4")), tmp_path / "in/film.mp4")
    with pytest.raises(ValueError, match=r"need pycolmap .* install .\.\[colmap\]"):
        import_clips(ImportConfig("video", tmp_path / "in", tmp_path / "d", licence="CC0", processes=1, into=EXACT))
    assert not (tmp_path / "d/meta").exists()


def walks_clip() -> Clip:
    from data_stages import walk_clip

    return walk_clip(1, 12)


@pytest.mark.slow
def test_ray_makes_the_same_files(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    cfg = shots(tmp_path / "in")
    source = Brought("megasam", cfg.folder, cfg.rate, cfg.wanted, "CC0")
    run_engine(source, (), str(tmp_path / "a"), Local(1))
    run_engine(source, (), str(tmp_path / "b"), Ray(workers=1))
    assert prints(tmp_path / "a") == prints(tmp_path / "b")
