"""The suites that are shipped: fixed, held out, in balance, and walkable."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dreamx.clip import FIRST_HELD_OUT_SEED, refuse_held_out
from dreamx.data import walker
from dreamx.data.scene import KINDS, STYLES, scene, stand
from dreamx.data.simulate import SimulateConfig
from dreamx.eval import laws
from dreamx.eval.suite import SHIPPED, Said, Suite, Trial, shipped
from dreamx.geometry.controls import Speed
from dreamx.recipes import four, micro, tiny

SECONDS = {"basic": 5, "long": 30, "memory": 10, "events": 5}
#: A change of a suite makes every earlier result incomparable: then the version of the laws goes up, too.
HASHES = {"basic": "eb51a2b0f1cf64a7", "memory": "d314ce87f2dea084", "long": "43ed9dfa99be25e2", "events": "e2d51249b6c28287"}


@pytest.mark.parametrize("name", list(HASHES))
def test_a_shipped_suite_is_what_it_was(name: str) -> None:
    suite = shipped(name)
    assert suite.hash == HASHES[name] == SHIPPED[name]
    assert (suite.name, suite.seed, suite.version) == (name, 0, laws.VERSION)
    assert len(suite.trials) == laws.LAWS[name].trials
    assert {t.frames for t in suite.trials} == {round(SECONDS[name] * suite.fps) + 1}
    assert len({t.id for t in suite.trials}) == len({t.seed for t in suite.trials}) == len(suite.trials)


@pytest.mark.parametrize("name", list(HASHES))
def test_the_beginning_of_a_suite_is_a_fair_part(name: str) -> None:
    trials, paths = shipped(name).trials, list(laws.LAWS[name].paths)
    for count in (len(paths), 24, len(trials)):
        part = trials[:count]
        for what, of in (("path", paths), ("kind", KINDS), ("style", STYLES)):
            numbers = Counter(getattr(t, what) for t in part)
            most = 8 if name == "events" else 4  # things happen where there is room for them
            assert max(numbers[x] for x in of) - min(numbers[x] for x in of) <= most, (name, count, what, numbers)


def test_basic_tilts_and_goes_diagonally() -> None:
    keys = {t.path: set(t.keys) & set("wasdijkl") for t in shipped("basic").trials}
    assert {"i", "k"} <= keys["tilt-up"]
    assert {"i", "k"} <= keys["tilt-down"]
    assert keys["diagonal-left"] == {"w", "a"}
    assert keys["diagonal-right"] == {"w", "d"}


@pytest.mark.parametrize(("name", "index"), [("basic", 0), ("basic", 17), ("memory", 4)])
def test_a_trial_is_drawn_again_the_same_and_touches_nothing(name: str, index: int) -> None:
    trial = laws.trial(name, 0, index)
    assert trial == shipped(name).trials[index]
    cameras, _ = walker.path(stand(*trial.start), trial.held, Speed(fps=16.0))
    assert walker.clear(scene(trial.seed, trial.style, trial.kind), cameras)


def test_memory_comes_back_to_where_it_was() -> None:
    for trial in shipped("memory").trials[:6]:
        cameras, _ = walker.path(stand(0, 0, 0), trial.held, Speed(fps=16.0))
        if trial.path != "translate-rotate":  # that one ends turned, after it has come back
            assert torch.allclose(cameras.pose[-1], cameras.pose[0], atol=1e-3), trial.id


def test_another_seed_is_another_suite_of_the_same_law() -> None:
    fresh, first = laws.draw("basic", 1, 2), shipped("basic").part(2)
    assert [(t.path, t.kind, t.style) for t in fresh.trials] == [(t.path, t.kind, t.style) for t in first.trials]
    assert {t.seed for t in fresh.trials}.isdisjoint(t.seed for t in first.trials)
    assert fresh.hash != first.hash


def test_no_recipe_can_draw_what_is_held_out(tmp_path: Path) -> None:
    for name in HASHES:
        for trial in shipped(name).trials:
            assert trial.seed >= FIRST_HELD_OUT_SEED
            with pytest.raises(ValueError, match="reserved for evaluation"):
                refuse_held_out(trial.seed)
    drawn = 0
    for recipe in (micro, tiny, four):
        for stage in recipe.curriculum(tmp_path).values():
            for config in getattr(stage, "args", ()):
                if isinstance(config, SimulateConfig):
                    drawn += 1
                    assert not config.evaluation
                    assert config.first_seed + config.scenes <= FIRST_HELD_OUT_SEED
    assert drawn >= 2  # micro's and tiny's
    with pytest.raises(ValueError, match="reserved for evaluation"):
        SimulateConfig(tmp_path, first_seed=FIRST_HELD_OUT_SEED - 1, scenes=2)


def test_a_trial_in_a_scene_that_may_be_trained_on_is_refused() -> None:
    with pytest.raises(ValueError, match="may have been trained on"):
        Trial("x", "walk", FIRST_HELD_OUT_SEED - 1, "park", "game", (0, 0, 0), "w*4", "")


def test_a_suite_is_read_as_it_was_written_and_its_hash_tells_every_change(tmp_path: Path) -> None:
    suite = shipped("basic").part(3)
    suite.save(tmp_path / "suite.json")
    assert Suite.load(tmp_path / "suite.json") == suite
    spoken = replace(suite.trials[0], said=(Said(1.0, "the ball rolls"),))
    other = replace(suite, trials=(spoken, *suite.trials[1:]))
    assert len({suite.hash, other.hash, suite.part(2).hash}) == 3
    (tmp_path / "bad.json").write_text('{"name": 3}')
    with pytest.raises(ValueError, match="bad.json: not a readable suite"):
        Suite.load(tmp_path / "bad.json")


def test_a_shipped_suite_that_somebody_changed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHIPPED, "basic", "0" * 16)
    with pytest.raises(ValueError, match="was changed"):
        shipped("basic")


@pytest.mark.parametrize("cases", [0, 121])
def test_a_part_is_not_larger_than_the_whole(cases: int) -> None:
    with pytest.raises(ValueError, match="cases must be 1 to 120"):
        shipped("basic").part(cases)


def test_a_law_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="'fast' is not one of events, basic"):
        laws.draw("fast", 0)
