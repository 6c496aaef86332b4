"""Events: what physics did is what is told, drawn with ids that fit, from cameras that are proved right."""

from __future__ import annotations

import json
import os
import signal
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamx.clip import Clip
from dreamx.data.scene.scene import scene
from dreamx.data.sim import event_catalogue
from dreamx.data.sim.bodies import Body, Form, Grip, MotionLog, Weather, cube
from dreamx.data.sim.clips import attempt, film
from dreamx.data.sim.event_catalogue import COMPOSED, SINGLE, EventKind
from dreamx.data.sim.jobs import run_jobs
from dreamx.data.sim.navigation import Rejected, some_free
from dreamx.data.sim.painter import Painter
from dreamx.data.sim.physics import run
from dreamx.data.sim.proof import errors, median
from dreamx.data.sim.simulate import draw_clip, search, simulate
from dreamx.data.sim.simulated import SimulateConfig, clip_path
from dreamx.data.sim.take import SUBSETS, SimulatedShot, Take, event
from dreamx.geometry.camera import Camera

SHOT = SimulatedShot(41, 8.0, 32, 32, 70.0)


def _why_not() -> str:
    try:
        with Painter(scene(0, "stylised", "maze"), (), 8, 8):
            return ""
    except (ImportError, ValueError) as e:
        return str(e)


WHY_NOT = _why_not()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "can draw")


@cache
def _take(kind: EventKind) -> Take:
    place = scene(11, "game", "room" if kind.indoors else "plaza")
    reasons: list[str] = []
    for number in range(12):
        try:
            return event(place, SHOT, np.random.default_rng(number), kind)
        except Rejected as e:
            reasons.append(str(e))
    raise AssertionError(f"{kind.name}: {reasons}")


@cache
def _clip(subset: str) -> Clip:
    shot = SimulatedShot(25, 16.0, 128, 128, 70.0)
    for number in range(30):
        try:
            return film(attempt(scene(5, "photoreal", "plaza"), subset, 0, number, shot), subset, shot)
        except Rejected:
            continue
    raise AssertionError(subset)


@pytest.mark.parametrize("kind", [*SINGLE, *COMPOSED], ids=lambda k: k.name)
def test_every_kind_of_event_happens_and_is_told(kind: EventKind) -> None:
    take = _take(kind)
    assert (
        take.poses.shape == (41, len(take.bodies), 7)
        and take.tints.shape == (41, len(take.bodies), 4)
        and len(take.weather) == 41
    )
    assert take.story.events and all(0 <= e.start <= e.end <= 41 / 8 for e in take.story.events)
    assert len({c.frame for c in take.contacts}) <= 41 and all(0 <= c.frame < 41 and c.force > 0 for c in take.contacts)
    assert set(take.entities) == {b.thing for b in take.bodies if b.forms}
    dynamic = np.abs(take.poses[1:] - take.poses[:-1]).max() if len(take.bodies) else 0.0
    weather = any(w != take.weather[0] for w in take.weather)
    assert dynamic > 1e-3 or weather or np.abs(take.tints - take.tints[0]).max() > 0.1, "nothing changes"
    if kind in COMPOSED:
        assert len(take.story.events) >= 2


def test_intervals_are_those_of_physics() -> None:
    take = _take(event_catalogue.TOPPLE)
    ball = next(i for i, words in take.entities.items() if "ball" in words)
    blocks = {i for i, words in take.entities.items() if "block" in words}
    hit = min(c.frame for c in take.contacts if {c.first, c.second} & {ball} and {c.first, c.second} & blocks) / 8
    told = {("ball" if "ball" in e.entity else "blocks"): e for e in take.story.events}
    assert abs(told["ball"].end - hit) <= 1 / 8 + 0.01 and told["blocks"].start == told["ball"].end
    moved = next(n for n, b in enumerate(take.bodies) if b.thing == ball)
    starts = int(np.argmax(np.linalg.norm(take.poses[:, moved, :2] - take.poses[0, moved, :2], axis=-1) > 0.03)) / 8
    assert abs(told["ball"].start - starts) <= 2 / 8
    fallen = [n for n, b in enumerate(take.bodies) if b.thing in blocks]
    assert (take.poses[0, fallen, 2] - take.poses[-1, fallen, 2]).max() > 0.1
    assert take.story.interactions


