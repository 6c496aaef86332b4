"""What may be said, what is answered to what may not, and that pictures come out as they went in."""

from __future__ import annotations

import base64
import json
from dataclasses import fields
from typing import get_args, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamx.play import client_messages, server_messages
from dreamx.play.client_messages import (
    Command,
    FramesShown,
    Keys,
    RecordCommand,
    Restore,
    ResumeSession,
    Rewind,
    SayEvent,
    StartMessage,
    Switch,
)
from dreamx.play.server_messages import HEADER, FrameKind, Hello, Picture, pack, unpack
from dreamx.session import Switches
from repo import ROOT

PARTS = (server_messages.Moment, server_messages.EventProgress, Picture)
REQUESTS: tuple[type, ...] = get_args(client_messages.Request)
TYPES: list[str] = [word for kind in REQUESTS for word in get_args(get_type_hints(kind)["type"])]


def names_of(kind: type) -> list[str]:
    return [f.name for f in fields(kind)]


GOOD: list[tuple[dict[str, object], client_messages.Request]] = [
    ({"type": "start", "start": "hill", "seed": 3}, StartMessage("start", "hill", seed=3)),
    ({"type": "start", "prompt": "a park"}, StartMessage("start", prompt="a park")),
    ({"type": "keys", "held": "wj", "seq": 4}, Keys("keys", "wj", 4)),
    ({"type": "keys", "held": "", "seq": 5}, Keys("keys", "", 5)),
    ({"type": "event", "text": "it rains"}, SayEvent("event", "it rains")),
    ({"type": "event", "text": ""}, SayEvent("event", "")),
    ({"type": "shown", "frame": 7, "spare": -3}, FramesShown("shown", 7, -3)),
    ({"type": "shown", "frame": 7}, FramesShown("shown", 7)),
    ({"type": "save"}, Command("save")),
    (
        {"type": "start", "codec": "h264", "switches": {"memory": False}},
        StartMessage("start", codec="h264", switches=Switches(False)),
    ),
    ({"type": "start", "replay": {"format": 1}}, StartMessage("start", replay={"format": 1})),
    ({"type": "resume_session", "session": "abc", "codec": "h264"}, ResumeSession("resume_session", "abc", "h264")),
    ({"type": "keys", "held": "w", "seq": 1, "look": [3, -1.5], "turn": [0, 1]}, Keys("keys", "w", 1, (3, -1.5), (0, 1))),
    ({"type": "restore"}, Restore("restore")),
    ({"type": "restore", "moment": "7"}, Restore("restore", "7")),
    ({"type": "rewind", "seconds": 5}, Rewind("rewind", 5)),
    ({"type": "switch", "memory": False, "camera": True}, Switch("switch", False, True, True)),
    ({"type": "switch", "memory": False, "camera": True, "walls": False}, Switch("switch", False, True, False)),
    ({"type": "record", "on": True}, RecordCommand("record", True)),
]


