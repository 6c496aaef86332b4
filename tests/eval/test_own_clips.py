"""Scores on clips of one's own: what was walked, what is counted, and what does not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import micro
from dreamx.clip import Clip
from dreamx.data.sim.start_pictures import StartsConfig, starts
from dreamx.eval import own_clips
from dreamx.eval.metrics.psnr import psnr
from dreamx.eval.own_clips import ClipsConfig, led_along, scores, words_for
from dreamx.events import Event, Story, prompt
from dreamx.geometry.camera import Camera
from dreamx.memory import MemoryConfig
from dreamx.model.place_field import PlaceFieldConfig
from dreamx.play.ground_truth_renderer import truth_for
from dreamx.session import Dream
from dreamx.standpoint import picture_key
from dreamx.world import World
from repo import TESTS

FILES = sorted((TESTS / "files/micro").glob("*_00.safetensors"))[:2]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world") / "small"
    micro.world(memory=MemoryConfig()).export(folder)
    return folder


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    (tmp_path / "clips").mkdir()
    for i, file in enumerate(FILES):
        Clip.load(file).save(tmp_path / "clips" / f"{i}.safetensors")
    return tmp_path / "clips"


def test_rows_clips_and_means(world: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own_clips.main(ClipsConfig(clips, str(world), frames=13, out=tmp_path / "out"))
    report = json.loads((tmp_path / "out/clips.json").read_text())
    assert list(report["rows"]) == ["ours", "hint-copy", "copy-first"]
    assert report["clips"] == 2
    truth = [Clip.load(f).video[:13] for f in FILES]
    still = [scores(v[:1].expand_as(v), v, 16.0)["psnr"] for v in truth]
    assert report["rows"]["copy-first"]["psnr"] == pytest.approx(sum(still) / 2, abs=1e-3)
    assert [row["copy-first"]["psnr"] for row in report["each"]] == pytest.approx(still, abs=1e-9)
    assert "hint-copy" in capsys.readouterr().out


def test_what_happens_is_told_while_it_does(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str | None] = []
    follow = World.follow

    def listen(self: World, path: Camera, event: str | None = None) -> Dream:
        heard.append(event)
        return follow(self, path, event)

    monkeypatch.setattr(World, "follow", listen)
    (tmp_path / "clips").mkdir()
    calm = Clip.load(FILES[0])
    story = Story(
        "A room.", events=(Event("e1", "the light", "goes out", "", 0.5, 0.6), Event("e2", "it", "is dark", "", 1.0, 9.0))
    )
    dark = replace(calm, story=story, video=calm.video // 2, caption=prompt(story))
    dark.save(tmp_path / "clips/0000003_weather_00.safetensors")
    calm.save(tmp_path / "clips/0000003_00.safetensors")
    both = "The light goes out. It is dark"
    said = [words_for(dark, i, i + 4) for i in (1, 5, 9, 13, 21, 25, 29)]  # 16 frames a second; each for a second at least
    assert said == ["", "The light goes out", "The light goes out", both, both, "It is dark", "It is dark"]
    assert words_for(calm, 9, 13) == ""
    own_clips.main(ClipsConfig(tmp_path / "clips", str(world), frames=13, out=tmp_path / "out"))
    report = json.loads((tmp_path / "out/clips.json").read_text())
    assert report["clips"] == 1, "the calm one is not walked"
    assert list(report["rows"]) == ["ours", "mute", "hint-copy", "copy-first", "twin"]
    assert report["rows"]["twin"]["psnr"] == pytest.approx(float(psnr(calm.video[1:13], dark.video[1:13]).mean()), abs=1e-3)
    # Of ours, mute and hint-copy, three chunks each.
    assert heard == ["", "The light goes out", "The light goes out", *[""] * 6]
    assert all("psnr_told" in row for row in report["rows"].values())
    (tmp_path / "clips/0000003_00.safetensors").unlink()
    own_clips.main(ClipsConfig(tmp_path / "clips", str(world), frames=13, out=tmp_path / "again"))
    assert "twin" not in json.loads((tmp_path / "again/clips.json").read_text())["rows"]


def test_it_goes_where_the_clip_went() -> None:
    """Whatever the axes of the clip's cameras are: they count from its first one."""
    clip, small = Clip.load(FILES[0]), micro.world(memory=MemoryConfig())
    turned = torch.tensor([[0.0, 0, 1, 5], [0, 1, 0, -2], [-1, 0, 0, 3], [0, 0, 0, 1]])
    other = replace(clip, camera=Camera(turned @ clip.camera.pose, clip.camera.lens))
    seen = led_along(small, clip, 21, 0)
    assert seen.shape == clip.video[:21].shape
    moved = small.camera.pose
    led_along(small, other, 21, 0)
    torch.testing.assert_close(small.camera.pose, moved, rtol=0, atol=1e-4)
    first, last = clip.camera.pose[0].double(), clip.camera.pose[20].double()
    torch.testing.assert_close(moved.double(), torch.linalg.inv(first) @ last, rtol=0, atol=1e-4)