def test_something_handed_over_is_in_one_hand_and_then_in_the_other() -> None:
    take = _take(event_catalogue.HAND_OVER)
    people = [i for i, words in take.entities.items() if "shirt" in words]
    thing = next(i for i in take.entities if i not in people)
    touched = {p: [c.frame for c in take.contacts if {c.first, c.second} == {p, thing}] for p in people}
    giver, taker = sorted(people, key=lambda p: min(touched[p]))
    assert max(touched[giver]) < max(touched[taker]) and min(touched[giver]) < min(touched[taker])


def test_physics_is_repeatable_and_a_grip_holds() -> None:
    place = scene(11, "game", "plaza")
    x, y = some_free(place, np.random.default_rng(0))
    ball = Body(1, (Form("ball", cube(0.3), "red"),), (x, y, 1.5), mass=1.0)
    hand = Body(2, (), (x, y, 1.5))

    def once() -> MotionLog:
        return run(place, (ball, hand), 17, 8.0, lambda t: {}, (x, y), grips=(Grip(0, 1, 0.0, 1.0),))

    log = once()
    assert np.array_equal(log.poses, once().poses)
    assert abs(log.poses[:8, 0, 2] - 1.5).max() < 0.05 and log.poses[-1, 0, 2] < 0.3
    (touch,) = {(t.first, t.second) for t in log.touches}
    assert touch == (0, 1) and min(t.time for t in log.touches) == pytest.approx(1 + (2 * 1.35 / 9.81) ** 0.5, abs=0.06)


@pytest.mark.parametrize("subset", list(SUBSETS))
def test_cameras_are_proved_right_at_128_pixels(subset: str) -> None:
    clip = _clip(subset)
    geometry, picture = median(errors(clip, 6))
    assert geometry <= 0.5 and picture <= 0.5


def test_the_proof_fails_for_a_wrong_camera() -> None:
    clip = _clip("first_person")
    wrong = Camera(clip.camera.pose, clip.camera.lens * torch.tensor([1.06, 1.06, 1.0, 1.0]))
    late = Camera(torch.cat([clip.camera.pose[:1], clip.camera.pose[:-1]]), clip.camera.lens)
    figures = [
        median(errors(Clip(clip.video, camera, clip.actions, clip.depth, 16.0, "", segments=clip.segments), 6))
        for camera in (clip.camera, wrong, late)
    ]
    assert figures[1][1] > 1.5 * figures[0][1] and figures[2][1] > figures[0][1]


def test_ids_are_those_of_the_things_seen() -> None:
    clip = _clip("third_person")
    assert (
        clip.segments is not None and clip.segments.dtype == torch.int16 and clip.subject is not None and clip.depth is not None
    )
    assert set(clip.segments.unique().tolist()) <= {0, *clip.entities}
    where = (clip.segments == 1).float()
    assert "shirt" in clip.entities[1] and float(where.mean((1, 2)).min()) > 0.0015
    off = clip.subject[:, :3] - clip.camera.pose[:, :3, 3]
    seen = torch.einsum("fji,fj->fi", clip.camera.pose[:, :3, :3], off)
    depth = torch.stack([d[m > 0].median() for d, m in zip(clip.depth.float(), where, strict=True)])
    assert float((depth - seen[:, 2]).abs().median()) < 0.6, "the subject is not where its pixels are"
    moved = clip.subject[:, :3].diff(dim=0)
    heading = torch.deg2rad(clip.subject[1:, 3])
    along = (moved[:, 0] * heading.sin() + moved[:, 2] * heading.cos())[moved.norm(dim=-1) > 0.02]
    assert len(along) == 0 or float((along > 0).float().mean()) > 0.9


def test_what_fades_is_mixed_and_what_is_gone_leaves_the_scene() -> None:
    place = scene(8, "stylised", "plaza")
    camera = place.start(0)
    x, z = (float(v) for v in (camera.pose[:3, 3] + 2.0 * camera.pose[:3, 2])[[0, 2]])
    cube = Body(1, (Form("box", (0.8, 0.8, 0.8), "red"),), (x, z, 1.5))
    pose = np.array([[x, z, 1.5, 1, 0, 0, 0]])
    with Painter(place, (cube,), 32, 32) as painter:
        full, half, none = (
            painter.render(camera, pose, np.array([[1, 1, 1, a]], np.float32), Weather(), 0.0) for a in (1.0, 0.5, 0.0)
        )
    mask = full[2] == 1
    assert 0.05 < float(mask.float().mean()) < 0.9 and not none[2].any()
    mean = (full[0].float() + none[0].float()) / 2
    assert float((half[0].float() - mean)[:, mask].abs().mean()) < 6
    assert float((full[1] - none[1])[mask].mean()) < -0.5