@pytest.mark.parametrize(("message", "request_"), GOOD)
def test_good_messages(message: dict[str, object], request_: client_messages.Request) -> None:
    assert client_messages.parse(json.dumps(message)) == request_


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        (b"\x00\x01", "binary"),
        ("[]", "type"),
        ("3", "type"),
        ("null", "type"),
        ("{}", "type"),
        ('{"type": "jump"}', "type"),
        ('{"type": ["start"]}', "type"),
        ('{"type": "keys", "held": "wx", "seq": 1}', "'x' is not a key"),
        ('{"type": "keys", "held": "w"}', "seq"),
        ('{"type": "keys", "held": "w", "seq": -1}', "seq"),
        ('{"type": "keys", "held": "w", "seq": 1.5}', "seq"),
        ('{"type": "keys", "held": 3, "seq": 1}', "held"),
        ('{"type": "keys", "held": "w", "seq": 1, "more": 2}', "more"),
        ('{"type": "keys", "held": "' + "w" * 40 + '", "seq": 1}', "held"),
        ('{"type": "event", "text": " "}', "text is empty"),
        ('{"type": "event", "text": "' + "a" * 4001 + '"}', "4001 characters"),
        ('{"type": "start", "prompt": "' + "a" * 4001 + '"}', "4001 characters"),
        ('{"type": "start", "start": "hill", "image": "aa"}', "not both"),
        ('{"type": "start", "seed": -1}', "seed"),
        ('{"type": "start", "seed": true}', "seed"),
        ('{"type": "shown", "frame": 1, "spare": NaN}', "spare"),
        ('{"type": "shown", "frame": 1, "spare": 1e9}', "spare"),
        ('{"type": "pause", "now": true}', "now"),
        ('{"type": "start", "start": "hill", "replay": {}}', "not both"),
        ('{"type": "start", "codec": "vp9"}', "'jpeg' or 'h264'"),
        ('{"type": "start", "switches": {"memory": 1}}', "switches.memory"),
        ('{"type": "start", "switches": {"sun": true}}', "switches.sun"),
        ('{"type": "keys", "held": "w", "seq": 1, "look": [NaN, 0]}', "look"),
        ('{"type": "keys", "held": "w", "seq": 1, "look": [1]}', "look"),
        ('{"type": "keys", "held": "w", "seq": 1, "turn": [0, 1.5]}', "turn"),
        ('{"type": "resume_session"}', "session"),
        ('{"type": "restore", "moment": 3}', "moment"),
        ('{"type": "rewind", "seconds": 0}', "seconds"),
        ('{"type": "switch", "memory": true}', "camera"),
        ('{"type": "record", "on": "yes"}', "on"),
    ],
)
def test_bad_messages_get_one_sentence(text: str | bytes, words: str) -> None:
    with pytest.raises(ValueError, match=".") as e:
        client_messages.parse(text)
    assert words in str(e.value)
    assert "\n" not in str(e.value)


def test_image_must_be_base64_and_not_too_large() -> None:
    assert StartMessage("start", image=base64.b64encode(b"abc").decode()).picture() == b"abc"
    with pytest.raises(ValueError, match="base64"):
        StartMessage("start", image="???").picture()
    with pytest.raises(ValueError, match="8 MB"):
        StartMessage("start", image="A" * (client_messages.IMAGE_LIMIT * 4 // 3 + 8)).picture()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=8), x, max_size=3),
    max_leaves=6,
)
_ALMOST = st.fixed_dictionaries(
    {"type": st.sampled_from([*TYPES, "x"])},
    optional=dict.fromkeys(sorted({name for kind in REQUESTS for name in names_of(kind)} - {"type"}), _JSON),
)


@settings(max_examples=300, deadline=None)
@given(st.text() | st.binary() | _JSON.map(json.dumps) | _ALMOST.map(json.dumps))
def test_fuzz(text: str | bytes) -> None:
    try:
        request = client_messages.parse(text)
    except ValueError as e:
        assert str(e)
        assert "\n" not in str(e)
    else:
        assert isinstance(request, REQUESTS)


@pytest.mark.parametrize("kind", list(FrameKind))
def test_pictures_round_trip(kind: FrameKind) -> None:
    picture = Picture(kind=kind, frame=2**32 - 1, chunk=3, seq=9, time=1.25, data=b"\xff\xd8data")
    data = pack(picture)
    assert isinstance(data, bytes)
    assert len(data) == HEADER.size + len(picture.data) == 24 + 6
    assert data[:2] == bytes((client_messages.VERSION, kind))
    assert unpack(data) == picture


def test_replies_are_json_with_a_type() -> None:
    reply = json.loads(pack(Hello(world="tiny", size=(64, 96), fps=16)))
    assert reply == {"type": "hello", "protocol": 1, "world": "tiny", "size": [64, 96], "fps": 16}


@pytest.mark.parametrize("kind", [*REQUESTS, *get_args(server_messages.Reply), *PARTS])
def test_the_page_about_the_protocol_names_every_message_and_field(kind: type) -> None:
    page = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
    names = set(names_of(kind)) - {"type"}
    words = set(get_args(get_type_hints(kind).get("type", None)))
    assert [x for x in names if f"`{x}`" not in page and f'"{x}"' not in page] == []
    assert [x for x in words if f"**`{x}`**" not in page] == []


def test_the_list_of_types_in_the_error_is_whole() -> None:
    with pytest.raises(ValueError, match=".") as e:
        client_messages.parse("{}")
    said = str(e.value).split(" use ")[1].replace(" or ", ", ").split(", ")
    assert said == TYPES
