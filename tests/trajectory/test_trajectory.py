"""``dreamx trajectory``: into our file and out, what is wrong with a path, and what it looks like."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from browser import browse, needs_chromium
from dreamx import cli
from dreamx.geometry.camera import Camera, level, rigid, rotation, se3_inverse
from dreamx.geometry.controls import Speed, from_keys, walk
from dreamx.geometry.formats import Motion, read, write
from dreamx.geometry.formats.motion import dump
from dreamx.geometry.formats.path_check import problems
from dreamx.geometry.path import parse_actions
from dreamx.trajectory import page
from dreamx.trajectory.describe_path import paragraph


def path(keys: str, fps: float = 16.0) -> Motion:
    """A walk that begins level at the origin."""
    start = level(dtype=torch.float64)
    steps = walk(start, from_keys(parse_actions(keys)))
    return Motion(Camera(torch.cat([start.pose[None], steps.pose]), torch.cat([start.lens[None], steps.lens])), fps)


def moved(motion: Motion, pose: torch.Tensor) -> Motion:
    return Motion(Camera(pose, motion.camera.lens), motion.fps)


def kinds(motion: Motion) -> list[str]:
    return [p.kind for p in problems(motion)]


def run(*words: str) -> int:
    try:
        cli.main(["trajectory", *words])
    except SystemExit as e:
        assert isinstance(e.code, int)
        return e.code
    return 0


def test_a_good_path_has_no_problems() -> None:
    for keys in ("w*80", "w*20,wj*40,wi*20", "wl*40,d*4,wk*20,w*16", "l*80", "-*80", "a*40,w*40"):
        assert kinds(path(keys)) == [], keys


@pytest.mark.parametrize(
    ("bend", "kind", "says"),
    [
        (lambda p: p * torch.tensor([1.1, 1.1, 1.1, 1.0]), "rotation", "frame 0 (and of 81 in all).*times a number"),
        (lambda p: torch.cat([p[:40], p[40:41] + torch.eye(4) * 0.2, p[41:]]), "rotation", "frame 40 (and of 1 in all)"),
        (lambda p: p * torch.tensor([1.0, -1.0, 1.0, 1.0]), "handedness", "left-handed"),
    ],
)
def test_matrices_that_are_no_cameras(bend: Callable[[torch.Tensor], torch.Tensor], kind: str, says: str) -> None:
    motion = path("w*20,wj*40,wi*20")
    pose = motion.camera.pose.clone()
    last = pose[:, 3:]
    bent = moved(motion, torch.cat([bend(pose)[:, :3].double(), last], 1))
    found = problems(bent)
    assert found[0].kind == kind and found[0].fatal
    import re

    assert re.search(says.replace("(", r"\(").replace(")", r"\)"), found[0].says)
    with pytest.raises(ValueError, match="trajectory check says more"):
        write("kitti", bent)
    data = write("dreamx", motion)[""].decode()
    rows = bent.camera.pose[:, :3].flatten(1).tolist()
    spoilt = dump({**json.loads(data), "poses": rows})
    with pytest.raises(ValueError, match="dreamx: the "):
        read("dreamx", {"": spoilt})
    assert torch.equal(read("dreamx", {"": spoilt}, broken=True).camera.pose, bent.camera.pose)


def test_inverted_conventions_show_in_the_motion() -> None:
    for keys in ("w*80", "w*40,wj*40", "wi*20,w*30,wl*30", "wl*80"):
        motion = path(keys)
        assert "inverted" in kinds(moved(motion, se3_inverse(motion.camera.pose))), keys
        assert "inverted" not in kinds(motion)
        flip = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]).double())
        assert "inverted" in kinds(moved(motion, motion.camera.pose @ flip)), "OpenGL's axes"
    far = rigid(rotation("y", torch.tensor(40.0).double()), torch.tensor([-145.0, -81.0, 1.0]).double())
    motion = path("w*40,wj*40")
    away = moved(motion, far @ motion.camera.pose)
    assert kinds(away) == [], "where the world's origin is does not matter"


def test_jumps_counts_and_scale() -> None:
    motion = path("w*80")
    pose = motion.camera.pose.clone()
    pose[50:, 0, 3] += 3
    found = problems(moved(motion, pose))
    assert [p.kind for p in found] == ["jump"] and "between frames 49 and 50 it jumps 3 m" in found[0].says
    pose = motion.camera.pose.clone()
    pose[60:, :3, :3] = rotation("y", torch.tensor(50.0).double())
    assert "jumps 50 degrees" in " ".join(p.says for p in problems(moved(motion, pose)))
    assert kinds(path("w*79")) == ["frames"]
    assert "77 or 81" in problems(path("w*79"))[0].says
    far, near = motion.camera.pose.clone(), motion.camera.pose.clone()
    far[:, :3, 3] *= 100
    near[:, :3, 3] /= 100
    assert "120 m/s" in problems(moved(motion, far))[0].says and kinds(moved(motion, far)) == ["scale"]
    assert kinds(moved(motion, near)) == ["scale"]
    assert kinds(path("wl*80", fps=60)) == ["scale", "scale"]
    assert problems(motion, Speed(12.0, 24.0, 16.0))[0].kind == "scale"


def test_words_say_metres_degrees_and_seconds() -> None:
    words = paragraph(path("w*32,wj*30,-*16,d*2"))
    assert words.startswith("81 frames, 5.0 s at 16 frames a second. The camera moves 2.40 m forward in 2.0 s; then moves ")
    assert "turns 45 degrees to the left in 1.9 s; then stands still in 1.0 s; then moves 0.15 m right in 0.1 s." in words
    assert "looking 45 degrees to the left" in words
    assert paragraph(path("-*16")).endswith("The camera stands still.")
    assert "tilts up by 30 degrees" in paragraph(path("i*20"))
    wiggle = ",".join(f"{k}*2" for k in "wasd" * 10)
    assert paragraph(path(wiggle)).count(";") == 6, "few parts of a path that changes all the time"


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours, rows = tmp_path / "a.json", tmp_path / "rows.txt"
    assert run("import", "w-31", "--dialect", "hy-string", "--out", str(ours)) == 0
    assert "moves 2.48 m forward in 5.2 s" in capsys.readouterr().out
    assert run("export", str(ours), "--dialect", "dreamx-rows", "--out", str(rows)) == 0
    assert run("import", str(rows), "--dialect", "dreamx-rows", "--fps", "24", "--out", str(tmp_path / "b.json")) == 0
    one, two = (read("dreamx", {"": (tmp_path / n).read_bytes()}).camera.pose for n in ("a.json", "b.json"))
    assert torch.allclose(one, two)
    assert run("export", str(ours), "--dialect", "lingbot", "--out", str(tmp_path / "bot")) == 0
    assert np.load(tmp_path / "bot/poses.npy").shape == (125, 4, 4)
    assert run("check", str(tmp_path / "bot"), "--dialect", "lingbot") == 0
    assert "125 frames, nothing to complain about" in capsys.readouterr().out
    flat = tmp_path / "kitti.txt"
    flat.write_text("1 0 0 0 0 1 0 0 0 0 1 0\n2 0 0 0 0 1 0 0 0 0 1 0\n")
    asked = ["--dialect", "kitti", "--fps", "10", "--lens", "0.5", "0.9", "0.5", "0.5"]
    assert run("check", str(flat), *asked) == 1
    assert "rotation: the matrix of frame 1" in capsys.readouterr().out
    assert run("import", str(flat), *asked, "--out", str(tmp_path / "c.json")) == 2
    assert run("import", "w-31", "--dialect", "hy-string", "--out", str(ours)) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["check", "nowhere.json"], "source: there is no file 'nowhere.json'"),
        (["check", "w-31", "--dialect", "string"], "dialect: there is no 'string'; like it are hy-string, lingbot-string"),
        (["check", "x", "--dialect", "lingbot"], "source: 'x' is no folder"),
        (["check", "jump-3", "--dialect", "hy-string"], "segment 1 'jump-3' is not KEY-LATENTS"),
        (["check", "w-31", "--dialect", "hy-string", "--world", "nowhere"], "world: 'nowhere' is no world"),
        (["preview", "w-31", "--dialect", "hy-string", "--out", "none/here/x"], "out: there is no folder none/here"),
        (["import", "w-31", "--dialect", "hy-string", "--out", "none/x.json"], "out: there is no folder none"),
    ],
)
def test_what_goes_wrong_is_one_sentence(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1


def test_a_file_of_another_dialect_is_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "walk.txt"
    path.write_text("".join(f"{t} 0 0 {t} 0 0 0 1\n" for t in range(9)))
    assert run("check", str(path), "--dialect", "kitti") == 2
    assert capsys.readouterr().err.endswith("it can be read as tum: give --dialect tum\n")
    np.savez(tmp_path / "walk.npz", data=np.tile(np.eye(4), (9, 1, 1)), inds=np.arange(9))
    assert run("check", str(tmp_path / "walk.npz"), "--dialect", "megasam") == 2
    assert "it can be read as vipe" in capsys.readouterr().err
    path.write_text("nothing of the kind\n")
    assert run("check", str(path), "--dialect", "kitti") == 2
    assert "can be read" not in capsys.readouterr().err


def test_the_world_has_its_own_speeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "w-20", "--dialect", "lingbot-string", "--world", "tiny") == 0


def test_preview_draws_and_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("preview", "s-20,sj-20", "--dialect", "lingbot-string", "--out", str(tmp_path / "walk.v1")) == 0
    out = capsys.readouterr().out
    assert "moves 1.00 m backward in 1.2 s; then moves" in out
    assert "Doubtful: " in out and "backwards" in out
    picture = np.asarray(Image.open(tmp_path / "walk.v1.png").convert("RGB")).astype(int)
    left, right = picture[60:640, :900], picture[60:640, 900:]
    for half in (left, right):
        blue = ((half - (20, 110, 190)) ** 2).sum(-1) < 100
        orange = ((half - (214, 84, 38)) ** 2).sum(-1) < 100
        assert blue.sum() > 100 and orange.sum() > 100, "the beginning and the end"
    # From above, a walk backwards goes down; from the side it goes left.
    first, last = (np.argwhere(((left - c) ** 2).sum(-1) < 100).mean(0) for c in ((20, 110, 190), (214, 84, 38)))
    assert last[0] > first[0] + 100
    first, last = (np.argwhere(((right - c) ** 2).sum(-1) < 100).mean(0) for c in ((20, 110, 190), (214, 84, 38)))
    assert last[1] < first[1] - 100


def test_the_page_holds_no_foreign_markup() -> None:
    shown = page.html(path("w*4"), "<b>", ("</script><script>alert(1)",))
    assert "&lt;b&gt;" in shown and "<script>alert" not in shown
    assert "http" not in shown.replace("http-equiv", ""), "the page needs nothing from elsewhere"
    long = page.html(Motion(path("w*2").camera[[0] * 4999 + [1]], 16.0), "", ())
    assert len(long) < 10**6


@needs_chromium
def test_the_page_in_a_browser(tmp_path: Path) -> None:
    (tmp_path / "walk.html").write_text(page.html(path("w*40,wj*40"), "a walk", ("a doubt",)), encoding="utf-8")
    with browse(tmp_path / "profile") as tab:
        tab.open((tmp_path / "walk.html").as_uri())
        assert tab.text("now").startswith("frame 0, 0.00 s: 0.00 m ahead")
        tab.js("(at('time').value = 80, at('time').oninput({ target: at('time') }), 1)")
        assert "frame 80, 5.00 s" in tab.text("now") and "60° left" in tab.text("now")
        inked = (
            "(c => { const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; return d.filter(x => x).length })"
        )
        assert all(tab.js(f"{inked}(at('{view}'))") > 3000 for view in ("round", "above", "side"))
        before = tab.js("at('round').toDataURL()")
        tab.js("(yaw += 1, show(), 1)")
        assert tab.js("at('round').toDataURL()") != before
        tab.click("play")
        tab.until("at('play').textContent === 'Pause' || frame === 80")
        assert tab.complaints == []
