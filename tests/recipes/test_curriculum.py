"""The whole micro curriculum, from committed clips to a world one can walk in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from dreamx.clip import Clip
from dreamx.geometry import from_keys
from dreamx.recipes import micro
from dreamx.train.trained_networks import blend, load
from dreamx.world import World
from repo import TESTS

CLIPS = TESTS / "files/micro"


def run(root: Path) -> None:
    for stage in micro.curriculum(root, clips=CLIPS).values():
        stage()


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


def test_blend_lies_between(root: Path, tmp_path: Path) -> None:
    first, second = root / "causal" / "model", root / "consistency" / "model"
    ends = [load(folder).state_dict() for folder in (first, second)]
    for share in (0.0, 0.25, 1.0):
        blend(first, second, share, tmp_path / "blend")
        for key, w in load(tmp_path / "blend").state_dict().items():
            assert torch.allclose(w, ends[0][key] + share * (ends[1][key] - ends[0][key]), atol=1e-6)
