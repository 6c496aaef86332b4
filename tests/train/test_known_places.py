"""The stage that learns places: which clips it reads, and what it writes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dreamx.checkpoints import native
from dreamx.clip import Clip
from dreamx.data.clip_list import clip_files
from dreamx.model.place_field import PlaceField, PlaceFieldConfig
from dreamx.train.known_places import PlacesStage, load_shots, main
from dreamx.train.run_config import RunConfig
from golden_stages import CLIPS, PLACES


def stage(root: Path, *data: Path) -> PlacesStage:
    return PlacesStage(RunConfig(root / "run", 2), data, root / "out", PLACES, batch=64, shaped=32)


def test_it_reads_the_clips_of_its_places_in_their_order(tmp_path: Path) -> None:
    found = load_shots(stage(tmp_path, CLIPS))
    every = [Clip.load(path) for path in clip_files(CLIPS)]
    for name, shots in zip(PLACES.names, found, strict=True):
        those = [clip for clip in every if clip.scene == name]
        assert len(shots.video) == len(shots.depth) == len(shots.camera) == sum(len(c.video) for c in those) > 0


def test_it_writes_fields_that_open_again(tmp_path: Path) -> None:
    main(stage(tmp_path, CLIPS))
    net = native.load(tmp_path / "out", "places", PlaceField, PlaceFieldConfig)
    assert net.config == PLACES
    assert (tmp_path / "run/sheet.png").is_file()


def test_clips_that_it_cannot_learn_from_are_named(tmp_path: Path) -> None:
    cfg = stage(tmp_path, CLIPS)
    with pytest.raises(ValueError, match="data: no clip is of 'attic'"):
        load_shots(replace(cfg, places=replace(PLACES, names=("plaza", "attic"))))
    clip = next(c for c in map(Clip.load, clip_files(CLIPS)) if c.scene == "plaza")
    (tmp_path / "flat").mkdir()
    replace(clip, depth=None).save(tmp_path / "flat" / clip_files(CLIPS)[0].name)
    with pytest.raises(ValueError, match="this clip has no depth"):
        load_shots(replace(cfg, data=(CLIPS, tmp_path / "flat")))
