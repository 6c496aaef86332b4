"""The stage that learns places: which clips it reads, and what it writes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import open_room
from dreamx.checkpoints import native
from dreamx.clip import Clip
from dreamx.data.clip_list import clip_files
from dreamx.geometry.camera import Camera
from dreamx.model.place_field import PlaceField, PlaceFieldConfig
from dreamx.train.known_places import PlacesStage, draw, field_loss, fill_skies, fitting_halves, load_pictures, main
from dreamx.train.run_config import RunConfig
from golden_stages import CLIPS, PLACES


def stage(root: Path, *data: Path) -> PlacesStage:
    return PlacesStage(RunConfig(root / "run", 2), data, root / "out", PLACES, batch=64, shaped=32)


def test_it_reads_the_clips_of_its_places_in_their_order(tmp_path: Path) -> None:
    found = load_pictures(stage(tmp_path, CLIPS))
    every = [Clip.load(path) for path in clip_files(CLIPS)]
    for name, pictures in zip(PLACES.names, found, strict=True):
        those = [clip for clip in every if clip.scene == name]
        assert len(pictures.video) == len(pictures.depth) == len(pictures.camera) == sum(len(c.video) for c in those) > 0


def test_it_writes_fields_that_open_again(tmp_path: Path) -> None:
    main(stage(tmp_path, CLIPS))
    net = native.load(tmp_path / "out", "places", PlaceField, PlaceFieldConfig)
    assert net.config == PLACES
    assert (tmp_path / "run/sheet.png").is_file()


def test_it_goes_on_from_earlier_fields_of_the_same_sizes(tmp_path: Path) -> None:
    main(stage(tmp_path, CLIPS))
    first = native.load(tmp_path / "out", "places", PlaceField, PlaceFieldConfig)
    later = replace(
        stage(tmp_path, CLIPS), run=RunConfig(tmp_path / "on", 1), start=tmp_path / "out", out=tmp_path / "later", lr=1e-9
    )
    main(later)
    second = native.load(tmp_path / "later", "places", PlaceField, PlaceFieldConfig)
    for name, p in first.named_parameters():
        torch.testing.assert_close(second.get_parameter(name), p, atol=1e-6, rtol=0)
    for places in (replace(PLACES, names=("plaza", "room")), replace(PLACES, cells=8)):
        with pytest.raises(ValueError, match="start: its fields are of plaza, maze, or of other sizes"):
            main(replace(later, run=RunConfig(tmp_path / "no", 1), out=tmp_path / "never", places=places))
        assert not (tmp_path / "no").exists() and not (tmp_path / "never").exists()


def test_a_place_reaches_as_far_as_its_clips_say_or_show(tmp_path: Path) -> None:
    clip = next(c for c in map(Clip.load, clip_files(CLIPS)) if c.scene == "plaza")
    near = torch.full_like(clip.camera.pose[:, :3, 3], 0.0)
    pose = clip.camera.pose.clone()
    pose[:, :3] = torch.eye(4)[:3]
    pose[:, :3, 3] = near
    level = replace(clip, camera=Camera(pose, clip.camera.lens))
    depth = torch.full_like(clip.video[:, 0], 0, dtype=torch.float16)
    said = {"far": {}, "reach": {"reach": "7.35"}, "nonsense": {"reach": "far away"}}
    found: dict[str, float] = {}
    for name, extra in said.items():
        (tmp_path / name).mkdir()
        replace(level, depth=depth + 5 if name == "far" else None, extra=extra).save(tmp_path / name / "a.safetensors")
        cfg = stage(tmp_path, tmp_path / name)
        cfg = replace(cfg, places=replace(PLACES, names=("plaza",), half=()))
        if name != "nonsense":
            found[name] = fitting_halves(cfg.places, load_pictures(cfg))[0]
            continue
        with pytest.raises(ValueError, match="places.half is missing"):
            fitting_halves(cfg.places, load_pictures(cfg))
    assert found == {"far": 5.0, "reach": 7.4}, "5 m ahead, and less far to the sides"
    main(replace(stage(tmp_path, tmp_path / "reach"), places=replace(PLACES, names=("plaza",), half=())))
    assert native.read_config(tmp_path / "out", "places", PlaceFieldConfig).half == (7.4,)


def test_rays_without_depth_learn_beside_rays_with_it() -> None:
    """The loss of a mixed batch is that of its two parts, each by its share; of the first alone nothing changes."""
    torch.manual_seed(0)
    net = PlaceField(replace(PLACES, names=("here",), half=(4.0,), samples=40))
    cfg = PlacesStage(None, (None,), None, net.config, batch=128, shaped=128)  # pyright: ignore[reportArgumentType]
    rays = draw([open_room.pictures(6, seed=1)], cfg, torch.Generator().manual_seed(0))
    which = torch.arange(128) % 4 > 0
    mixed = replace(rays, depth=rays.depth * which)
    whole = field_loss(net, mixed, 128, 0.2)[0]
    known = field_loss(net, rays.select(which), 96, 0.2)[0]
    unknown = field_loss(net, replace(rays, depth=torch.zeros(128)).select(~which), 32, 0.2)[0]
    torch.testing.assert_close(whole, 0.75 * known + 0.25 * unknown)
    assert abs(float((known - unknown).detach())) > 0.1


def test_a_sky_that_was_never_looked_at_is_like_the_nearest_that_was() -> None:
    net = PlaceField(replace(PLACES, sky=(6, 8)))
    with torch.no_grad():
        net.sky[0][0, :, 1, 2] = torch.tensor((1.0, 2.0, 3.0))
        net.sky[1][0, :, 2] = 5.0
        net.sky[1][0, :, 3] = 7.0
    fill_skies(net)
    torch.testing.assert_close(net.sky[0], torch.tensor((1.0, 2.0, 3.0))[None, :, None, None].expand(1, 3, 6, 8))
    assert net.sky[1][0, 0, :, 0].tolist() == [5, 5, 5, 7, 7, 7]
    empty = PlaceField(PLACES)
    fill_skies(empty)
    assert not empty.sky[0].any()


def test_clips_that_it_cannot_learn_from_are_named(tmp_path: Path) -> None:
    cfg = stage(tmp_path, CLIPS)
    with pytest.raises(ValueError, match="data: no clip is of 'attic'"):
        load_pictures(replace(cfg, places=replace(PLACES, names=("plaza", "attic"))))
    clip = next(c for c in map(Clip.load, clip_files(CLIPS)) if c.scene == "plaza")
    (tmp_path / "flat").mkdir()
    replace(clip, depth=None).save(tmp_path / "flat" / clip_files(CLIPS)[0].name)
    small = replace(clip, video=clip.video[..., ::2, ::2], depth=None if clip.depth is None else clip.depth[..., ::2, ::2])
    (tmp_path / "small").mkdir()
    small.save(tmp_path / "small" / clip_files(CLIPS)[0].name)
    with pytest.raises(ValueError, match=r"are \[16, 16\] where others of this place are \[32, 32\]"):
        load_pictures(replace(cfg, data=(CLIPS, tmp_path / "small")))
    for folder, want in (("attic", "no clip is of 'attic'"), ("flat", "places.half is missing, and clips of 'plaza'")):
        names = ("attic",) if folder == "attic" else ("plaza",)
        bad = replace(cfg, data=(tmp_path / "flat",), places=replace(PLACES, names=names, half=()))
        with pytest.raises(ValueError, match=want):
            main(bad)
        assert not bad.out.exists() and not bad.run.folder.exists()
