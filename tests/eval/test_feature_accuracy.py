"""Feature networks: what stills hold, what corruptions do, what the stage learns, and what comes with the package."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamx.clip import FIRST_HELD_OUT_SEED
from dreamx.data.scene.build import Landmark
from dreamx.data.scene.homes.home import HOMES
from dreamx.data.scene.places import ALL_KINDS
from dreamx.data.scene.scene import KINDS, STYLES, scene
from dreamx.data.sim.stills import THINGS, StillsConfig, load_stills, place_of, render_stills, stills_file, thing
from dreamx.eval.estimators.features.corruptions import CORRUPTIONS, corrupt
from dreamx.eval.estimators.features.feature_accuracy import (
    NETS,
    FeaturesConfig,
    features_of,
    load_features,
    measure_accuracy,
    shipped_features,
)
from dreamx.eval.estimators.features.net import FeatureConfig, FeatureNet
from dreamx.eval.estimators.shipped import ShippedName, read_card
from dreamx.eval.metrics.psnr import gradient_energy
from dreamx.geometry.camera import lens_from_fov
from dreamx.train.features import FeatureStage, draw, main
from dreamx.train.run_config import RunConfig
from planted_stills import SMALL, planted


def stage(folder: Path, steps: int) -> FeatureStage:
    data = folder / "data"
    if not data.is_dir():
        data.mkdir()
        for seed in range(4):
            planted(seed).save(stills_file(data, seed))
    run = RunConfig(folder / "run", steps, seed=3, threads=1, log_every=100, ema=0.8, warmup=0.1)
    return FeatureStage(run, data, folder / "model", end_seed=50, features=SMALL, batch=16, lr=1e-2, corrupt=0.2)


def test_it_learns_what_it_was_not_shown_and_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    cfg = stage(tmp_path, 100)
    main(replace(cfg, run=replace(cfg.run, steps=10)))
    main(cfg)
    net = load_features(tmp_path / "model")
    held = planted(100, 48)
    own, each = measure_accuracy(net, held)
    assert min(own.kind, own.look) > 0.95, "the checkers of a kind, in the colour of a look"
    assert own.depth < 0.3, "which is the kind's own"
    assert set(each) == set(CORRUPTIONS)
    card = read_card(tmp_path / "model")
    assert (card.seed, card.scenes, card.clips, card.steps, card.batch) == (3, (0, 50), 96, 100, 16)
    half = (tmp_path / "model" / "features.safetensors").stat().st_size
    assert half < 2.2 * sum(p.numel() for p in net.parameters()) + 8000, "kept in two bytes a number at most"


def test_a_batch_is_a_function_of_its_step(tmp_path: Path) -> None:
    cfg = stage(tmp_path, 1)
    data, scenes = load_stills(cfg.data, range(50))
    assert (len(data), scenes) == (96, 4)
    a, b, c = (draw(data, cfg, torch.Generator().manual_seed(s)) for s in (5, 5, 6))
    assert torch.equal(a.pictures, b.pictures)
    assert not torch.equal(a.pictures, c.pictures)


def test_no_corruption_is_no_change_and_more_is_more() -> None:
    x = planted(7, 8).pictures.float() / 127.5 - 1
    for name, put in CORRUPTIONS.items():
        off = [
            float((put(x, torch.full((8, 1, 1, 1), much), torch.Generator().manual_seed(1)) - x).abs().mean())
            for much in (0.0, 0.3, 0.9)
        ]
        assert off[0] < 1e-6 or name == "crumble", name  # which fetches by interpolation
        assert off[0] < off[1] < off[2], (name, off)
    soft = [CORRUPTIONS["blur"](x, torch.full((8, 1, 1, 1), much), torch.Generator()) for much in (0.3, 0.6, 1.0)]
    energy = [float(gradient_energy((s + 1) / 2).mean()) for s in (x, *soft)]
    assert energy == sorted(energy, reverse=True)
    spoiled, amounts = corrupt(x, torch.Generator().manual_seed(2), 0.5)
    clean = (amounts == 0).all(1)
    assert 0 < int(clean.sum()) < 8
    assert torch.equal(spoiled[clean], x[clean])


def test_stills_say_what_is_in_view() -> None:
    here = scene(5, "game", "plaza")
    lens = lens_from_fov(70, 64, 64)
    here = replace(here, landmarks=(*here.landmarks, Landmark("a red sphere in the sky", 500.0, 500.0)))
    made = render_stills(here, 6, (64, 64), lens, np.random.default_rng(0))
    again = render_stills(here, 6, (64, 64), lens, np.random.default_rng(0))
    assert torch.equal(made.pictures, again.pictures)
    assert made.pictures.shape == (6, 3, 64, 64)
    assert {ALL_KINDS[k] for k in made.kind.tolist()} == {"plaza"}
    assert made.depth.shape == (6, 8, 8)
    assert float(made.depth.exp().max()) <= 60.01
    named = {thing(m.words) for m in here.landmarks[:-1]}
    assert {i for i in range(len(THINGS)) if made.things[:, i].any()} <= named
    assert made.things.any(), "six views of a plaza show something"


def test_places_of_stills_are_mixed() -> None:
    drawn = [place_of(seed, 0.3) for seed in range(400)]
    at_home = sum(kind in HOMES for kind, _ in drawn)
    assert 90 < at_home < 150
    assert {kind for kind, _ in drawn} == set(ALL_KINDS)
    assert all(style == HOMES[kind].STYLE for kind, style in drawn if kind in HOMES)
    assert {(k, s) for k, s in drawn if k in KINDS} == {(k, s) for k in KINDS for s in STYLES}


def test_features_are_of_any_size() -> None:
    net = FeatureNet(SMALL)
    small = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    large = small.repeat_interleave(2, -1).repeat_interleave(2, -2)
    assert torch.allclose(features_of(net, small), features_of(net, large), atol=1e-4)
    assert features_of(net, small[..., ::2, ::2]).shape == (2, 16)


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="reserved for evaluation"):
        StillsConfig(tmp_path, first_seed=FIRST_HELD_OUT_SEED)
    with pytest.raises(ValueError, match="first_seed must be 1000000 or more"):
        FeaturesConfig(first_seed=5)
    with pytest.raises(ValueError, match="no stills of scenes 50 to 59"):
        load_stills(stage(tmp_path, 1).data, range(50, 60))
    with pytest.raises(ValueError, match="four levels each"):
        FeatureConfig((16,), (1,))
    with pytest.raises(ValueError, match="multiples of 16, not 20"):
        FeatureConfig((20, 16, 16, 16))
    with pytest.raises(ValueError, match=r"pictures must be \[N, 3"):
        FeatureNet(SMALL).features(torch.zeros(3, 64, 64))
    (tmp_path / "stills_0000001.safetensors").write_bytes(b"no")
    with pytest.raises(ValueError, match="not a readable file of stills"):
        load_stills(tmp_path, range(2))


@pytest.mark.parametrize("name", ["evaluation", "reward"])
def test_a_shipped_network_tells_what_it_was_not_trained_on(name: ShippedName) -> None:
    """Held-out scenes of three kinds and looks, rendered here."""
    net, own = shipped_features(name)
    assert own.pictures >= 1000
    asked = [("park", "game"), ("room", "stylised"), ("maze", "photoreal")]
    for kind, look in asked:
        made = render_stills(
            scene(FIRST_HELD_OUT_SEED + 970_000, look, kind), 12, (64, 64), lens_from_fov(70, 64, 64), np.random.default_rng(0)
        )
        with torch.inference_mode():
            told = net(made.pictures)
        assert float((told.look.argmax(1) == made.look).float().mean()) > 0.6, (kind, look)
        assert float((told.kind.argmax(1) == made.kind).float().mean()) > 0.5, (kind, look)


def test_what_rewards_is_another_network_than_what_evaluates() -> None:
    ours, other = read_card(NETS / "evaluation"), read_card(NETS / "reward")
    assert ours.seed != other.seed
    assert ours.scenes[1] <= other.scenes[0] or other.scenes[1] <= ours.scenes[0]
    assert max(ours.scenes[1], other.scenes[1]) <= FIRST_HELD_OUT_SEED
    assert (NETS / "evaluation" / "features.safetensors").stat().st_size < 1.5e6
    assert (NETS / "reward" / "features.safetensors").stat().st_size < 0.85e6
