"""Ways to remember, side by side: each is taught what it is then shown, and nothing else differs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import latents_of_chance
from dreamx.checkpoints import native
from dreamx.model.vae import VAE
from dreamx.recipes import micro
from dreamx.recipes.ablations import scene_memory
from dreamx.train.memory_stage import MemoryStage
from dreamx.train.trained_networks import Networks
from dreamx.world import World

STAGES = {s.name.removesuffix("-memory"): s.cfg for s in scene_memory.curriculum(Path("x")) if isinstance(s.cfg, MemoryStage)}


def test_ways_differ_in_what_they_are_named_by_alone() -> None:
    none, both = STAGES["none"], STAGES["both"]
    assert (none.packing.drop_memory, none.packing.drop_hint) == (1, 1)
    assert both.packing.drop_memory < 0.5 > STAGES["re-projected"].packing.drop_hint
    same = {replace(c.packing, drop_memory=0, drop_hint=0, history_noise=0) for c in STAGES.values()}
    assert len(same) == 1
    assert len({(c.data, c.start, c.lr, c.frames, c.run.steps, c.run.seed) for c in STAGES.values()}) == 1
    assert {name for name, c in STAGES.items() if c.bank is not None} == {"residuals"}
    assert {name for name, c in STAGES.items() if not c.packing.history_noise} == {"clean", "residuals"}
    gaps = {name: c.packed.gaps for name, c in STAGES.items() if name.startswith("packed")}
    assert len(set(gaps.values())) == len(gaps) == 5


def test_worlds_are_shown_what_was_taught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    native.save(tmp_path / "autoencoder" / "model", {"vae": (VAE(micro.VAE), micro.VAE)})
    native.save(tmp_path / "events_again" / "model", Networks.new(micro.DIT, micro.TEXT).parts())
    length = scene_memory.tiny.STRETCH + 6
    latents_of_chance.save(tmp_path / "further.safetensors", 3, length, micro.VAE.latent, scene_memory.tiny.WORLD.lens)
    few = {name: scene_memory.MEMORIES[name] for name in ("none", "packed-yarn")}
    monkeypatch.setattr(scene_memory, "MEMORIES", few)
    monkeypatch.setattr(scene_memory, "ERRORS", {"residuals": scene_memory.ERRORS["residuals"]})
    for step in scene_memory.curriculum(tmp_path, 1, steps=2):
        cfg = step.cfg if step.trains else replace(step.cfg, depth=None)
        step.run(cfg)
    worlds = {
        name: World.open(tmp_path / folder / name / "world") for folder, name in (("memories", "none"), ("errors", "residuals"))
    }
    worlds["packed-yarn"] = World.open(tmp_path / "memories" / "packed-yarn" / "world")
    for name, world in worlds.items():
        past = world.config.past
        assert past is not None
        assert (past.packed is not None) == (name == "packed-yarn")
        assert world.config.memory is None
