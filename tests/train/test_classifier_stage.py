"""The stage that trains a classifier of events: it learns, it resumes, it says where the network comes from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dreamx.clip import FIRST_HELD_OUT_SEED
from dreamx.config import from_json
from dreamx.eval.estimators.events.event_accuracy import event_pairs, load_classifier, measure_accuracy
from dreamx.eval.estimators.events.event_classifier import ClassifierConfig
from dreamx.eval.estimators.events.window import FRAMES, SIZE
from dreamx.eval.estimators.shipped import EstimatorCard
from dreamx.train.augment import degrade
from dreamx.train.classifier import ClassifierStage, draw, load_examples, main
from dreamx.train.run_config import RunConfig
from event_house import clip, pairs


def stage(folder: Path, steps: int) -> ClassifierStage:
    run = RunConfig(folder / "run", steps, seed=3, threads=1, log_every=100, ema=0.8)
    data = pairs(folder / "data", 8)
    return ClassifierStage(
        run, data, folder / "model", end_seed=50, classifier=ClassifierConfig((16, 16), (1, 1)), batch=4, lr=5e-3
    )


def test_it_learns_what_it_was_not_shown_and_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    cut = stage(tmp_path, 60)
    main(replace(cut, run=replace(cut.run, steps=10, warmup=0.12, decay=0.0)))
    main(cut)
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == 60
    net = load_classifier(tmp_path / "model")
    others = [p for seed in range(100, 112) for p in event_pairs(clip(seed, True), clip(seed, False))]
    own, _ = measure_accuracy(net, others)
    assert (own.yes + own.no) / 2 > 0.9
    card = from_json(EstimatorCard, json.loads((tmp_path / "model" / "card.json").read_text()))
    assert (card.seed, card.scenes, card.clips, card.steps, card.batch) == (3, (0, 50), 8, 60, 4)


def test_a_batch_is_a_function_of_its_step(tmp_path: Path) -> None:
    cfg = stage(tmp_path, 1)
    examples, clips = load_examples(cfg.data, range(50))
    assert clips == 8
    a, b, c = (draw(examples, cfg, torch.Generator().manual_seed(s)) for s in (5, 5, 6))
    assert torch.equal(a.windows, b.windows)
    assert not torch.equal(a.windows, c.windows)
    assert a.windows.shape == (12, FRAMES, 4, SIZE, SIZE)
    named = cfg.classifier.kinds.index("rolls")
    assert a.answers[:, named].tolist()[:3] == [1, 0, 0]
    assert float(a.answers.sum()) == 4
    assert a.weight[0::3, named].tolist() == a.weight[1::3, named].tolist() == [1.0] * 4
    for row in range(2, 12, 3):  # another time: it counts only where it does not meet the event
        assert float(a.weight[row, named]) in (0.0, 1.0)


def test_spoiling_leaves_places_alone_and_fades_only_what_may_fade() -> None:
    cfg = replace(ClassifierStage(RunConfig(Path(), 1), Path(), Path()), vary=0.0, spoil=2.0)
    windows = torch.rand(6, FRAMES, 4, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    windows[:, :, 3] = 1.0
    air = torch.zeros(6, dtype=torch.bool)
    steady, fading = (degrade(windows, which, cfg.spoil, cfg.vary, torch.Generator().manual_seed(1)) for which in (air, ~air))
    for out in (steady, fading):
        assert torch.equal(out[:, :, 3], windows[:, :, 3])
        assert float(out.abs().max()) <= 1
    contrast = [float(out[:, -1, :3].std() / out[:, 0, :3].std()) for out in (steady, fading)]
    assert contrast[0] == pytest.approx(1, abs=0.1)
    assert contrast[1] < 0.9
    quiet = replace(cfg, spoil=0.0)
    same = degrade(windows, air, quiet.spoil, quiet.vary, torch.Generator().manual_seed(1))
    assert all(bool(torch.equal(s, w) or torch.equal(s, w.flip(-1))) for s, w in zip(same, windows, strict=True))


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    data = pairs(tmp_path / "data", 2)
    with pytest.raises(ValueError, match="no event of scenes 50 to 59"):
        load_examples(data, range(50, 60))
    (data / "0000001_still_00.safetensors").unlink()
    with pytest.raises(ValueError, match=r"0000001_still_00.safetensors is not beside it; simulate the subsets events and still"):
        load_examples(data, range(50))
    held = pairs(tmp_path / "held", 1, FIRST_HELD_OUT_SEED)
    with pytest.raises(ValueError, match="reserved for evaluation"):
        load_examples(held, range(FIRST_HELD_OUT_SEED, FIRST_HELD_OUT_SEED + 1))
    replace(clip(0, True), segments=None).save(data / "0000000_events_00.safetensors")
    with pytest.raises(ValueError, match="clips with segments"):
        load_examples(data, range(1))
