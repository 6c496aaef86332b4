"""A world that knows places by heart: it is told where it is, recognises its own pictures, and is as exact as any other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import micro
from dreamx import chunk_request
from dreamx.frames import as_hinted, clean
from dreamx.geometry import from_keys
from dreamx.geometry.camera import Camera, rigid, rotation
from dreamx.memory import MemoryConfig
from dreamx.model.place_field import PlaceFieldConfig
from dreamx.standpoint import Standpoint, picture_key, read_standpoints
from dreamx.world import World

PLACES = PlaceFieldConfig(
    ("village", "castle"), (8.0, 8.0), cells=8, layers=4, samples=8, levels=(4, 8), entries=128, sky=(4, 8), hidden=8
)
AT = Standpoint("castle", rigid(rotation("y", torch.tensor(40.0)), torch.tensor((1.0, -1.5, 2.0))))
KEYS = ("w", "wj", "l", "")
AT_ONE = Camera(AT.pose[None, None], torch.ones(1, 1, 4))


def knowing(chunk: int = 1) -> World:
    return micro.world(chunk, memory=MemoryConfig(views=2), places=PLACES)


def walk(world: World) -> torch.Tensor:
    return torch.cat([world.step(from_keys([k] * world.frames_per_step)) for k in KEYS])


def opened(world: World, at: Standpoint | None) -> torch.Tensor:
    world.reset(micro.picture(), "a red room", 5, at)
    return walk(world)


def test_where_it_is_changes_what_it_dreams() -> None:
    world = knowing()
    nowhere, here = opened(world, None), opened(world, AT)
    assert not torch.equal(here, nowhere)
    assert torch.equal(opened(world, AT), here)
    assert not torch.equal(opened(world, Standpoint("village", AT.pose)), here)
    assert torch.equal(opened(world, Standpoint("park", AT.pose)), nowhere), "a place that it does not know"
    assert torch.equal(
        opened(micro.world(memory=MemoryConfig(views=2)), AT), opened(micro.world(memory=MemoryConfig(views=2)), None)
    )
    world.places = None
    assert torch.equal(opened(world, AT), nowhere)


@pytest.mark.parametrize("chunk", [1, 3])
def test_what_is_known_may_be_shown_without_denoising(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    world, calls = knowing(chunk), list[int]()
    denoises = chunk_request.next_chunk
    monkeypatch.setattr(chunk_request, "next_chunk", lambda *given, **named: (calls.append(1), denoises(*given, **named))[1])
    world.config = replace(world.config, places_alone=True)
    here = opened(world, AT)
    assert calls == []
    assert here.shape == opened(knowing(chunk), AT).shape
    assert torch.equal(opened(world, AT), here)
    calls.clear()
    opened(world, None)
    assert len(calls) == len(KEYS), "elsewhere it dreams"
    with pytest.raises(ValueError, match="no hint"):
        as_hinted(clean(torch.zeros(1, 1, 4, 4, 4), AT_ONE))


@pytest.mark.parametrize("chunk", [1, 3])
def test_a_saved_session_still_knows_where_it_is(chunk: int, tmp_path: Path) -> None:
    world, again = knowing(chunk), knowing(chunk)
    world.reset(micro.picture(), "a red room", 5, AT)
    world.save(tmp_path / "fresh")
    want = walk(world)
    world.save(tmp_path / "late")
    further = walk(world)
    again.load(tmp_path / "fresh")
    assert torch.equal(walk(again), want)
    again.load(tmp_path / "late")
    assert torch.equal(walk(again), further)
    assert torch.equal(walk(again.fork()), walk(world))


def test_a_world_recognises_the_pictures_of_its_gallery(tmp_path: Path) -> None:
    knowing().export(tmp_path)
    (tmp_path / "starts").mkdir()
    Image.fromarray(np.asarray(micro.picture().permute(1, 2, 0))).save(tmp_path / "starts" / "home-castle.png")
    about = {"seed": 1, "kind": "castle", "style": "game", "index": 0}
    (tmp_path / "starts" / "home-castle.json").write_text(json.dumps(about | {"pose": AT.pose.flatten().tolist()}))
    Image.fromarray(np.asarray(micro.picture(1).permute(1, 2, 0))).save(tmp_path / "starts" / "park.png")
    (tmp_path / "starts" / "park.json").write_text(json.dumps(about | {"kind": "park"}))
    world = World.open(tmp_path)
    assert list(world.standpoints) == [picture_key(micro.picture())]
    assert torch.equal(opened(world, None), opened(world, AT))
    world.reset(micro.picture(1), "a red room", 5)
    elsewhere = walk(world)
    plain = knowing()
    plain.reset(micro.picture(1), "a red room", 5)
    assert torch.equal(elsewhere, walk(plain))


@pytest.mark.parametrize(
    "said", [{"pose": [1, 2]}, {"pose": [0] * 16}, {"kind": 3, "pose": [0] * 16}, {"kind": "castle", "pose": "x"}]
)
def test_a_wrong_standpoint_is_refused_by_the_name_of_its_file(said: dict[str, object], tmp_path: Path) -> None:
    Image.fromarray(np.asarray(micro.picture().permute(1, 2, 0))).save(tmp_path / "a.png")
    (tmp_path / "a.json").write_text(json.dumps(said))
    with pytest.raises(ValueError, match=r"a\.json: .*dreamx data starts"):
        read_standpoints(tmp_path, (micro.SIZE, micro.SIZE))


def test_a_standpoint_is_four_by_four_finite_numbers() -> None:
    for pose in (torch.full((4, 4), float("nan")), torch.eye(3)):
        with pytest.raises(ValueError, match="4 x 4 finite"):
            Standpoint("castle", pose)
    assert Standpoint.from_json(AT.to_json()).pose.equal(AT.pose)
