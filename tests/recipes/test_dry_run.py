"""The table of a dry run: every training stage of every scale, its parameters counted, its refusals true."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from dreamx.budget.plan import W5B, W5B_SIZE
from dreamx.budget.training_cost import StepCost
from dreamx.budget.training_fit import StageLoad
from dreamx.cli import main
from dreamx.recipes import curriculum, dry_run, micro, open_ground, tiny, w5b
from dreamx.recipes.ablations import camera_lane, causality, memory_camera, scene_memory
from dreamx.recipes.curriculum import Curriculum
from dreamx.recipes.dry_run import stage_loaders
from dreamx.train.trained_networks import Networks


def rows(text: str) -> dict[str, list[str]]:
    """By stage: the cells of its row."""
    table = text.split("\n\n")[1].splitlines()
    return {line.split()[0]: re.split(r" {2,}", line) for line in table[1:]}


def test_the_released_size(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    main(["train", "curriculum", "--scale", "w5b", "--dry-run", "--gpus", "64", "--gpu", "H100"])
    said = capsys.readouterr().out
    found = rows(said)
    small = found.pop("decoder")
    assert list(found) == ["camera", "causal", "memory", "consistency", "distill", "distill_long", "reward"]
    assert small[1:3] == ["184,773,757", "35,136,669"], "its decoder lost 75 %, and learns beside a critic; its encoder does not"
    assert [row[1] for row in found.values()] == 4 * ["5,283,110,592"] + 3 * ["15,849,331,776"], "student, critic and teacher"
    assert {row[2] for row in list(found.values())[4:6]} == {"10,566,221,184"}, "of which the teacher does not learn"
    assert found["distill"][5:9] == ["1.0 GB", "0.7 GB", "1.3 GB", "0.3 GB"], "all three sharded, one averaged"
    assert found["reward"][2:4] == ["5,283,110,592", "4"], "the policy alone learns; its two others stand beside it"
    assert found["reward"][5:9] == ["1.0 GB", "0.3 GB", "0.7 GB", "0.3 GB"]
    lane = int(found["camera"][2].replace(",", ""))
    assert 0.04 < lane / 5_283_110_592 < 0.07, "the camera lane alone is trained"
    assert found["causal"][2] == "5,283,110,592"
    assert "64 x H100" in said
    assert "40% of that peak" in said
    # A teacher stands beside the student, whole on every GPU.
    assert float(found["consistency"][5].split()[0]) > 21
    refused = [line for line in said.splitlines() if " needs " in line]
    assert [line.split()[0] for line in refused] == list(found)
    assert all("it would fit with checkpointed blocks (" in line for line in refused)
    main(["train", "curriculum", "--scale", "w5b", "--dry-run", "--gpus", "64", "--checkpoint-blocks", "--stage", "causal"])
    said = capsys.readouterr().out
    assert list(rows(said)) == ["causal"]
    assert " needs " not in said


def test_the_table_is_of_the_released_network() -> None:
    assert (w5b.DIT, w5b.SIZE) == (W5B, W5B_SIZE)
    step = {step.name: step.cfg for step in w5b.curriculum(Path("out"))}
    assert step["data"].frames == 4 * step["causal"].frames - 3 == 81
    assert step["camera"].train == ("view",)
    assert (step["causal"].teaching.chunk, step["causal"].teaching.windows) == (3, ((12, 3),))


def test_it_cannot_be_begun(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="scale: w5b cannot be trained: its stages read our own autoencoder"):
        curriculum.main(Curriculum(tmp_path / "out", "w5b"))
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="--out is missing"):
        curriculum.main(Curriculum())


def test_every_stage_of_the_shipped_world_has_a_row() -> None:
    recipe = tiny.curriculum(Path("out"))
    found = stage_loaders(tiny, recipe)
    assert list(found) == [step.name for step in recipe if step.trains]
    load = found["lookahead_1"](None, False)
    assert load.parameters == load.trained == sum(p.numel() for p in Networks.new(tiny.DIT, tiny.TEXT).parameters())
    assert found["painter"](None, False).parameters < load.parameters, "the painter has neither lane nor hint"
    assert found["places"](None, False).cost.saved > 0, "fields are counted, too"


@pytest.mark.parametrize("module", [open_ground, camera_lane, causality, memory_camera, scene_memory])
def test_every_stage_of_an_ablation_is_counted_with_its_own_network(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dry_run, "transformer_cost", lambda step: StepCost(1.0, 1.0, 1.0, 1.0))  # parameters alone
    recipe = module.curriculum(Path("out"))
    found = stage_loaders(module, recipe)
    assert list(found) == [step.name for step in recipe if step.trains]
    sizes = {name: load(1, False).parameters for name, load in found.items() if name.endswith(("causal", "memory"))}
    assert (
        len(set(sizes.values())) >= {open_ground: 1, camera_lane: 3, causality: 1, memory_camera: 4, scene_memory: 1}[module]
    ), sizes


def test_a_window_that_is_looked_at_twice_costs_two_looks_and_a_shared_one_no_rollout() -> None:
    recipe = micro.curriculum(Path("out"))
    step = next(s for s in recipe if s.name == "distill")

    def load(**changed: object) -> StageLoad:
        found = stage_loaders(micro, tuple(replace(s, cfg=replace(s.cfg, **changed)) if s is step else s for s in recipe))
        return found["distill"](2, False)

    once, twice, shared = load(draws=1), load(draws=2), load(draws=1, shared=True)
    assert twice.cost.forward == pytest.approx(2 * once.cost.forward, rel=0.02)
    assert once.batch == twice.batch == 2, "as many sequences"
    assert shared.cost == once.cost
    assert shared.passes < once.passes


def test_numbers_of_the_command_line_count(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = ["train", "curriculum", "--scale", "micro", "--dry-run", "--gpus", "1"]
    main([*command, "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
    before = rows(capsys.readouterr().out)
    assert list(before) == [step.name for step in micro.curriculum(Path("out")) if step.trains]
    main([*command, "--set", "causal.teaching.batch=8", "--set", "causal.run.steps=1000"])
    after = rows(capsys.readouterr().out)
    assert (after["causal"][3], after["causal"][14]) == ("8", "1000")
    assert float(after["causal"][12]) == pytest.approx(2 * float(before["causal"][12]), rel=0.1)
    assert after["camera"] == before["camera"]


def test_what_trains_nothing_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    main(["train", "curriculum", "--scale", "wan_micro", "--dry-run"])
    assert capsys.readouterr().out == "Nothing is trained.\n"