def test_the_truth_scores_as_truth() -> None:
    video = Clip.load(FILES[0]).video
    assert scores(video, video, 16.0) == {"psnr": 99.0, "psnr_end": 99.0, "sharpness": 1.0}


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (lambda c: replace(c, video=c.video[..., :16], depth=None, segments=None), "is 16x32, and this world makes 32x32"),
        (
            lambda c: replace(c, camera=Camera(c.camera.pose, 2 * c.camera.lens)),
            "through the lens .* world assemble --fov 3",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_made(
    world: Path, clips: Path, tmp_path: Path, how: Callable[[Clip], Clip], words: str
) -> None:
    how(Clip.load(FILES[1])).save(clips / "1.safetensors")
    with pytest.raises(ValueError, match=words):
        own_clips.main(ClipsConfig(clips, str(world), out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_place_known_by_heart_is_shown_and_begun_from_a_clip(clips: Path, tmp_path: Path) -> None:
    """Clips of a place that the world knows: it is told where they were taken, in scores and in the gallery."""
    where = [Clip.load(f).scene for f in FILES]
    places = PlaceFieldConfig((where[0],), (12.0,), cells=16, layers=8, samples=16, levels=(8, 16), entries=256, sky=(4, 8))
    knows, clip = micro.world(memory=MemoryConfig(), places=places), Clip.load(FILES[0])
    shown = led_along(knows, clip, 13, 0)
    assert not torch.equal(shown, led_along(knows, replace(clip, scene="elsewhere"), 13, 0))
    assert torch.equal(shown, led_along(knows, clip, 13, 0))

    folder = tmp_path / "known"
    knows.export(folder)
    starts(StartsConfig(folder / "starts", micro.SIZE, micro.SIZE, clips=clips))
    assert sorted(p.name for p in (folder / "starts").glob("*.png")) == ["clip-001.png", "clip-002.png"]
    assert (folder / "starts/clip-001.txt").read_text() == clip.caption + "\n"
    world = World.open(folder)
    at = world.standpoints[picture_key(clip.video[0])]
    assert at.place == where[0]
    torch.testing.assert_close(at.pose, clip.camera.pose[0].float())
    world.reset(clip.video[0])
    assert world._at is at  # pyright: ignore[reportPrivateUsage]
    assert truth_for(world, folder / "starts/clip-001.png") is None  # nobody can render somebody's own clip


def test_starts_of_clips_have_the_size_of_the_world(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="are 32x32, not 64x48"):
        starts(StartsConfig(tmp_path / "starts", 64, 48, clips=clips))
    with pytest.raises(ValueError, match="leave one of them out"):
        StartsConfig(tmp_path / "starts", homes=("village",), clips=clips)
    assert not (tmp_path / "starts").exists()
