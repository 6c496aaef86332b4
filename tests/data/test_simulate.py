"""The renderer's pictures and depth, and the folder of clips."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.functional import grid_sample

from drawing import draws
from dreamx.clip import FIRST_HELD_OUT_SEED, Clip
from dreamx.data.scene.render import Renderer, render_path
from dreamx.data.scene.scene import KINDS, STYLES, scene
from dreamx.data.sim import simulated
from dreamx.data.sim.simulate import draw_walks, simulate
from dreamx.data.sim.simulated import WALKS, SimulateConfig, Simulated, clip_path, the_scene
from dreamx.data.sim.walker import path
from dreamx.flags import parse
from dreamx.geometry.camera import Camera, rays, se3_inverse


def _reprojected(depth: torch.Tensor, cameras: Camera) -> tuple[torch.Tensor, torch.Tensor]:
    """Points of frame 0 seen from frame 1: their depth by geometry, and the depth that frame 1 shows there (0 outside)."""
    h, w = depth.shape[1:]
    points = rays(cameras.lens[0], h, w) * depth[0][..., None]
    move = se3_inverse(cameras.pose[1]) @ cameras.pose[0]
    p = points @ move[:3, :3].T + move[:3, 3]
    fx, fy, cx, cy = cameras.lens[1]
    uv = torch.stack([fx * p[..., 0] / p[..., 2] + cx, fy * p[..., 1] / p[..., 2] + cy], -1)
    shown = grid_sample(depth[1][None, None], uv[None] * 2 - 1, mode="nearest", align_corners=False)[0, 0]
    return p[..., 2], shown


@draws
@pytest.mark.parametrize("kind", KINDS)
def test_depth_of_one_frame_predicts_another(kind: str) -> None:
    place = scene(3, "photoreal", kind)
    cameras, _ = path(place.start(1), ["wl"] * 6 + ["di"] * 6)
    cameras = cameras[[0, 12]]
    _, depth = render_path(place, cameras, 64, 64)
    want, shown = _reprojected(depth, cameras)
    seen = (shown > 0) & (want > 0.1)
    error = ((want - shown).abs() / want)[seen]
    assert float(seen.float().mean()) > 0.4
    assert float(error.median()) < 0.01, "depth, pose and lens disagree"
    still = ((depth[0] - depth[1]).abs() / depth[0]).median()
    assert float(still) > 0.03, "the test would pass without moving"


@draws
def test_pictures_are_bright_colourful_and_repeatable() -> None:
    for kind in KINDS:
        for style in STYLES:
            place = scene(8, style, kind)
            camera = place.start(0).map(lambda x: x[None])
            video, depth = render_path(place, camera, 32, 32)
            again, _ = render_path(place, camera, 32, 32)
            assert torch.equal(video, again)
            assert video.dtype == torch.uint8 and video.shape == (1, 3, 32, 32) and depth.shape == (1, 32, 32)
            x = video[0].float()
            assert 50 < float(x.mean()) < 225 and float(x.std()) > 20 and float((x.amax(0) - x.amin(0)).mean()) > 15


@draws
@pytest.mark.parametrize("closed", [False, True])
def test_a_renderer_draws_the_same_after_another(closed: bool) -> None:
    """Another that is drawn on, or closed, leaves its own buffer bound, or none: the next picture went there."""
    here, there = scene(0, "stylised", "maze"), scene(1, "stylised", "maze")
    with Renderer(here, 16, 16) as kept:
        want = kept.render(here.start(0))
        kept.render(here.start(1))
        other = Renderer(there, 48, 48)
        other.render(there.start(0))
        if closed:
            other.close()
        got = kept.render(here.start(0))
        other.close()
    assert all(torch.equal(x, y) for x, y in zip(want, got, strict=True))


@draws
def test_an_off_centre_lens_shifts_the_picture() -> None:
    place = scene(3, "stylised", "plaza")
    camera = place.start(0)
    shifted = Camera(camera.pose, camera.lens + torch.tensor([0.0, 0.0, 0.125, 0.25]))
    _, depth = render_path(place, Camera(torch.stack([camera.pose] * 2), torch.stack([camera.lens, shifted.lens])), 32, 32)
    assert torch.allclose(depth[0, :-8, :-4], depth[1, 8:, 4:], rtol=1e-3)


@draws
def test_a_folder_is_resumed_not_redone(tmp_path: Path) -> None:
    cfg = SimulateConfig(tmp_path, ("walk",), scenes=1, clips=2, frames=5, width=16, height=16, first_seed=7)
    draw_walks(cfg, 7)
    first, second = clip_path(cfg, 7, "walk", 0), clip_path(cfg, 7, "walk", 1)
    clip = Clip.load(first)
    assert clip.video.shape == (5, 3, 16, 16) and clip.depth is not None and clip.depth.dtype == torch.float16
    assert clip.seed == 7 and clip.caption.startswith("Style: ") and clip.fps == 16
    stamp = first.stat().st_mtime_ns
    second.unlink()
    draw_walks(cfg, 7)
    assert second.exists() and first.stat().st_mtime_ns == stamp


@draws
def test_simulate_makes_every_clip_and_nothing_half_written(tmp_path: Path) -> None:
    (tmp_path / "0000000_00.tmp").write_text("half a clip")
    cfg = SimulateConfig(
        tmp_path, ("walk",), 2, clips=1, frames=5, width=16, height=16, processes=1, styles=("game",), kinds=("park",)
    )
    assert simulate(cfg) == 2
    names = ["0000000_00.safetensors", "0000001_00.safetensors"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [".dreamx.json", *names]
    assert {(Clip.load(tmp_path / n).style, Clip.load(tmp_path / n).scene) for n in names} == {("game", "park")}


def test_render_is_simulate_with_other_defaults() -> None:
    old = parse(SimulateConfig, ("--out", "o", "--kinds", "village"), "", WALKS)
    assert (old.subset, old.scenes, old.clips, old.width, old.kinds) == (("walk",), 300, 4, 64, ("village",))
    assert parse(SimulateConfig, ("--out", "o"), "") == SimulateConfig(Path("o"))
    with pytest.raises(ValueError, match="simulate.kinds must be some of room, maze, park, plaza, not village"):
        SimulateConfig(Path("o"), ("walk", "events"), kinds=("village",))


@draws
def test_walks_beside_another_subset_are_those_that_come_alone(tmp_path: Path) -> None:
    mix = SimulateConfig(tmp_path / "m", ("walk", "first_person"), 1, frames=9, width=16, height=16, processes=1)
    alone = replace(mix, out=tmp_path / "a", subset=("walk",))
    assert (simulate(mix), simulate(alone)) == (2, 1)
    walk, other = sorted(p.name for p in mix.out.glob("*.safetensors"))
    assert (walk, other) == ("0000000_00.safetensors", "0000000_first_person_00.safetensors")
    assert (mix.out / walk).read_bytes() == (alone.out / walk).read_bytes()
    name, fields = Simulated.of(alone).recorded()  # as of before there was one simulator, so that its runs go on
    assert name == "Rendered" and not {"subset", "held_out"} & fields["cfg"].keys()
    assert Simulated.of(mix).recorded()[0] == "Simulated"


def test_held_out_seeds_are_for_evaluation(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="reserved for evaluation"):
        SimulateConfig(tmp_path, ("walk",), scenes=2, first_seed=FIRST_HELD_OUT_SEED - 1)
    SimulateConfig(tmp_path, ("walk",), scenes=2, first_seed=FIRST_HELD_OUT_SEED - 1, evaluation=True)


@pytest.mark.parametrize(("field", "value"), [("scenes", 0), ("frames", -1), ("styles", ("oil",)), ("kinds", ()), ("fov", 5.0)])
def test_bad_configurations_name_the_field(tmp_path: Path, field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"simulate.{field}"):
        SimulateConfig(tmp_path, ("walk",), **{field: value})  # pyright: ignore[reportArgumentType]


def test_a_home_place_is_opened_by_name_and_has_its_own_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, str | None, str | None]] = []
    real = simulated.place
    monkeypatch.setattr(
        simulated, "place", lambda seed, style, kind: asked.append((seed, style, kind)) or real(seed, "game", "room")
    )  # a home place itself is baked for a minute
    cfg = SimulateConfig(tmp_path, ("walk",), scenes=3, clips=1, frames=5, styles=("photoreal",), kinds=("village", "room"))
    for seed in range(8):
        the_scene(cfg, seed, "walk")
    assert {(style, kind) for _, style, kind in asked} == {(None, "village"), ("photoreal", "room")}
    with pytest.raises(ValueError, match="simulate.kinds must be some of room, maze, park, plaza, village, .*, not castel"):
        SimulateConfig(tmp_path, ("walk",), kinds=("castel",))
