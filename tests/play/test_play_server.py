"""A real server on loopback, real sockets, a world without a network."""

from __future__ import annotations

import base64
import json
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from dreamx.play import client_messages
from dreamx.play.gallery import read_starts
from dreamx.play.server import PlayConfig, SessionManager, listen
from dreamx.play.server_messages import Picture
from fake_world import FakeWorld
from play_house import Player, eventually, open_house, png


@pytest.fixture(scope="module")
def house() -> Iterator[tuple[SessionManager, int]]:
    with open_house(FakeWorld(fps=100, due=4, dream_seconds=0.01)) as it:
        yield it


@pytest.fixture
def player(house: tuple[SessionManager, int]) -> Iterator[Player]:
    with Player(house[1]) as it:
        assert it.reply("hello") == {"type": "hello", "protocol": 1, "world": "fake", "size": [64, 64], "fps": 100.0}
        yield it
    assert eventually(lambda: house[0].open_sockets == 0), "the session was not freed"


def _alive(player: Player) -> None:
    """A world can be begun and walked in."""
    player.say(type="start", start="hill")
    assert player.reply("started")["prompt"] == "a green hill"
    player.frames(6)


def test_pages_and_pictures_are_served(house: tuple[SessionManager, int]) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{house[1]}") as http:
        index = http.get("/")
        assert index.status_code == 200
        assert "text/html" in index.headers["content-type"]
        assert "default-src 'self'" in index.headers["content-security-policy"]
        for path in ("play.js", "screen.js", "play.css", "icon.svg"):
            assert http.get(f"/{path}").status_code == 200, path
        world = http.get("/api/world").json()
        assert (world["name"], world["size"], world["fps"]) == ("fake", [64, 64], 100.0)
        assert world["starts"][0] == {"id": "hill", "prompt": "a green hill", "thumbnail": "starts/hill.png", "known": False}
        assert http.get("/" + world["starts"][0]["thumbnail"]).content == png(colour="green")
        assert http.get("/starts/nothing.png").status_code == 404
        assert http.get("/starts/..%2f..%2fpyproject.toml.png").status_code == 404
        assert http.get("/..%2fserver.py").status_code == 404
        assert http.get("/healthz").json()["ok"] is True


def test_no_page_asks_another_host() -> None:
    static = Path(client_messages.__file__).parent / "static"
    for path in static.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text, path
        assert "https://" not in text, path


def test_keys_move_the_picture_and_come_back_in_the_frames(player: Player) -> None:
    _alive(player)
    player.say(type="keys", held="wl", seq=5)
    obeyed = player.until(lambda m: isinstance(m, Picture) and m.seq == 5)
    assert isinstance(obeyed, Picture)
    frames = player.frames(8)
    assert len({x.data for x in frames}) == 8
    assert [x.frame for x in player.pictures] == list(range(len(player.pictures)))
    assert any(m["type"] == "made" and m["held"] == "wl" for m in player.replies)


def test_a_tap_counts_for_one_chunk(player: Player) -> None:
    _alive(player)
    player.say(type="keys", held="j", seq=1)
    player.say(type="keys", held="", seq=2)
    player.until(lambda m: isinstance(m, Picture) and m.seq == 2)
    player.frames(8)
    assert [m["held"] for m in player.replies if m["type"] == "made"].count("j") == 1


def test_pause_and_resume(player: Player) -> None:
    _alive(player)
    player.say(type="pause")
    assert player.reply("state")["paused"]
    with pytest.raises(TimeoutError):
        for _ in range(40):  # what was made already still comes
            player.listen(timeout=0.5)
    player.say(type="resume")
    assert not player.reply("state")["paused"]
    player.frames(8)


def test_own_picture_is_cropped_and_that_is_said(player: Player) -> None:
    image = base64.b64encode(png((160, 90))).decode()
    player.say(type="start", image=image, prompt="mine", seed=1)
    assert player.reply("started")["note"] == "The picture is 160 x 90; its middle 90 x 90 is used."
    player.frames(3)


