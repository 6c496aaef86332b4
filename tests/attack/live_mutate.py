"""Messages of the protocol, bent: a seed gives always the same ones."""

from __future__ import annotations

import base64
import json
import random
from copy import deepcopy
from typing import Any

from play_house import png

STEP: dict[str, Any] = {"keys": "w", "frames": 1, "look": None, "event": None, "switches": {"memory": True, "camera": True}}
REPLAY: dict[str, Any] = {
    "format": 1, "dreamx": "0", "world": "x", "weights": "x", "seed": 0, "prompt": "", "start": "room", "image": None,
    "steps": [STEP] * 3,
}  # fmt: skip
_PICTURE = base64.b64encode(png((32, 32))).decode()
GOOD: list[dict[str, Any]] = [
    {"type": "start", "start": "room"},
    {"type": "start", "image": _PICTURE, "seed": 3},
    {"type": "start", "prompt": "a room", "switches": {"memory": True, "camera": False}},
    {"type": "start", "replay": REPLAY},
    {"type": "resume_session", "session": "abc", "codec": "jpeg"},
    {"type": "keys", "held": "wj", "seq": 4, "look": [1.5, 0], "turn": [0, 0.5]},
    {"type": "event", "text": "it rains"},
    {"type": "shown", "frame": 3, "spare": -2},
    {"type": "pause"},
    {"type": "resume"},
    {"type": "save"},
    {"type": "restore", "moment": "0"},
    {"type": "rewind", "seconds": 2},
    {"type": "switch", "memory": False, "camera": True},
    {"type": "record", "on": True, "crisp": True},
    {"type": "record", "on": False},
]
_VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**64, 10**400, 1e308, -0.0, 0.1, "", "w", "\x00", "\u202e", "\U0001f600", "a" * 3000,
    "../../../etc/passwd", "room", [], {}, [[]], [None] * 40, {"a": {"b": {}}}, float("nan"), float("inf"), "A" * 5000,
]  # fmt: skip


def mutant(rng: random.Random) -> str | bytes:
    """One message: of the protocol, with a value or a key changed, or bent as text or as bytes."""
    message = json.loads(json.dumps(rng.choice(GOOD)))
    for _ in range(rng.choice((0, 1, 1, 1, 2, 5))):
        _bend(message, rng)
    text = json.dumps(message, ensure_ascii=rng.random() < 0.5)
    match rng.randrange(8):
        case 0:
            return _bent(text.encode(errors="surrogatepass"), rng)
        case 1:
            return text[: rng.randrange(len(text) + 1)]
        case 2:
            at = rng.randrange(len(text))
            return text[:at] + rng.choice(["{", '"', ",", "[" * 300, "\\u0000", "1e999", "\u2028", ":" * 50]) + text[at:]
        case 3:
            return text.replace("1", "1" * rng.choice((30, 5000)))
        case 4:
            return '{"type": "start", "replay": ' * rng.choice((1, 50)) + text
        case _:
            return text


def _bend(value: Any, rng: random.Random) -> None:
    """Change something somewhere in it."""
    while isinstance(value, dict | list) and value:
        at = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        if isinstance(value[at], dict | list) and value[at] and rng.random() < 0.7:
            value = value[at]
            continue
        match rng.randrange(5):
            case 0:
                del value[at]
            case 1 if isinstance(value, dict):
                value[rng.choice(["type", "x", "replay", "image", "a" * 200, "__class__", "\ud800"])] = deepcopy(
                    rng.choice(_VALUES)
                )
            case 1 if isinstance(value, list):
                value.extend(deepcopy(value) * rng.choice((1, 100)))
            case _:
                value[at] = deepcopy(rng.choice(_VALUES))
        return


def _bent(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.randrange(1, 20)):
        out[rng.randrange(len(out))] = rng.randrange(256)
    return bytes(out)
