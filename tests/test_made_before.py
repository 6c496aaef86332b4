"""Files that an earlier dreamx wrote (commit ed2f70c, before its names were changed) open in this one, and go on as they did.

``files/made_before``: a world of random weights, a replay and a session of a walk in it, a server's state, a run that was killed
after step 4 of 6, and a dataset; ``frames.safetensors`` is what that version made of them.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from dreamx import replay
from dreamx.data.dataset.dataset import Dataset
from dreamx.geometry import from_keys
from dreamx.model.depth_net import DepthConfig
from dreamx.play.store import Store
from dreamx.train import depth
from dreamx.train.run_config import RunConfig
from dreamx.world import World
from repo import TESTS

BEFORE = TESTS / "files/made_before"
OFF = 2  # grey levels of 255 that the order of sums may move a pixel by; another path or another event moves half of them by 40


@pytest.fixture(scope="module")
def then() -> dict[str, Tensor]:
    return load_file(BEFORE / "frames.safetensors")


def near(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and int((a.int() - b.int()).abs().max()) <= OFF


def test_a_replay_is_walked_again(then: dict[str, Tensor]) -> None:
    world = World.open(BEFORE / "world")
    walk = replay.read(BEFORE / "walk.json")
    assert walk.world == "micro"
    assert walk.weights == world.identity, "the same weights, by the same fingerprint"
    assert near(torch.cat(list(replay.play(world, walk))), then["frames"])
    other = torch.cat(list(replay.play(world, replay.Replay(**{**vars(walk), "seed": 8}))))
    assert not near(other, then["frames"]), "another seed is told apart"


def test_a_session_goes_on(then: dict[str, Tensor]) -> None:
    world = World.open(BEFORE / "world")
    world.load(BEFORE / "walk.session")
    assert near(world.step(from_keys(["wd"] * 4)), then["then"])


def test_a_session_of_the_server_is_resumed(tmp_path: Path) -> None:
    shutil.copytree(BEFORE / "state", tmp_path / "state")
    world = World.open(BEFORE / "world")
    store = Store(tmp_path / "state")
    session = store.load("one", world.fork)
    store.close()
    assert (session.opening.prompt, session.opening.seed) == ("a room", 7)
    assert [moment.id for moment in session.moments] == ["1"]
    assert session.here is not None
    assert session.here.world().step(from_keys(["w"] * 4)).shape == (4, 3, 32, 32)


def test_a_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(BEFORE / "run", tmp_path / "run")
    (tmp_path / "clips").symlink_to(TESTS / "files/micro")
    monkeypatch.chdir(tmp_path)
    run = RunConfig(Path("run"), 6, save_seconds=None, save_steps=3, log_every=1, threads=1)
    depth.main(depth.DepthStage(run, (Path("clips"),), Path("depth"), DepthConfig((16, 16), (1, 1), heads=1), batch=4))
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 1, 2, 3, 4, 5]
    kept = [json.loads(line) for line in (BEFORE / "run" / "log.jsonl").read_text().splitlines()]
    assert rows[:3] == kept[:3], "the first steps were not done again"
    uncut = (0.313155, 0.392281, 0.437995)  # steps 3 to 5 of the same run by that version, not killed
    assert [row["loss"] for row in rows[3:]] == pytest.approx(uncut, rel=1e-3)


def test_a_dataset_is_read(then: dict[str, Tensor]) -> None:
    clips = Dataset(str(BEFORE / "dataset"))
    assert len(clips) == 8
    clip = clips.clip(1)
    assert near(clip.video[:4], then["clip"])
    assert torch.equal(clip.camera.pose, then["poses"])
    assert clip.depth is not None
