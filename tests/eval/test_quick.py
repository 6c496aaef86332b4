from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import sphere
from dreamx.clip import FIRST_HELD_OUT_SEED, Clip
from dreamx.data.opengl import CannotDraw
from dreamx.data.scene.scene import scene
from dreamx.data.sim import walker
from dreamx.eval import quick
from dreamx.eval.metrics.psnr import PSNR_CAP
from dreamx.eval.quick import QuickConfig, drive_case, evaluate, summarise
from dreamx.eval.suites import true_clips
from dreamx.eval.suites.true_clips import PATHS, TrueCase, VideoFormat, clear_path, held_keys, key_scripts, warp_of
from dreamx.geometry.camera import Camera, lens_from_fov, level
from dreamx.geometry.controls import Controls, Speed, walk
from dreamx.standpoint import Standpoint

SEED = FIRST_HELD_OUT_SEED
VIEW = VideoFormat(16, 16, lens_from_fov(70, 16, 16), 4.0)


def sphere_case(seed: int, path: str) -> TrueCase:
    keys = key_scripts(path, seed, VIEW.fps)[0]
    cameras, actions = walker.path(level(VIEW.lens), keys, Speed(fps=VIEW.fps))
    video = sphere.film(cameras, 16)
    depth = sphere.render(cameras[0], 16)[1].expand(len(video), 16, 16)
    clip = Clip(video, cameras, actions, depth, VIEW.fps, "a painted sphere", seed=seed)
    return TrueCase(clip, warp_of(clip))


class Oracle:
    """A world that is right: it walks as it is told and renders. ``late`` frames late, or with a haze, it is wrong."""

    def __init__(self, late: int = 0, haze: float = 0.0) -> None:
        self.size, self.fps, self.late, self.haze = (16, 16), VIEW.fps, late, haze
        self.camera = level(VIEW.lens)
        self.steps = 0

    @property
    def frames_per_step(self) -> int:
        return 12 if self.steps else 8

    def reset(self, image: Tensor | None = None, prompt: str = "", seed: int = 0, at: Standpoint | None = None) -> Tensor:
        assert image is not None
        assert prompt == "a painted sphere"
        assert seed >= SEED
        self.camera, self.steps, self.past = level(VIEW.lens), 0, [level(VIEW.lens)] * self.late
        return image[None]

    def step(self, controls: Controls, event: str | None = None) -> Tensor:
        assert event is None
        assert len(controls) == self.frames_per_step
        self.steps += 1
        path = walk(self.camera, controls, torch.tensor(walker.UP))
        self.camera = path[-1]
        self.past += [path[i] for i in range(len(path))]
        seen, self.past = self.past[: len(path)], self.past[len(path) :]
        video = torch.stack([sphere.render(camera, 16)[0] for camera in seen])
        return (video.float() * (1 - self.haze)).to(torch.uint8)


def world(late: int = 0, haze: float = 0.0) -> Any:
    return Oracle(late, haze)


def test_a_world_that_is_right_scores_the_cap_and_stands_above_the_baselines():
    report = summarise(evaluate(world(), [SEED, SEED + 1], sphere_case), VIEW.fps)
    for path in PATHS:
        assert report["psnr"]["ours"][path] == PSNR_CAP
        assert report["sharpness"]["ours"][path] == pytest.approx(1)
        assert PSNR_CAP > report["psnr"]["warp"][path] > report["psnr"]["copy-first"][path]
    assert report["evaluated"] == dict.fromkeys(PATHS, 2)
    assert report["failures"] == []
    assert report["sharpness"]["warp"]["turn360"] < 0.6  # most of a turn was never seen


def test_a_world_that_is_a_frame_late_is_found_out():
    late = summarise(evaluate(world(late=1), [SEED], sphere_case), VIEW.fps)
    assert all(late["psnr"]["ours"][path] < 35 for path in PATHS)


