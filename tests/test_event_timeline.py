"""Timelines: what a file says, with which chunk it is said, and that videos, environments and replays hear it."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

import micro
from dreamx.cli import main as cli
from dreamx.config import to_json
from dreamx.env import Env
from dreamx.event_timeline import EventTimeline, parse_timeline, read_timeline
from dreamx.geometry import KEYS, from_keys
from dreamx.model.prompt import Taught
from dreamx.model.taught_event import TaughtEvent
from dreamx.replay import FORMAT, Replay, ReplayStep, play, write
from dreamx.world import World

TEXT = """
# weather
at 0.6 s: fog          # comes up
AT 1.0s:   fog ;  a dog, 3 m long: it barks
at 2 s:
"""
FOG = TaughtEvent("fog", "The fog comes up", "Fog hangs in the air", "The fog lifts", 0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world that was taught one event, and a timeline."""
    it = tmp_path_factory.mktemp("world")
    world = micro.world()
    world.taught = Taught((), (), True, (FOG,))
    world.export(it)
    (it / "timeline.txt").write_text(TEXT)
    return it


def test_lines_are_times_and_words() -> None:
    assert parse_timeline(TEXT).entries == ((0.6, "fog"), (1.0, "fog ;  a dog, 3 m long: it barks"), (2.0, ""))
    assert parse_timeline("at 3 s: x\r\nat 4:\r\n").entries == ((3.0, "x"), (4.0, ""))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fog", "timeline, line 1: 'fog' is not at SECONDS s: WORDS; write for example: at 3.0 s: fog"),
        ("\nat s: fog", "line 2: 'at s: fog' is not"),
        ("at -1 s: fog", "line 1"),
        ("at 1e9 s: fog", "line 1"),
        ("at 1 s fog", "line 1"),
        ("at 2 s: fog\n# no\nat 1 s: rain", "line 3: 1 s is not after 2 s in a line above"),
        ("at 2 s: fog\nat 2.0 s: rain", "line 2: 2.0 s is not after 2 s"),
        ("at 2 s: " + "x" * 4001, "line 1: the words have 4001 characters"),
        ("# nothing\n\n", "timeline: nothing is said in it"),
    ],
)
def test_a_wrong_line_is_named(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as e:
        parse_timeline(text)
    assert "\n" not in str(e.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"timeline: .*nowhere.txt cannot be read"):
        read_timeline(tmp_path / "nowhere.txt")


@pytest.mark.parametrize(
    ("entries", "due", "want"),
    [
        # 16 frames a second; the opening is frame 0, chunks are frames 1 to 4, 5 to 8, ...
        (((0.0, "a"),), [4, 4], ["a", None]),
        (((4 / 16, "a"), (5 / 16, "b")), [4, 4], ["a", "b"]),
        (((0.3, "a"),), [4, 4], ["a", None]),  # frame 4.8
        (((0.35, "a"), (0.45, "b"), (0.5, "")), [4, 4, 4], [None, "", None]),  # frames 5.6, 7.2 and 8
        (((0.6, "a"),), [8, 12, 12], [None, "a", None]),  # frame 9.6
        (((1.25, "a"), (1.3125, "b")), [8, 12, 12], [None, "a", "b"]),  # frames 20 and 21
    ],
)
def test_words_are_said_with_the_chunk_in_which_their_time_falls(
    entries: tuple[tuple[float, str], ...], due: list[int], want: list[str | None]
) -> None:
    left = iter(due)
    assert list(islice(EventTimeline(entries).chunks(1, lambda: next(left), 16.0), len(due))) == want


#: With which chunk of 4 frames of TEXT what is said, at 16 frames a second: frames 9.6, 16 and 32.
SAID = {3: "fog", 4: "fog ;  a dog, 3 m long: it barks", 8: ""}


def by_hand(world: World, chunks: int) -> torch.Tensor:
    opening = world.reset(None, "a park", 3)
    return torch.cat([opening, *(world.step(from_keys(["w"] * 4), SAID.get(i)) for i in range(1, chunks + 1))])


def test_a_walk_along_actions_hears_it(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard, denoise = list[str | None](), World.denoise
    monkeypatch.setattr(World, "denoise", lambda self, c, event=None: (heard.append(event), denoise(self, c, event))[1])
    out = tmp_path / "a.mp4"
    flags = ["--world", str(folder), "--actions", "w*38", "--timeline", str(folder / "timeline.txt"), "--out", str(out)]
    cli(["generate", *flags, "--prompt", "a park", "--seed", "3", "--threads", "1"])
    assert heard == [SAID.get(i) for i in range(1, 11)]
    record = json.loads(out.with_suffix(".json").read_text())
    assert record["timeline"] == [list(e) for e in parse_timeline(TEXT).entries] and record["frames"] == 39


def test_an_environment_hears_it_in_every_episode(folder: Path) -> None:
    world = World.open(folder)
    want = by_hand(world, 9)
    env = Env(folder, every_frame=True, timeline=folder / "timeline.txt")
    forward = np.array([k == "w" for k in KEYS], np.int8)
    for _ in range(2):
        env.reset(seed=3, options={"prompt": "a park"})
        seen, phases = list[np.ndarray](), list[list[tuple[str, str]]]()
        for _ in range(9):
            frames, _, _, _, info = env.step(forward)
            seen.append(frames)
            phases.append(info["happenings"])
        assert np.array_equal(np.concatenate(seen), want[1:].permute(0, 2, 3, 1).numpy())
        coming, lasting, going = ([("fog", p)] for p in ("coming", "lasting", "going"))
        assert phases == [[], [], coming, coming, lasting, lasting, lasting, going, going]


def test_a_replay_hears_it_besides_its_own_words(folder: Path, tmp_path: Path) -> None:
    world = World.open(folder)
    steps = tuple(ReplayStep("w", 4, event="x" if i in (1, 3) else None) for i in range(1, 10))
    replay = Replay(FORMAT, "0", str(folder), world.identity, 3, "a park", None, None, steps)
    frames = torch.cat(list(play(world, replay, timeline=parse_timeline(TEXT))))
    assert [a.event for a in world.actions] == ["x", None, SAID[3], SAID[4], None, None, None, "", None]
    assert frames.shape == (37, 3, micro.SIZE, micro.SIZE)
    write(tmp_path / "walk.json", replay)
    assert to_json(replay)["steps"][2]["event"] == "x", "the replay stays as it is"
    flags = ["--replay", str(tmp_path / "walk.json"), "--timeline", str(folder / "timeline.txt")]
    cli(["generate", *flags, "--out", str(tmp_path / "b.mp4"), "--threads", "1"])
    assert (tmp_path / "b.mp4").is_file()


def test_it_does_not_go_with_a_list(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(SystemExit) as e:
        cli(["generate", str(tmp_path / "list.json"), "--timeline", str(folder / "timeline.txt"), "--out", str(tmp_path / "o")])
    assert e.value.code == 2
    assert "timeline goes with actions or a replay" in capsys.readouterr().err
