"""The suite hold: its law, what memory alone makes of a walk, and that what is spoilt falls in order."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import eval_house
import micro
from dreamx.clip import FIRST_HELD_OUT_SEED
from dreamx.data.scene.homes.home import HOMES
from dreamx.data.scene.places import place
from dreamx.data.scene.scene import KINDS, STYLES, scene, stand
from dreamx.data.sim import walker
from dreamx.data.sim.stills import render_stills
from dreamx.eval import frame_sets, runner
from dreamx.eval.commands import SuiteConfig
from dreamx.eval.estimators.features.corruptions import CORRUPTIONS
from dreamx.eval.estimators.features.feature_accuracy import features_of, shipped_features
from dreamx.eval.frame_sets import frame_set_scores
from dreamx.eval.hint_copy import HintNetwork, hint_copy
from dreamx.eval.metrics import hold
from dreamx.eval.metrics.backbones import Backbones
from dreamx.eval.metrics.columns import CURVES, HOLD_CURVES
from dreamx.eval.metrics.manifold import density_coverage, kernel_distance, precision_recall
from dreamx.eval.metrics.measure import Measured, measure_hold
from dreamx.eval.models import CopyFirst, Ours, Truth, rows_of_world
from dreamx.eval.quick import QuickConfig
from dreamx.eval.reporting import html
from dreamx.eval.reporting.markdown import report_markdown
from dreamx.eval.reporting.report import ReportInfo, build_report
from dreamx.eval.runner import TrialRow, run_plan
from dreamx.eval.suites import suite_paths
from dreamx.eval.suites.suite import Suite, Trial, shipped_suite
from dreamx.frames import Frames, clean
from dreamx.geometry.camera import lens_from_fov, level
from dreamx.geometry.controls import Speed, from_keys
from dreamx.memory import MemoryConfig
from dreamx.model.kv_cache import KVCache
from dreamx.standpoint import Standpoint

NET = shipped_features("evaluation")[0]


def test_the_shipped_suite_covers_its_law() -> None:
    suite = shipped_suite("hold")
    assert (suite.hash, len(suite.trials), suite.version) == ("83e672bd3c8cf963", 96, suite_paths.LAWS["hold"].version)
    assert min(t.seed for t in suite.trials) >= FIRST_HELD_OUT_SEED
    seconds = {t.path.partition("-")[2]: (t.frames - 1) / suite.fps for t in suite.trials}
    assert seconds == {"hold-w": 20, "turn-left": 15, "turn-right": 15, "wander": 60}
    home, away = ([t for t in suite.trials if (t.kind in HOMES) == at] for at in (True, False))
    assert set(Counter((t.path, t.kind) for t in home).values()) == {2}
    assert set(Counter((t.path, t.kind, t.style) for t in away).values()) == {1}
    assert all(t.path.startswith("home-") for t in home)
    assert [t.kind in HOMES for t in suite.trials[:4]] == [True, False, True, False]
    for count in (8, 16, 24):
        part = suite.part(count).trials
        assert set(Counter(t.path for t in part).values()) == {count // 8}
        assert len({t.kind for t in part if t.kind in HOMES}) == min(6, count // 2)
    assert {t.kind for t in suite.part(8).trials} >= set(KINDS)
    assert {t.style for t in suite.part(24).trials if t.kind in KINDS} == set(STYLES)


def test_a_trial_is_drawn_again_the_same_and_touches_nothing() -> None:
    trial = suite_paths.draw_trial("hold", 0, 1)
    assert trial == shipped_suite("hold").trials[1]
    here = place(trial.seed, trial.style, trial.kind)
    for name in (1, 5):
        other = shipped_suite("hold").trials[name]
        there = here if name == 1 else place(other.seed, other.style, other.kind)
        cameras, _ = walker.path(stand(*other.start), other.held, Speed(fps=16.0))
        assert walker.clear(there, cameras)
    assert suite_paths.draw_trial("hold", 1, 1) != trial


def test_who_holds_w_turns_only_where_something_is_in_the_way() -> None:
    here = scene(5, "game", "maze")
    open_field = replace(here, blocked=np.zeros_like(here.blocked))
    assert set(walker.straight_on(open_field, stand(-5, 0, 0), 41, "j")) == {"w"}
    keys = walker.straight_on(here, here.start(0), 161, "l")
    assert len(keys) == 160
    assert {"w"} < set(keys) <= {"w", "wj", "wl", "j", "l"}
    assert walker.clear(here, walker.path(here.start(0), keys)[0])


def test_hint_copy_is_what_memory_shows_and_0_elsewhere() -> None:
    world = micro.world(memory=MemoryConfig(views=2))
    copied = hint_copy(world)
    copied.reset(micro.picture(), "a", 3)
    dream = copied.denoise(from_keys(["l"] * copied.frames_per_step))
    assert dream.hint is not None
    known = torch.nn.functional.avg_pool2d(dream.hint.known, world.vae.config.shrink)
    unknown = (known.unflatten(1, (-1, 4)).mean(2) == 0)[:, :, None].expand_as(dream.frames.z)
    assert bool((dream.frames.z[unknown] == 0).all())
    assert bool((dream.frames.z[~unknown] != 0).any())
    first = copied.decode(dream)
    assert world.dit is not copied.dit, "the world itself keeps its transformer"
    assert world.config.sampler.steps == 2
    again = hint_copy(world)
    again.reset(micro.picture(), "other words", 3)
    assert torch.equal(again.step(from_keys(["l"] * again.frames_per_step)), first), "nobody listens"
    blind = hint_copy(micro.world())
    blind.reset(micro.picture(), "a", 3)
    assert not blind.denoise(from_keys(["l"] * blind.frames_per_step)).frames.z.any(), "without memory nothing is known"


def test_the_stand_in_leads_to_the_hint_from_any_level() -> None:
    z = torch.randn(1, 2, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    hint = torch.cat([torch.ones(1, 2, 4, 3, 3), torch.ones(1, 2, 1, 3, 3)], 2)
    hint[:, :, -1, 0] = 0
    camera = level(lens_from_fov(70, 4, 4)).map(lambda x: x.expand(1, 2, *x.shape))
    frames = Frames(z, torch.tensor([[0.4, 0.0]]), clean(z, camera).index, camera, hint)
    v = HintNetwork()(frames, torch.zeros(1, 1, 1), KVCache())
    want = torch.ones(4, 3, 3)
    want[:, 0] = 0
    assert torch.allclose(z[0, 0] - 0.4 * v[0, 0], want, atol=1e-6)
    assert not v[0, 1].any(), "what is known stays"


def test_rows_of_one_world_differ_in_one_thing() -> None:
    rows = rows_of_world("tiny")
    assert list(rows) == ["ours", "hint-copy", "no-lane", "no-memory", "no-words", "no-places", "no-transformer"]
    assert len({r.identity for r in rows.values()}) == len(rows)
    switches = {n: (r.memory, r.camera, r.words, r.network, r.places) for n, r in rows.items()}
    off = {n: sum(not on for on in s) for n, s in switches.items()}
    assert off == {n: {"ours": 0, "hint-copy": 2}.get(n, 1) for n in rows}, "hint-copy has no network at all"
    every = ", ".join((*rows, "truth"))
    with pytest.raises(ValueError, match=f"models: 'best' is not one of {every}"):
        SuiteConfig(models=("best",))
    with pytest.raises(ValueError, match="models: 'best' is not one of ours, hint-copy"):
        QuickConfig(models=("ours", "best"))
    with pytest.raises(ValueError, match="ours must be among them"):
        QuickConfig(models=("warp",))


def test_no_words_are_no_words(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    trial = eval_house.suite(1).trials[0]
    truth = replace(eval_house.true_clip(trial, eval_house.VIEW, Path()), caption="a red house")
    world = micro.world()
    reset = world.reset

    def listening(image: Tensor, prompt: str, seed: int, at: Standpoint | None) -> Tensor:
        heard.append(prompt)
        return reset(image, prompt, seed, at)

    monkeypatch.setattr(world, "reset", listening)
    monkeypatch.setattr("dreamx.eval.models._opened", lambda _: world)
    monkeypatch.setattr(Ours, "switched", lambda _, w: w)
    for words in (True, False):
        Ours("", words=words, code="").film(trial, truth)
    assert heard == ["a red house", ""]


def test_parts_by_hand() -> None:
    truth = torch.zeros(4, 3, 32, 32, dtype=torch.uint8)
    truth[..., ::2] = 100
    video = truth.clone()
    video[:2, :, :16] = 50  # the upper half of the first second is grey
    mask = torch.zeros(4, 32, 32, dtype=torch.bool)
    mask[:2, :16] = True
    whole, each = hold.parts(video, truth, mask, 2)
    assert whole["psnr"] == pytest.approx(-20 * np.log10(50 / 255), abs=1e-4)
    assert each["psnr"] == [pytest.approx(whole["psnr"]), None]
    assert whole["sharpness"] < 0.1
    others, _ = hold.parts(video, truth, ~mask, 2)
    assert others["psnr"] == 99
    assert others["sharpness"] == pytest.approx(1, abs=0.02)
    assert hold.parts(video, truth, torch.zeros_like(mask), 2)[0] == {}


def test_what_was_never_in_view_is_what_memory_cannot_know() -> None:
    trial = Trial("000", "open-turn-left", FIRST_HELD_OUT_SEED, "park", "game", (0.0, 0.0, 0.0), "j*32", "a")
    truth = eval_house.true_clip(trial, eval_house.VIEW, Path())
    unseen = hold.unseen_pixels(truth)
    assert unseen.shape == (8, 32, 32)
    left, right = (float(unseen[:, :, half].float().mean()) for half in (slice(0, 8), slice(24, 32)))
    assert left > 0.5 > 0.1 > right, "a turn to the left uncovers what is left"
    scores = measure_hold(
        CopyFirst().film(trial, truth), truth, Backbones(), trial.path, hold.described(truth.video, partial(features_of, NET))
    ).scores
    assert {"open psnr", "open psnr unseen", "open alive", "open turned off"} <= set(scores)
    right_scores = measure_hold(
        truth.video, truth, Backbones(), trial.path, hold.described(truth.video, partial(features_of, NET))
    ).scores
    assert right_scores["open psnr unseen"] == right_scores["open psnr"] == 99
    assert right_scores["open alive"] == 100
    assert right_scores["open turned off"] < 5 < scores["open turned off"]


def test_what_is_spoilt_falls_in_order() -> None:
    """Blurred, noised, faded: the more, the fewer are alive and the farther is the set; what has collapsed covers nothing."""
    lens = lens_from_fov(70, 64, 64)

    def shot(seed: int, count: int) -> Tensor:
        return render_stills(
            scene(FIRST_HELD_OUT_SEED + seed, "game", "park"), count, (64, 64), lens, np.random.default_rng(seed)
        ).pictures

    reference = torch.cat([shot(980_000 + i, 40) for i in range(6)])
    true = torch.cat([shot(980_100 + i, 24) for i in range(2)])
    truth = hold.described(reference, partial(features_of, NET))

    def score(pictures: Tensor) -> tuple[float, float]:
        x = hold.described(pictures, partial(features_of, NET))
        return float(hold.alive(x, truth).float().mean()), kernel_distance(*hold.comparable(x, truth))

    clean_share, clean_distance = score(true)
    assert clean_share > 0.6
    x = true.float() / 127.5 - 1
    for name in ("blur", "noise", "fade"):
        shares, distances = [clean_share], [clean_distance]
        for much in (0.25, 0.5, 1.0):
            spoiled = CORRUPTIONS[name](x, torch.full((len(x), 1, 1, 1), much), torch.Generator().manual_seed(0))
            share, distance = score(((spoiled.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8))
            shares.append(share)
            distances.append(distance)
        assert all(b <= a + 0.05 for a, b in pairwise(shares)), (name, shares)
        assert shares[-1] < 0.3 * clean_share, (name, shares)
        assert distances == sorted(distances), (name, distances)
    collapsed = true[:1].expand(48, -1, -1, -1)
    one, many = (hold.comparable(hold.described(p, partial(features_of, NET)), truth) for p in (collapsed, true))
    assert precision_recall(*one)[1] < 0.5 * precision_recall(*many)[1]
    assert density_coverage(*one)[1] < 0.5 * density_coverage(*many)[1]


def test_a_run_ends_in_tables_and_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("open-turn-left", "open-wander")
    trials = tuple(
        Trial(f"{i:03d}-{path}", path, FIRST_HELD_OUT_SEED + i, "park", "game", (0.0, 0.0, 0.0), keys, "a")
        for i, (path, keys) in enumerate(zip(names, ("j*32", "w*16,j*16"), strict=True))
    )
    plan = replace(
        eval_house.plan(tmp_path, (eval_house.Haze(0.5), Truth(), CopyFirst())), suite=Suite("hold", 1, 0, eval_house.FPS, trials)
    )
    truths = torch.cat([eval_house.true_clip(t, plan.view, tmp_path).video for t in trials])
    monkeypatch.setattr(runner, "true_clip", eval_house.true_clip)
    monkeypatch.setattr(html, "true_clip", eval_house.true_clip)
    for where in (runner, frame_sets):
        monkeypatch.setattr(where, "reference_features", lambda *_: hold.described(truths, partial(features_of, NET)))
    rows = run_plan(plan, 1)
    assert [r.failed for r in rows] == [""] * 6
    monkeypatch.setattr(frame_sets, "_FEWEST", 8)
    sets = frame_set_scores(plan)
    models = {m.name: m.identity for m in plan.models}
    about = ReportInfo("hold", 1, 0, "h", 2, 96, (32, 32), 8.0, models, {}, "dreamx eval hold", "", "", "", "")
    whole = build_report(about, rows)
    whole = replace(whole, table={m: s | sets[m] for m, s in whole.table.items()})
    assert whole.table["truth"]["open alive"].mean == 100 > whole.table["ours"]["open alive"].mean
    assert sets["truth"]["open kernel distance"].mean < sets["ours"]["open kernel distance"].mean
    assert sets["truth"]["open recall"].mean > sets["copy-first"]["open recall"].mean
    assert {f"{c} open-turn" for c in HOLD_CURVES} <= set(whole.curves["ours"]) & set(CURVES)
    text = report_markdown(whole)
    assert "## Open ground" in text
    assert "Alive" in text
    assert "a turn on open ground: alive" in html.report_html(whole, plan, 1)


def test_a_second_that_no_trial_has_is_a_gap() -> None:
    rows = [
        TrialRow("ours", str(i), "w", "", "t", Measured({}, {"psnr": curve}))
        for i, curve in enumerate(([20.0, None, None], [22.0, 10.0, None]))
    ]
    about = ReportInfo("hold", 1, 0, "h", 2, 96, (32, 32), 8.0, {"ours": ""}, {}, "", "", "", "", "")
    whole = build_report(about, rows)
    assert whole.curves["ours"]["psnr"] == [21, 10, None]
    assert "nan" not in html._drift(whole)  # pyright: ignore[reportPrivateUsage]