def test_by_second_is_the_psnr_of_each_second_without_frame_0():
    report = summarise(evaluate(world(haze=0.5), [SEED], sphere_case), VIEW.fps)
    seconds = {path: len(report["by_second"]["ours"][path]) for path in PATHS}
    assert seconds == {"walk": 5, "turn360": 15, "out_and_back": 5}
    for model in ("ours", "copy-first", "warp"):
        for path in PATHS:
            assert np.mean(report["by_second"][model][path]) == pytest.approx(report["psnr"][model][path], abs=2e-3)
    copy = report["by_second"]["copy-first"]["out_and_back"]
    assert copy[0] > copy[2] < copy[-1]  # away from the first frame, and back to it
    assert report["sharpness"]["ours"]["walk"] == pytest.approx(0.25, abs=0.02)


def test_a_dream_is_as_long_as_the_truth():
    case = sphere_case(SEED, "walk")
    assert torch.equal(drive_case(world(), case), case.truth.video)


def test_a_path_that_fails_is_named_and_left_out_for_every_model():
    def failing(seed: int, path: str) -> TrueCase:
        if seed == SEED and path == "walk":
            raise RuntimeError("no light")
        return sphere_case(seed, path)

    report = summarise(evaluate(world(), [SEED, SEED + 1], failing), VIEW.fps)
    assert report["failures"] == [{"seed": SEED, "path": "walk", "reason": "RuntimeError: no light"}]
    assert report["evaluated"] == {"walk": 1, "turn360": 2, "out_and_back": 2}


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> QuickConfig:
    (tmp_path / "world").mkdir()
    (tmp_path / "world" / "config.json").write_text("{}")
    monkeypatch.setattr(quick, "World", SimpleNamespace(open=lambda _: world()))
    monkeypatch.setattr(true_clips, "render_truth", lambda seed, path, _: sphere_case(seed, path).truth)
    monkeypatch.setattr(quick, "gl", lambda *_: None)
    rows = ("ours", "copy-first", "warp")  # an oracle has no memory to copy from
    return QuickConfig(str(tmp_path / "world"), scenes=1, out=tmp_path / "out", truth=tmp_path / "truth", models=rows)


