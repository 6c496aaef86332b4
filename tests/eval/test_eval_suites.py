"""The suites that are shipped: fixed, held out, in balance, and walkable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from types import FunctionType, ModuleType
from typing import Any

import pytest
import torch

import dreamx.recipes
from dreamx.clip import FIRST_HELD_OUT_SEED, refuse_held_out
from dreamx.data.scene.scene import KINDS, STYLES, Scene, scene, stand
from dreamx.data.sim import walker
from dreamx.data.sim.simulated import SimulateConfig, the_scene
from dreamx.data.sim.take import SimulatedShot
from dreamx.eval.suites import suite_paths
from dreamx.eval.suites.suite import SHIPPED, PromptChange, Suite, Trial, shipped_suite
from dreamx.geometry.controls import Speed
from dreamx.model.word_encoder import WordEncoder
from dreamx.recipes import tiny
from dreamx.world import World

SECONDS = {"basic": 5, "long": 30, "memory": 10, "events": 5}
#: A change of a suite makes every earlier result incomparable: then the version of the laws goes up, too.
HASHES = {"basic": "eb51a2b0f1cf64a7", "memory": "d314ce87f2dea084", "long": "43ed9dfa99be25e2", "events": "5c710dce55ddd228"}


@pytest.mark.parametrize("name", list(HASHES))
def test_a_shipped_suite_is_what_it_was(name: str) -> None:
    suite = shipped_suite(name)
    assert suite.hash == HASHES[name] == SHIPPED[name]
    assert (suite.name, suite.seed, suite.version) == (name, 0, suite_paths.LAWS[name].version)
    assert len(suite.trials) == suite_paths.LAWS[name].trials
    assert {t.frames for t in suite.trials} == {round(SECONDS[name] * suite.fps) + 1}
    assert len({t.id for t in suite.trials}) == len({t.seed for t in suite.trials}) == len(suite.trials)


@pytest.mark.parametrize("name", list(HASHES))
def test_the_beginning_of_a_suite_is_a_fair_part(name: str) -> None:
    trials, paths = shipped_suite(name).trials, list(suite_paths.LAWS[name].paths)
    for count in (len(paths), 24, len(trials)):
        part = trials[:count]
        for what, of in (("path", paths), ("kind", KINDS), ("style", STYLES)):
            numbers = Counter(getattr(t, what) for t in part)
            most = 8 if name == "events" else 4  # things happen where there is room for them
            assert max(numbers[x] for x in of) - min(numbers[x] for x in of) <= most, (name, count, what, numbers)


def test_basic_tilts_and_goes_diagonally() -> None:
    keys = {t.path: set(t.keys) & set("wasdijkl") for t in shipped_suite("basic").trials}
    assert {"i", "k"} <= keys["tilt-up"]
    assert {"i", "k"} <= keys["tilt-down"]
    assert keys["diagonal-left"] == {"w", "a"}
    assert keys["diagonal-right"] == {"w", "d"}


@pytest.mark.parametrize(("name", "index"), [("basic", 0), ("basic", 17), ("memory", 4)])
def test_a_trial_is_drawn_again_the_same_and_touches_nothing(name: str, index: int) -> None:
    trial = suite_paths.draw_trial(name, 0, index)
    assert trial == shipped_suite(name).trials[index]
    cameras, _ = walker.path(stand(*trial.start), trial.held, Speed(fps=16.0))
    assert walker.clear(scene(trial.seed, trial.style, trial.kind), cameras)


def test_memory_comes_back_to_where_it_was() -> None:
    for trial in shipped_suite("memory").trials[:6]:
        cameras, _ = walker.path(stand(0, 0, 0), trial.held, Speed(fps=16.0))
        if trial.path != "translate-rotate":  # that one ends turned, after it has come back
            assert torch.allclose(cameras.pose[-1], cameras.pose[0], atol=1e-3), trial.id


def test_another_seed_is_another_suite_of_the_same_law() -> None:
    fresh, first = suite_paths.draw_suite("basic", 1, 2), shipped_suite("basic").part(2)
    assert [(t.path, t.kind, t.style) for t in fresh.trials] == [(t.path, t.kind, t.style) for t in first.trials]
    assert {t.seed for t in fresh.trials}.isdisjoint(t.seed for t in first.trials)
    assert fresh.hash != first.hash


def recipes() -> dict[str, ModuleType]:
    """Every recipe there is, by its name: a new one is walked without being listed here."""
    names = (m.name for m in walk_packages(dreamx.recipes.__path__, "dreamx.recipes.") if not m.ispkg)
    modules = {name.rpartition(".")[2]: import_module(name) for name in names}
    # What is done with recipes, and parts of them.
    about = ("curriculum", "step", "assemble_world", "distill_load", "dry_run", "event_steps", "judges", "overrides")
    about += ("picture_load", "reward_load", "student_steps", "weight_sum")
    found = {name: m for name, m in modules.items() if name not in about}
    assert all(hasattr(m, "curriculum") for m in found.values())
    return found


def configs(what: object) -> Iterator[Any]:
    """Every dataclass that a stage is run with, and those inside of it."""
    match what:
        case partial():
            yield from configs((what.func, what.args, what.keywords))
        case dict():
            yield from configs(tuple(what.values()))
        case tuple() | list():
            for part in what:
                yield from configs(part)
        case FunctionType():  # what a closure holds
            yield from configs(tuple(cell.cell_contents for cell in what.__closure__ or ()))
        case _ if is_dataclass(what) and not isinstance(what, type):
            yield what
            yield from configs(tuple(getattr(what, f.name) for f in fields(what)))
        case _:
            pass


def offences(stages: Mapping[str, object]) -> list[str]:
    """What in a curriculum is, or may draw, what is held out."""
    found: list[str] = []
    for name, stage in stages.items():
        for config in configs(stage):
            found += [f"{name}: {on}" for on in ("held_out", "evaluation") if getattr(config, on, False) is True]
            for field in fields(config):
                seed = getattr(config, field.name)
                if "seed" in field.name and isinstance(seed, int):
                    count = getattr(config, "scenes", getattr(config, "clips", 1))  # clips may also be a folder of them
                    many = field.name == "first_seed" and isinstance(count, int)
                    last = seed + max(0, count - 1) if many else seed
                    found += [f"{name}: {field.name} {seed}"] if last >= FIRST_HELD_OUT_SEED else []
    return found


def test_no_recipe_can_draw_what_is_held_out(tmp_path: Path) -> None:
    for name in HASHES:
        for trial in shipped_suite(name).trials:
            assert trial.seed >= FIRST_HELD_OUT_SEED
            with pytest.raises(ValueError, match="reserved for evaluation"):
                refuse_held_out(trial.seed)
    every = recipes()
    assert {"micro", "tiny", "memory_camera"} <= set(every)
    drawn = 0
    for recipe in every.values():
        stages = {step.name: step for step in recipe.curriculum(tmp_path)}
        assert offences(stages) == []
        drawn += sum(isinstance(c, SimulateConfig) for stage in stages.values() for c in configs(stage))
    assert drawn >= 2  # micro's and tiny's
    with pytest.raises(ValueError, match="reserved for evaluation"):
        SimulateConfig(tmp_path, first_seed=FIRST_HELD_OUT_SEED - 1, scenes=2)
    with pytest.raises(ValueError, match="kept for evaluation"):
        SimulateConfig(tmp_path, held_out=True)


def test_the_walk_through_recipes_finds_what_is_hidden_in_them(tmp_path: Path) -> None:
    held = SimulateConfig(tmp_path, first_seed=FIRST_HELD_OUT_SEED, evaluation=True, held_out=True)
    words = SimulatedShot(9, 16.0, 8, 8, 70.0, held_out=True)

    def stage() -> object:
        return words

    assert offences({"sim": partial(print, held)}) == [
        "sim: held_out",
        "sim: evaluation",
        f"sim: first_seed {FIRST_HELD_OUT_SEED}",
    ]
    assert offences({"deep": partial(dict, inner={"a": [words]}), "closed": stage}) == ["deep: held_out", "closed: held_out"]
    assert offences({"plain": partial(print, SimulateConfig(tmp_path))}) == []


def surfaces(place: Scene) -> tuple[str, str, frozenset[tuple[int, ...]]]:
    """The combination of surfaces of a scene: the colour of each, in steps of 8 levels."""
    colours = (p.texture.mean((0, 1)) // 8 for p in place.parts)
    return place.style, place.kind, frozenset(tuple(c.astype(int).tolist()) for c in colours)


def shared(trials: Iterable[Trial], trained: Iterable[Scene]) -> list[str]:
    known = {surfaces(place) for place in trained}
    return [t.id for t in trials if surfaces(scene(t.seed, t.style, t.kind)) in known]


def test_held_out_scenes_have_combinations_of_surfaces_of_their_own(tmp_path: Path) -> None:
    trials = [t for name in HASHES for t in shipped_suite(name).trials[:4]]
    cfg = SimulateConfig(tmp_path, ("walk",), scenes=40)
    assert shared(trials, (the_scene(cfg, seed, "walk") for seed in range(40))) == []
    first = trials[0]
    assert shared(trials, [scene(first.seed, first.style, first.kind)]) == [first.id]


@pytest.mark.slow
def test_all_held_out_scenes_have_combinations_of_surfaces_that_tiny_never_renders(tmp_path: Path) -> None:
    every = (t for name in HASHES for t in shipped_suite(name).trials)
    found = (c for step in tiny.curriculum(tmp_path) for c in configs(step) if isinstance(c, SimulateConfig))
    drawn = [c for c in found if c.walks_alone]
    assert drawn
    assert shared(every, (the_scene(c, c.first_seed + i, "walk") for c in drawn for i in range(c.scenes))) == []


def test_a_trial_in_a_scene_that_may_be_trained_on_is_refused() -> None:
    with pytest.raises(ValueError, match="may have been trained on"):
        Trial("x", "walk", FIRST_HELD_OUT_SEED - 1, "park", "game", (0, 0, 0), "w*4", "")


def test_a_suite_is_read_as_it_was_written_and_its_hash_tells_every_change(tmp_path: Path) -> None:
    suite = shipped_suite("basic").part(3)
    suite.save(tmp_path / "suite.json")
    assert Suite.load(tmp_path / "suite.json") == suite
    spoken = replace(suite.trials[0], said=(PromptChange(1.0, "the ball rolls"),))
    other = replace(suite, trials=(spoken, *suite.trials[1:]))
    assert len({suite.hash, other.hash, suite.part(2).hash}) == 3
    (tmp_path / "bad.json").write_text('{"name": 3}')
    with pytest.raises(ValueError, match="bad.json: not a readable suite"):
        Suite.load(tmp_path / "bad.json")


def test_a_shipped_suite_that_somebody_changed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHIPPED, "basic", "0" * 16)
    with pytest.raises(ValueError, match="was changed"):
        shipped_suite("basic")


@pytest.mark.parametrize("cases", [0, 121])
def test_a_part_is_not_larger_than_the_whole(cases: int) -> None:
    with pytest.raises(ValueError, match="cases must be 1 to 120"):
        shipped_suite("basic").part(cases)


def test_a_law_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="'fast' is not one of events, basic"):
        suite_paths.draw_suite("fast", 0)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_world_can_read_every_word(name: str) -> None:
    """What is said at the start, and after it what is said on the way."""
    reader = World.open("tiny").text
    assert isinstance(reader, WordEncoder)
    for trial in shipped_suite(name).trials:
        for words in (trial.prompt, *(f"{trial.prompt} {said.words}" for said in trial.said)):
            reader.ids(words)
