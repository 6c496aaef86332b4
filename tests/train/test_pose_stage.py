"""The stage that trains an estimator's depth network: it learns, it resumes, it says where the network comes from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dreamx.clip import Clip
from dreamx.config import from_json
from dreamx.eval.estimators.pose import flow_estimator
from dreamx.eval.estimators.shipped import EstimatorCard, named, ship
from dreamx.eval.metrics.camera_error import OwnError
from dreamx.model.depth_net import DepthConfig
from dreamx.train.pose import PoseStage, draw, load_clips, main
from dreamx.train.run_config import RunConfig
from repo import TESTS

CLIPS = TESTS / "files/micro"
CLIP = Clip.load(CLIPS / "0000000_00.safetensors")


def stage(folder: Path, steps: int) -> PoseStage:
    run = RunConfig(folder / "run", steps, seed=3, threads=1, log_every=100)
    return PoseStage(run, CLIPS, folder / "model", depth=DepthConfig((16, 16), (1, 1), heads=1), batch=4, lr=5e-3, end_seed=50)


def off(folder: Path) -> float:
    """Mean error of the log-depth of a clip that was learned from; as a share of that of the best single depth for all."""
    assert CLIP.depth is not None
    true = CLIP.depth.float().clamp(0.2, 50).log()
    with torch.no_grad():
        guess = flow_estimator.load_flow_estimator(folder).depth.metres(CLIP.video / 127.5 - 1).log()
    return float((guess - true).abs().mean() / (true - true.median()).abs().mean())


def test_it_learns_and_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    main(stage(tmp_path / "whole", 60))
    main(stage(tmp_path / "hardly", 1))
    assert off(tmp_path / "whole" / "model") < 0.8 * off(tmp_path / "hardly" / "model")
    cut = stage(tmp_path / "cut", 30)
    main(replace(cut, run=replace(cut.run, steps=10, warmup=0.06, decay=0.0)))
    main(cut)
    assert len((tmp_path / "cut" / "run" / "log.jsonl").read_text().splitlines()) == 30
    read = flow_estimator.load_flow_estimator(tmp_path / "cut" / "model")(CLIP.video, CLIP.camera.lens[0], CLIP.fps)
    assert read.shape == (len(CLIP.video),)
    assert torch.allclose(read.pose[0], torch.eye(4), atol=1e-6)
    card = from_json(EstimatorCard, json.loads((tmp_path / "cut" / "model" / "card.json").read_text()))
    assert (card.seed, card.scenes, card.steps, card.batch) == (3, (0, 50), 30, 4)
    assert card.minutes >= 0


def test_what_is_shipped_goes_with_its_own_error(tmp_path: Path) -> None:
    folder = tmp_path / "pose_reward" / "model"
    main(replace(stage(tmp_path, 1), out=folder))
    assert named(folder, "pose") == "reward"
    ship(folder, "depth", OwnError(1.0, 0.1, 3, 0.5, 0.05), tmp_path / "nets" / "reward")
    assert sorted(f.name for f in (tmp_path / "nets" / "reward").iterdir()) == [
        "card.json",
        "config.json",
        "depth.safetensors",
        "error.json",
    ]
    error = from_json(OwnError, json.loads((tmp_path / "nets" / "reward" / "error.json").read_text()))
    assert "1.00 degrees and 10.0 % of the path in the mean, 0.50 and 5.0 % in the median" in str(error)
    with pytest.raises(ValueError, match=r"has no config.json"):
        ship(tmp_path, "depth", error, tmp_path / "other")


def test_a_batch_is_a_function_of_its_step(tmp_path: Path) -> None:
    cfg = stage(tmp_path, 1)
    clips = load_clips(CLIPS, range(4), 3)
    assert len(clips) <= 3
    (a, depth), (b, _), (c, _) = (draw(clips, cfg, torch.Generator().manual_seed(s)) for s in (5, 5, 6))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert a.shape == (4, *CLIP.video.shape[1:])
    assert depth.shape == (4, *CLIP.video.shape[2:])


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no clip of scenes 50 to 59"):
        load_clips(CLIPS, range(50, 60), 10)
    replace(CLIP, depth=None).save(tmp_path / "0000000_00.safetensors")
    with pytest.raises(ValueError, match="clips with depth are needed"):
        load_clips(tmp_path, range(4), 10)