def test_when_all_fails_it_exits_with_1_and_the_first_reason(
    shipped: QuickConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def broken(seed: int, path: str, view: VideoFormat) -> Clip:
        raise ValueError(f"no {path} in {seed}")

    monkeypatch.setattr(true_clips, "render_truth", broken)
    with pytest.raises(SystemExit) as end:
        quick.main(shipped)
    assert end.value.code == 1
    assert f"all 3 paths failed; the first: ValueError: no walk in {SEED}" in capsys.readouterr().err
    assert not (shipped.out / "quick.json").exists()


def test_a_machine_that_cannot_draw_is_found_before_the_first_scene(shipped: QuickConfig, monkeypatch: pytest.MonkeyPatch):
    def blind(width: int, height: int) -> None:
        raise CannotDraw("the simulator cannot draw on this machine")

    monkeypatch.setattr(quick, "gl", blind)
    monkeypatch.setattr(quick, "evaluate", lambda *_: pytest.fail("it began"))
    with pytest.raises(ValueError, match="cannot draw"):
        quick.main(shipped)


def test_json_alone_goes_to_standard_output(shipped: QuickConfig, capsys: pytest.CaptureFixture[str]):
    quick.main(replace(shipped, json=True))
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((shipped.out / "quick.json").read_text())
    words = "psnr sharpness by_second sharpness_by_second way_back turned evaluated failures settings"
    assert set(report) == set(words.split())
    assert set(report["psnr"]) == set(report["sharpness"]) == {"ours", "copy-first", "warp"}
    settings = report["settings"]
    assert (settings["seeds"], settings["size"], len(settings["weights"])) == ([SEED], [16, 16], 16)


def test_the_table_and_the_contact_sheet(shipped: QuickConfig, capsys: pytest.CaptureFixture[str]):
    quick.main(shipped)
    said = capsys.readouterr().out
    assert "copy-first" in said
    assert "99.00 (1.00)" in said
    sheet = Image.open(shipped.out / "quick.png")
    height = 2 * 14 + 2 * 112 + 6
    assert sheet.size == (60 + 9 * 114, 3 * height)
    top, below = (sheet.crop((60, y, sheet.width, y + 112)) for y in (28, 28 + 114))
    assert top.tobytes() == below.tobytes()  # the dream of an oracle is the truth


def test_truths_are_rendered_once(shipped: QuickConfig, monkeypatch: pytest.MonkeyPatch):
    first = true_clips.load_case(shipped.truth, SEED, "walk", VIEW)
    monkeypatch.setattr(true_clips, "render_truth", lambda *_: pytest.fail("rendered again"))
    again = true_clips.load_case(shipped.truth, SEED, "walk", VIEW)
    assert torch.equal(again.truth.video, first.truth.video)
    assert torch.equal(again.warp, first.warp)
    assert held_keys(again.truth.actions) == key_scripts("walk", SEED, VIEW.fps)[0]
    assert not list(shipped.truth.glob("*.tmp"))


def test_truths_of_another_view_or_half_written_are_rendered_again(shipped: QuickConfig, monkeypatch: pytest.MonkeyPatch):
    true_clips.load_case(shipped.truth, SEED, "walk", VIEW)
    made: list[int] = []
    real = true_clips.render_truth
    monkeypatch.setattr(true_clips, "render_truth", lambda *a: made.append(1) or real(*a))
    true_clips.load_case(shipped.truth, SEED, "walk", replace(VIEW, lens=(0.5, 0.5, 0.5, 0.5)))
    assert len(made) == 1
    for file in shipped.truth.glob("*.warp.safetensors"):
        file.unlink()
    true_clips.load_case(shipped.truth, SEED, "walk", VIEW)
    assert len(made) == 2


def test_scenes_that_may_have_been_trained_on_are_refused():
    with pytest.raises(ValueError, match="first_seed must be 1000000 or more"):
        QuickConfig("tiny", first_seed=5)
    with pytest.raises(ValueError, match="scenes must be at least 1, not 0"):
        QuickConfig("tiny", scenes=0)


class Corridor:
    """Free along +x only, for 8 m from the origin; every start stands at the origin and looks along +z."""

    seed = SEED

    def start(self, index: int) -> Camera:
        return level(VIEW.lens)

    def free(self, x: Any, y: Any) -> Any:
        return (x > -0.1) & (x < 8) & (np.abs(y) < 0.3 * np.abs(x) + 0.1)


def test_a_path_is_turned_until_it_is_clear():
    corridor: Any = Corridor()
    keys, start = clear_path(corridor, "out_and_back", VIEW)
    assert walker.clear(corridor, walker.path(start, keys, Speed(fps=VIEW.fps))[0])
    assert start.pose[0, 2] > 0.95  # looks along +x
    assert torch.equal(clear_path(corridor, "out_and_back", VIEW)[1].pose, start.pose)


def test_no_clear_path_is_said():
    blocked: Any = SimpleNamespace(seed=7, start=Corridor().start, free=lambda x, y: np.zeros_like(x, bool))
    with pytest.raises(ValueError, match="scene 7: no clear walk"):
        clear_path(blocked, "walk", VIEW)


def test_the_walk_through_a_real_maze_is_clear():
    place, view = scene(SEED + 1, "game", "maze"), replace(VIEW, fps=16.0)
    keys, start = clear_path(place, "walk", view)
    assert len(keys) == 80
    assert walker.clear(place, walker.path(start, keys)[0])


def test_scripts_at_any_frame_rate():
    for fps in (16.0, 24.0):
        assert [len(key_scripts(p, SEED, fps)[0]) / fps for p in PATHS] == [5, 15, 5]
    assert key_scripts("turn360", 0, 16)[0] == ["j"] * 240
    assert key_scripts("turn360", 1, 16)[0] == ["l"] * 240
    with pytest.raises(ValueError, match="path 'fly' is not one of"):
        key_scripts("fly", 0, 16)
