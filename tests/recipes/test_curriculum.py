"""The whole micro curriculum, from committed clips to a world one can walk in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from dreamx.clip import Clip
from dreamx.geometry import from_keys
from dreamx.recipes import micro, open_ground, tiny
from dreamx.recipes.ablations import camera_lane, causality, memory_camera, scene_memory
from dreamx.world import World
from repo import TESTS

CLIPS = TESTS / "files/micro"


def run(root: Path) -> None:
    for step in micro.curriculum(root, clips=CLIPS):
        step()


def losses(root: Path, stage: str) -> list[float]:
    return [
        row.get("loss", row.get("vae.loss")) for row in map(json.loads, (root / stage / "log.jsonl").read_text().splitlines())
    ]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("micro")
    run(root)
    return root


@pytest.mark.parametrize(("stage", "share"), [("autoencoder", 0.75), ("camera", 0.9), ("causal", 0.95)])
def test_it_learns(root: Path, stage: str, share: float) -> None:
    curve = losses(root, stage)
    assert sum(curve[-10:]) < share * sum(curve[:10])


def test_one_can_walk_in_it(root: Path) -> None:
    clip = Clip.load(next(iter(sorted(CLIPS.glob("*.safetensors")))))
    world = World.open(root / "world")
    assert world.size == (micro.SIZE, micro.SIZE)
    opening = world.reset(clip.video[0], clip.caption, seed=1)
    error = (opening[0].float() - clip.video[0].float()).square().mean()
    assert error < clip.video[0].float().var(), "the opening picture is worse than a grey one"
    ahead, left = world.fork(), world.fork()
    a = torch.cat([ahead.step(from_keys(["w"] * ahead.frames_per_step)) for _ in range(4)])
    b = torch.cat([left.step(from_keys(["j"] * left.frames_per_step)) for _ in range(4)])
    assert a.shape == b.shape == (16, 3, micro.SIZE, micro.SIZE)
    assert not torch.equal(a, b)


def test_folders_of_before_are_found_again(tmp_path: Path) -> None:
    """Stages ``ahead`` and ``again`` are called lookahead_1 and lookahead_2 now; a finished run is not trained again."""
    configs = {step.name: step.cfg for step in tiny.curriculum(tmp_path)}
    assert configs["lookahead_1"].run.folder == tmp_path / "lookahead_1"
    assert configs["events"].start == configs["lookahead_2"].out == tmp_path / "lookahead_2" / "model"
    assert configs["events_again"].start == configs["events"].out
    assert configs["world"].dit == configs["events_again"].out
    assert configs["world"].places == configs["places"].out
    (tmp_path / "ahead").mkdir()
    (tmp_path / "again").mkdir()
    configs = {step.name: step.cfg for step in tiny.curriculum(tmp_path)}
    assert configs["lookahead_2"].start == tmp_path / "ahead" / "model"
    assert configs["events"].start == configs["lookahead_2"].out == tmp_path / "again" / "model"
    assert camera_lane.curriculum(tmp_path)[0].cfg.trained == tmp_path / "again" / "model"


def test_every_step_of_a_recipe_has_a_name_of_its_own(tmp_path: Path) -> None:
    for recipe in (micro, tiny, open_ground, camera_lane, causality, memory_camera, scene_memory):
        names = [step.name for step in recipe.curriculum(tmp_path)]
        assert len(set(names)) == len(names)
        assert all(step.cfg.run.folder.is_relative_to(tmp_path) for step in recipe.curriculum(tmp_path) if step.trains)
