"""A walk is downloaded, and walked again from its file."""

from __future__ import annotations

import base64
import io
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from dreamx.play.server_messages import Picture
from dreamx.replay import parse
from fake_world import FakeWorld
from play_house import Player, eventually, open_house, png


def walk(port: int, **start: object) -> tuple[dict[str, Any], list[bytes], str]:
    """Walk a little; the replay, the pictures up to its end, and the session."""
    with Player(port) as player:
        player.say(type="start", seed=5, **start)
        session = str(player.reply("started")["session"])
        player.say(type="keys", held="wl", seq=1, look=[20, 3])
        player.frames(20)
        player.say(type="event", text="it rains")
        player.say(type="keys", held="d", seq=2)
        player.until(lambda m: isinstance(m, Picture) and m.seq == 2)
        player.say(type="switch", memory=False, camera=True)
        player.frames(24)
        player.say(type="pause")
        player.reply("state")
        with pytest.raises(TimeoutError):
            while True:  # what was made already still comes
                player.listen(0.3)
        replay = httpx.get(f"http://127.0.0.1:{port}/api/sessions/{session}/replay.json").json()
        return replay, [p.data for p in player.pictures], session


@pytest.mark.parametrize("start", [{"start": "hill"}, {"prompt": "a park"}, {"image": base64.b64encode(png((90, 64))).decode()}])
def test_a_replay_shows_the_very_pictures_again_and_then_the_player_goes_on(start: dict[str, object]) -> None:
    with open_house(FakeWorld(due=4, fps=100)) as (_, port):
        replay, pictures, session = walk(port, **start)
        assert parse(replay).steps
        assert sum(s["frames"] for s in replay["steps"]) == len(pictures) - 1
        assert [s["event"] for s in replay["steps"] if s["event"]] == ["it rains"]
        with Player(port) as player:
            player.say(type="start", replay=replay)
            started = player.reply("started")
            assert (started["seed"], started["note"]) == (5, "")
            assert started["session"] != session
            assert player.reply("state")["replaying"] is True
            assert [p.data for p in player.frames(len(pictures))] == pictures
            player.say(type="keys", held="s", seq=1)
            player.until(lambda m: isinstance(m, Picture) and m.seq == 1)
            player.until(lambda m: isinstance(m, dict) and m["type"] == "made" and m["held"] == "s")
            assert [m for m in player.replies if m["type"] == "state"][-1]["replaying"] is False
        kept = httpx.get(f"http://127.0.0.1:{port}/api/sessions/{session}/replay.json").json()
        assert kept == replay  # also when it runs no more


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 9}, "format"),
        ({"steps": [{"keys": "x"}]}, "steps"),
        ({"start": "moon"}, "no start picture 'moon'"),
        ({"start": None, "image": "???"}, "base64"),
        ({"start": None, "image": "aGVsbG8="}, "not a picture"),
        ({"seed": -1}, "seed"),
        ({"more": 1}, "more"),
    ],
)
def test_a_replay_that_cannot_be_walked_is_one_sentence(change: dict[str, object], words: str) -> None:
    good = {"format": 1, "dreamx": "0", "world": "fake", "weights": "fake", "seed": 1, "prompt": "", "start": "hill"}
    with open_house(FakeWorld(due=4, fps=100)) as (_, port), Player(port) as player:
        player.say(type="start", replay={**good, "image": None, "steps": [], **change})
        error = player.reply("error")
        assert words in error["text"]
        assert "\n" not in error["text"]
        player.say(type="start", replay={**good, "image": None, "steps": [], "weights": "other"})
        assert "other weights" in player.reply("started")["note"]
        player.frames(4)


def test_the_last_picture_is_there_while_it_runs_and_after() -> None:
    with open_house(FakeWorld(due=4, fps=100)) as (house, port):
        with Player(port) as player:
            player.say(type="start", start="hill")
            session = player.reply("started")["session"]
            player.frames(10)
            url = f"http://127.0.0.1:{port}/api/sessions/{session}/frame.png"
            running = httpx.get(url)
        assert eventually(lambda: house.running == 0)
        for answer in (running, httpx.get(url)):
            assert answer.headers["content-type"] == "image/png"
            image = torch.from_numpy(np.asarray(Image.open(io.BytesIO(answer.content))).copy())
            assert image.shape == (64, 64, 3)
            assert float(image.float().std()) > 5
