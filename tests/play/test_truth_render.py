"""The truth beside the dream is what the renderer shows from the same cameras."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor

import micro
from drawing import draws
from dreamx.data.scene.render import render_path
from dreamx.data.scene.scene import scene
from dreamx.data.sim.start_pictures import StartsConfig, starts
from dreamx.geometry import Camera, from_keys
from dreamx.geometry.controls import walk
from dreamx.picture import read_picture
from dreamx.play import ground_truth_renderer as module
from dreamx.play.ground_truth_renderer import truth_for

WHENCE = {"seed": 500_003, "kind": "maze", "style": "game", "index": 2}


@pytest.fixture(autouse=True, scope="module")
def painter() -> Iterator[None]:
    yield
    module._PAINTER.close()


def start(folder: Path, said: dict[str, object] | None = None) -> Path:
    (folder / "a.json").write_text(json.dumps(WHENCE | (said or {})))
    return folder / "a.png"


def truth_of(file: Path) -> Callable[[Camera], Tensor]:
    found = truth_for(micro.world(), file)
    assert found is not None
    return found


def session_path(keys: str = "wl") -> Camera:
    """Cameras of a session: the first frame is the identity pose."""
    return walk(micro.world().camera, from_keys([keys] * 6), torch.tensor([0.0, -1.0, 0.0]))


@draws
def test_it_is_the_render_from_the_same_cameras(tmp_path: Path) -> None:
    path = session_path()
    shown = truth_of(start(tmp_path))(path)
    place = scene(500_003, "game", "maze")
    want, _ = render_path(place, Camera(place.start(2).pose @ path.pose, path.lens), micro.SIZE, micro.SIZE)
    assert shown.shape == (6, 3, micro.SIZE, micro.SIZE)
    assert torch.equal(shown, want)
    assert (want[0].float() - want[5].float()).abs().mean() > 3, "the test would pass without moving"


@draws
def test_it_begins_with_the_start_picture(tmp_path: Path) -> None:
    starts(StartsConfig(tmp_path, micro.SIZE, micro.SIZE, each=1))
    file = tmp_path / "maze-game.png"
    picture, _ = read_picture(file.read_bytes(), (micro.SIZE, micro.SIZE))
    here = micro.world().camera.map(lambda x: x[None])
    assert torch.equal(truth_of(file)(here)[0], picture)


@draws
def test_sessions_share_the_process_and_do_not_mix(tmp_path: Path) -> None:
    """More scenes than are kept ready, asked by turns and from several threads."""
    path = session_path("d")
    truths: list[Callable[[Camera], Tensor]] = []
    assert module._READY < 6
    for i in range(6):
        folder = tmp_path / str(i)
        folder.mkdir()
        truths.append(truth_of(start(folder, {"seed": 500_000 + i})))
    first = [t(path) for t in truths]
    assert len({x.numpy().tobytes() for x in first}) == 6
    with ThreadPoolExecutor(3) as pool:
        again = list(pool.map(lambda t: t(path), truths))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@draws
def test_a_process_that_dies_is_an_error_and_the_next_truth_has_another(tmp_path: Path) -> None:
    file, path = start(tmp_path), session_path()
    truth = truth_of(file)
    frames = truth(path)
    process = module._PAINTER._process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with pytest.raises(RuntimeError, match="the process that draws ended"):
        truth(path)
    assert torch.equal(truth_of(file)(path), frames)
    other = module._PAINTER._process
    assert other is not None
    assert other.stdin is not None
    other.stdin.close()
    assert other.wait(300) == 0, "it does not end with its input"
    module._PAINTER.close()


def test_a_picture_of_no_scene_has_no_truth(tmp_path: Path) -> None:
    assert truth_for(micro.world(), tmp_path / "holiday.png") is None


def test_without_the_simulator_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "mujoco" else importlib.util.find_spec(name))
    with pytest.raises(ValueError, match=r"pip install .\.\[sim\]"):
        truth_for(micro.world(), start(tmp_path))


def test_bad_files_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a.json: .*'fov' is unknown.*make the starts again"):
        truth_for(micro.world(), start(tmp_path, {"fov": 3}))
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ValueError, match="a.json: "):
        truth_for(micro.world(), tmp_path / "a.png")


@draws
def test_a_scene_that_cannot_be_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="truth: scene: kind 'moon' is not one of"):
        truth_for(micro.world(), start(tmp_path, {"kind": "moon"}))
