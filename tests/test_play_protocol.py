"""What may be said, what is answered to what may not, and that pictures come out as they went in."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamx.play import protocol
from dreamx.play.protocol import Command, Event, Keys, Picture, Shown, Start

GOOD: list[tuple[dict[str, object], protocol.Request]] = [
    ({"type": "start", "start": "hill", "seed": 3}, Start("start", "hill", seed=3)),
    ({"type": "start", "prompt": "a park"}, Start("start", prompt="a park")),
    ({"type": "keys", "held": "wj", "seq": 4}, Keys("keys", "wj", 4)),
    ({"type": "keys", "held": "", "seq": 5}, Keys("keys", "", 5)),
    ({"type": "event", "text": "it rains"}, Event("event", "it rains")),
    ({"type": "shown", "frame": 7, "spare": -3}, Shown("shown", 7, -3)),
    ({"type": "shown", "frame": 7}, Shown("shown", 7)),
    ({"type": "save"}, Command("save")),
]


@pytest.mark.parametrize(("message", "request_"), GOOD)
def test_good_messages(message: dict[str, object], request_: protocol.Request) -> None:
    assert protocol.parse(json.dumps(message)) == request_


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
        ('{"type": "event", "text": "' + "a" * 501 + '"}', "501 characters"),
        ('{"type": "start", "prompt": "' + "a" * 501 + '"}', "501 characters"),
        ('{"type": "start", "start": "hill", "image": "aa"}', "not both"),
        ('{"type": "start", "seed": -1}', "seed"),
        ('{"type": "start", "seed": true}', "seed"),
        ('{"type": "shown", "frame": 1, "spare": NaN}', "spare"),
        ('{"type": "shown", "frame": 1, "spare": 1e9}', "spare"),
        ('{"type": "pause", "now": true}', "now"),
    ],
)
def test_bad_messages_get_one_sentence(text: str | bytes, words: str) -> None:
    with pytest.raises(ValueError, match=".") as e:
        protocol.parse(text)
    assert words in str(e.value)
    assert "\n" not in str(e.value)


def test_image_must_be_base64_and_not_too_large() -> None:
    assert Start("start", image=base64.b64encode(b"abc").decode()).picture() == b"abc"
    with pytest.raises(ValueError, match="base64"):
        Start("start", image="???").picture()
    with pytest.raises(ValueError, match="8 MB"):
        Start("start", image="A" * (protocol.IMAGE_LIMIT * 4 // 3 + 8)).picture()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=8), x, max_size=3),
    max_leaves=6,
)
_ALMOST = st.fixed_dictionaries(
    {"type": st.sampled_from(["start", "keys", "event", "shown", "pause", "save", "x"])},
    optional=dict.fromkeys(("start", "image", "prompt", "seed", "held", "seq", "text", "frame", "spare"), _JSON),
)


@settings(max_examples=300, deadline=None)
@given(st.text() | st.binary() | _JSON.map(json.dumps) | _ALMOST.map(json.dumps))
def test_fuzz(text: str | bytes) -> None:
    try:
        request = protocol.parse(text)
    except ValueError as e:
        assert str(e)
        assert "\n" not in str(e)
    else:
        assert isinstance(request, Start | Keys | Event | Shown | Command)


def test_pictures_round_trip() -> None:
    picture = Picture(frame=2**32 - 1, chunk=3, seq=9, time=1.25, jpeg=b"\xff\xd8data")
    data = protocol.pack(picture)
    assert isinstance(data, bytes)
    assert len(data) == protocol.HEADER.size + len(picture.jpeg) == 24 + 6
    assert protocol.unpack(data) == picture


def test_replies_are_json_with_a_type() -> None:
    reply = json.loads(protocol.pack(protocol.Hello(world="tiny", size=(64, 96), fps=16)))
    assert reply == {"type": "hello", "protocol": 1, "world": "tiny", "size": [64, 96], "fps": 16}