def test_words_alone_begin_a_world(player: Player) -> None:
    player.say(type="start", prompt="a park")
    player.reply("started")
    player.frames(3)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("hello there", "not JSON"),
        (b"\x00\xff", "binary"),
        ("{}", "no known type"),
        ('{"type": "keys", "held": "q", "seq": 1}', "'q' is not a key"),
        ('{"type": "pause"}', "no world is running"),
        ('{"type": "start", "start": "moon"}', "no start picture 'moon'"),
        ('{"type": "start", "image": ""}', "the picture is empty"),
        ('{"type": "start", "image": "aGVsbG8="}', "not a picture"),
        (json.dumps({"type": "start", "image": base64.b64encode(png()[:60]).decode()}), "broken"),
        (json.dumps({"type": "start", "prompt": "x" * 101}), "shorten"),
        (json.dumps({"type": "start", "prompt": "x" * 501}), "shorten"),
        (json.dumps({"type": "start", "image": "A" * (client_messages.IMAGE_LIMIT * 4 // 3 + 100)}), "8 MB"),
    ],
)
def test_what_is_wrong_is_said_and_the_session_lives(player: Player, message: str | bytes, words: str) -> None:
    player.socket.send(message)
    error = player.reply("error")
    assert words in error["text"]
    assert "\n" not in error["text"]
    _alive(player)


def test_a_bad_start_leaves_the_running_world_alone(player: Player) -> None:
    _alive(player)
    player.say(type="start", image="aGVsbG8=")
    assert "not a picture" in player.reply("error")["text"]
    player.frames(8)


def test_random_messages_are_all_answered_and_the_world_goes_on(player: Player) -> None:
    _alive(player)
    rng = random.Random(0)
    words = ["type", "keys", "held", "seq", "start", "event", "text", "pause", "w", "", "\ud83d\ude00", "\x00"]
    for _ in range(200):
        junk: object = {rng.choice(words): rng.choice([*words, 1, None, [], {}, 1e300]) for _ in range(rng.randrange(4))}
        text = json.dumps(junk)
        player.socket.send(rng.choice([text, text[: rng.randrange(len(text) + 1)], text.encode(), rng.randbytes(9)]))
    player.until(lambda _: sum(m["type"] == "error" for m in player.replies) == 200)
    player.frames(8)


def test_a_message_over_the_limit_closes_its_socket_only(house: tuple[SessionManager, int], player: Player) -> None:
    _alive(player)
    with Player(house[1]) as other:
        other.reply("hello")
        with pytest.raises(ConnectionClosed):  # 1009, where it arrives before the end of the connection does
            other.socket.send("x" * (client_messages.MESSAGE_LIMIT + 1))
            other.until(lambda _: False)
    player.frames(8)


def test_another_world_can_be_begun_while_one_runs(player: Player) -> None:
    _alive(player)
    player.say(type="start", start="sea", seed=9)
    player.reply("started")
    player.pictures.clear()
    assert [x.frame for x in player.frames(5)] == [0, 1, 2, 3, 4]


def test_a_full_house_says_so_and_a_place_becomes_free() -> None:
    with open_house(FakeWorld(fps=100, due=4), room=1) as (house, port):
        with Player(port) as first:
            _alive(first)
            with Player(port) as second:
                second.say(type="start", start="hill")
                busy = second.reply("busy")
                assert "taken" in busy["text"]
                assert busy["retry_seconds"] > 0
                first.frames(4)
                first.say(type="start", start="sea")  # in the place that one has, another may be begun
                assert first.reply("started")["prompt"] == ""
                first.frames(4)
        assert eventually(lambda: house.open_sockets == 0)
        with Player(port) as third:
            _alive(third)


def test_a_player_who_stops_painting_holds_up_nobody_and_is_waited_for() -> None:
    world = FakeWorld(due=4)
    with open_house(world) as (_, port), Player(port) as slow, Player(port) as quick:
        _alive(slow)
        slow.showing = False
        steps = world.forks[0].actions
        with pytest.raises(TimeoutError):
            for _ in range(40):
                slow.listen(timeout=0.5)
        made = len(steps)
        _alive(quick)
        quick.frames(16)
        assert len(steps) == made
        slow.showing = True
        slow.say(type="shown", frame=slow.pictures[-1].frame)
        slow.frames(8)


def test_a_lost_connection_ends_the_world() -> None:
    world = FakeWorld(fps=100, due=4)
    with open_house(world) as (house, port):
        with Player(port) as player:
            _alive(player)
            player.socket.socket.shutdown(socket.SHUT_RDWR)  # no goodbye
        assert eventually(lambda: house.open_sockets == 0)
        steps = len(world.forks[0].actions)
        assert not eventually(lambda: len(world.forks[0].actions) > steps, 0.3)


def test_a_world_that_breaks_is_said_and_can_be_begun_again() -> None:
    world = FakeWorld(fps=100, due=4, fail_at=2)
    with open_house(world) as (_, port), Player(port) as player:
        player.say(type="start", start="hill")
        error = player.reply("error")
        assert error["over"]
        assert "start again" in error["text"]
        world.fail_at = None
        _alive(player)


def test_other_sites_cannot_play_in_their_visitors_name(house: tuple[SessionManager, int]) -> None:
    url = f"ws://127.0.0.1:{house[1]}/socket"
    with pytest.raises(InvalidStatus), connect(url, additional_headers={"Origin": "http://elsewhere.example"}):
        pass
    with connect(url, additional_headers={"Origin": f"http://127.0.0.1:{house[1]}"}) as socket_:
        assert "hello" in str(socket_.recv(10))
    assert eventually(lambda: house[0].open_sockets == 0)


def test_a_taken_port_gives_way_to_a_free_one() -> None:
    first = listen("127.0.0.1", 0)
    port = first.getsockname()[1]
    second = listen("127.0.0.1", port)
    assert second.getsockname()[1] not in (0, port)
    first.close()
    second.close()
    with pytest.raises(ValueError, match="host"):
        listen("no.such.host.invalid", 8800)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("jpeg_quality", 0),
        ("port", 70000),
        ("sessions", 0),
        ("threads", 0),
        ("starts", Path("/nowhere")),
        ("idle_seconds", 0.0),
        ("token", "short"),
    ],
)
def test_bad_config_names_the_field(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        PlayConfig(**{field: value})  # pyright: ignore[reportArgumentType]


def test_starts_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(png())
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "a.txt").write_text(" a room \n")
    assert [(s.id, s.prompt) for s in read_starts(tmp_path).values()] == [("a", "a room"), ("b", "")]
    assert read_starts(None) == read_starts(tmp_path / "none") == {}
    (tmp_path / "a b.png").write_bytes(png())
    with pytest.raises(ValueError, match="rename"):
        read_starts(tmp_path)