def test_the_twin_of_an_event_is_the_same_shot_in_which_nothing_happens(tmp_path: Path) -> None:
    """Alike to the bit until it begins, in camera and keys throughout, and then still."""
    cfg = SimulateConfig(tmp_path, ("events", "still"), 2, 2, 49, 64, 64, processes=1)
    assert simulate(cfg) == 8
    moved = 0
    for seed in range(2):
        for index in range(2):
            told, still = (Clip.load(clip_path(cfg, seed, subset, index)) for subset in ("events", "still"))
            assert torch.equal(told.camera.pose, still.camera.pose)
            assert torch.equal(told.actions, still.actions)
            assert told.entities == still.entities
            assert torch.equal(told.video[0], still.video[0])
            assert not torch.equal(told.video, still.video)
            assert told.story is not None
            assert still.story is not None
            assert (still.story.scene, still.story.events, still.contacts) == (told.story.scene, (), ())
            assert told.extra["kind"] == still.extra["kind"]
            same = [t for t in range(49) if torch.equal(told.video[t], still.video[t])]
            assert same == list(range(len(same)))  # where they part they do not meet again
            moved += len(same) < 49
    assert moved == 4


def test_a_run_that_was_cut_ends_with_the_same_bytes(tmp_path: Path) -> None:
    small = SimulateConfig(
        tmp_path / "a", ("first_person", "third_person"), 1, 1, 9, 16, 16, processes=1, kinds=("plaza",), styles=("game",)
    )
    assert simulate(small) == 2
    cut = SimulateConfig(tmp_path / "b", small.subset, 1, 1, 9, 16, 16, processes=1, kinds=small.kinds, styles=small.styles)
    (tmp_path / "b/takes").mkdir(parents=True)
    search(cut, 0)
    draw_clip(cut, 0, "third_person", 0)
    (tmp_path / "b/0000000_first_person_00.tmp").write_text("half a clip")
    stamp = clip_path(cut, 0, "third_person", 0).stat().st_mtime_ns
    assert simulate(cut) == 2 and clip_path(cut, 0, "third_person", 0).stat().st_mtime_ns == stamp
    files = {p.relative_to(tmp_path / "a"): p.read_bytes() for p in (tmp_path / "a").rglob("*") if p.is_file()}
    assert files == {p.relative_to(tmp_path / "b"): p.read_bytes() for p in (tmp_path / "b").rglob("*") if p.is_file()}
    assert "rejected" in json.loads((tmp_path / "a/takes/report.json").read_text())
    with pytest.raises(ValueError, match="frames: .* was begun with 9, not 10; .*another folder"):
        simulate(
            SimulateConfig(tmp_path / "a", small.subset, 1, 1, 10, 16, 16, processes=1, kinds=small.kinds, styles=small.styles)
        )


def _job(folder: Path, name: str, fate: str) -> None:
    if fate == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if fate == "once" and not (folder / "tried").exists():
        (folder / "tried").write_text("")
        raise RuntimeError("a bad moment")
    if fate == "bad":
        raise RuntimeError("corrupt scene")
    (folder / name).write_text("done")


@pytest.mark.parametrize("processes", [1, 2])
def test_one_corrupt_scene_never_stops_a_run(tmp_path: Path, processes: int) -> None:
    """With one process, all after b are lost to b before they begin."""
    fates = {"a": "well", "b": "dies", "c": "once", "d": "bad", "e": "well"}
    lost = run_jobs(_job, {n: (tmp_path, n, fate) for n, fate in fates.items()}, processes, lambda _: None)
    assert lost == {"b": "its process died", "d": "RuntimeError: corrupt scene"}
    assert {p.name for p in tmp_path.iterdir()} == {"a", "c", "e", "tried"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scenes", 0),
        ("frames", 3),
        ("subset", ("fourth",)),
        ("fov", 5.0),
        ("fps", 0.0),
        ("first_seed", -1),
        ("held_out", True),
        ("first_seed", 999_999),
    ],
)
def test_bad_settings_name_the_field(tmp_path: Path, field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field if value != 999_999 else "reserved for evaluation"):
        SimulateConfig(tmp_path, **{field: value})  # type: ignore[arg-type]
