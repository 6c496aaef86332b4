"""Numbers of a recipe from the command line: read by the field's type, and one sentence for what is not there."""

from __future__ import annotations

from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import pytest

from dreamx.config import from_json, to_json
from dreamx.recipes import micro, open_ground, tiny, w5b
from dreamx.recipes.ablations import camera_lane, causality, memory_camera, scene_memory
from dreamx.recipes.overrides import override_recipe

RECIPE = tiny.curriculum(Path("out"))


def value(setting: str) -> Any:
    path = setting.partition("=")[0].split(".")
    found = next(step.cfg for step in override_recipe(RECIPE, [setting]) if step.name == path[0])
    for name in path[1:]:
        found = getattr(found, name)
    return found


@pytest.mark.parametrize(
    ("setting", "wanted"),
    [
        ("causal.run.steps=100", 100),
        ("autoencoder.vae.latent=8", 8),
        ("causal.lr=1", 1.0),
        ("encode.mirror=True", True),
        ("encode.mirror=false", False),
        ("causal.teaching.windows=[[8,1]]", ((8, 1),)),
        ("camera.train=view", ("view",)),
        ("camera.train=view,text", ("view", "text")),
        ("camera.samples=none", None),
        ("causal.run.dtype=bfloat16", "bfloat16"),
        ("pictures.out=a=b", Path("a=b")),
        ("depth.data=a,b", (Path("a"), Path("b"))),
        ("world.world.sampler.steps=2", 2),
    ],
)
def test_a_value_is_read_by_the_type_of_its_field(setting: str, wanted: Any) -> None:
    found = value(setting)
    assert found == wanted
    assert type(found) is type(wanted)


def test_everything_else_stays_and_settings_of_one_stage_go_together() -> None:
    made = override_recipe(RECIPE, ["camera.dit.text=32", "causal.run.steps=7", "camera.text.width=32", "camera.text.heads=2"])
    for old, new in zip(RECIPE, made, strict=True):
        assert (old.name, old.run) == (new.name, new.run)
        assert (old.cfg == new.cfg) == (old.name not in ("camera", "causal"))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("causal", "'causal' must be STAGE.FIELD=VALUE"),
        ("causal=3", "'causal=3' must be STAGE.FIELD=VALUE"),
        ("cause.run.steps=1", "'cause' is no stage of this recipe; the stages are data, autoencoder, encode, camera, causal"),
        ("causal.rum.steps=1", "causal.rum.steps: 'rum' is no field; the fields are run, data, start, out, teaching"),
        ("causal.run.stps=1", "causal.run.stps: 'stps' is no field; the fields are folder, steps, seed"),
        ("causal.run.steps=many", "causal.run.steps=many cannot be: config CausalStage.run.steps: must be a whole number"),
        ("causal.run.steps=1.5", "must be a whole number"),
        ("causal.run.steps=0", "steps must be 1 or more"),
        ("causal.run=3", "causal.run is a group of settings, not one; its fields are folder, steps"),
        ("causal.lr.x=2", "lr holds no settings of its own, so there is no x in it"),
        ("lookahead_1.samples.every=3", "samples holds nothing (None), so there is no every in it"),
        ("camera.text.width=32", "dit.text must be text.width"),
    ],
)
def test_what_is_wrong_is_one_sentence(setting: str, said: str) -> None:
    with pytest.raises(ValueError, match="^set: ") as e:
        override_recipe(RECIPE, [setting])
    assert said in str(e.value)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("module", [micro, tiny, open_ground, w5b, camera_lane, causality, memory_camera, scene_memory])
def test_every_step_of_every_recipe_survives_json(module: Any) -> None:
    for step in module.curriculum(Path("out")):
        if is_dataclass(step.cfg):
            assert from_json(type(step.cfg), to_json(step.cfg)) == step.cfg, step.name
