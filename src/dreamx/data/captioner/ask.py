"""One question to a vision model, over HTTP: retried, answered from the cache where it was asked before, checked by the schema.

The interface is ``POST {address}/chat/completions`` of OpenAI, which vLLM, llama.cpp, Ollama and others speak.
"""

from __future__ import annotations

import base64
import io
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from PIL import Image

from dreamx import atomic
from dreamx.bounds import NonNegativeFloat, Pixels, PositiveFloat, PositiveInt, WebAddress, check_values
from dreamx.clip import Clip
from dreamx.config import from_json
from dreamx.events import STYLE_WORDS, Event, Story
from dreamx.plaintext import parse_json

_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504}  # answers after which it is worth asking again
_FOR_ALL = {401, 402, 403, 404, 405}  # and those that every other question would get, too
_PROMPT = """You see {count} frames of one video of {seconds:.1f} seconds, at the seconds {times}.
Describe it as JSON, and nothing else, with exactly these keys:
"scene": the place and what stands in it, one or two sentences;
"evolution": how the whole develops, one sentence, empty if nothing but the camera moves;
"style": one of {styles};
"kind": one of indoor, urban, nature, other;
"interactions": a list of sentences on what things do to each other;
"events": a list of objects with the keys "id" (e1, e2, ...), "entity", "predicate", "anchor" (where, coarsely, in words),
"start", "end" (seconds from 0 to {seconds:.1f}) and "interacts" (ids of other events).
Do not describe the camera. Do not invent what is not seen."""


@dataclass(frozen=True)
class Endpoint:
    """A vision language model, and how it is asked."""

    address: WebAddress = "http://127.0.0.1:8000/v1"
    """Of a server that speaks OpenAI's protocol, up to ``/v1``."""
    model: str = "Qwen/Qwen2.5-VL-7B-Instruct"
    """Name of its model."""
    key: str | None = None
    """Environment variable that holds the access key; None sends none."""
    tries: PositiveInt = 4
    """Attempts at most."""
    wait: NonNegativeFloat = 1.0
    """Seconds before the second attempt; doubled each time."""
    patience: PositiveFloat = 120.0
    """Seconds to wait for an answer."""
    frames: PositiveInt = 8
    """Pictures of a clip that are shown."""
    side: Pixels = 512
    """Pixels of the longer side of a picture."""

    def __post_init__(self) -> None:
        check_values(self)


@dataclass(frozen=True)
class Described:
    """The model's answer for a clip: words for ``Clip.style`` and ``Clip.scene``, and the story."""

    style: str
    kind: str
    story: Story


def describe(clip: Clip, endpoint: Endpoint, cache: Path, sleep: Callable[[float], object] = time.sleep) -> Described:
    """Ask about a clip. The answer is kept in ``cache`` under a hash of the pictures, the words and the model.

    An answer that does not follow the schema counts as a failed try. ValueError, one sentence, when all tries are used up;
    ``Unreachable`` where no clip at all would get an answer.
    """
    body = question(clip, endpoint)
    name = blake2b(json.dumps(body, sort_keys=True).encode(), digest_size=16).hexdigest()
    kept = cache / f"{name}.json"
    seconds = len(clip.video) / clip.fps
    if kept.is_file():
        try:
            return read_answer(kept.read_text(encoding="utf-8"), seconds)
        except ValueError:
            kept.unlink()  # damaged on the disk: ask again
    why: ValueError = ValueError("it was not asked")
    for attempt in range(endpoint.tries):
        if attempt:
            sleep(endpoint.wait * 2 ** (attempt - 1))
        try:
            answer = _post(endpoint, body)
            found = read_answer(answer, seconds)
        except _Hopeless as e:
            raise (Unreachable if e.for_all else ValueError)(f"caption: {endpoint.address} refuses ({e})") from None
        except ValueError as e:
            why = e
            continue
        cache.mkdir(parents=True, exist_ok=True)
        atomic.write_text(kept, answer)  # two threads may ask the same of twins
        return found
    kind = Unreachable if isinstance(why, Unreachable) else ValueError
    raise kind(f"caption: no usable answer from {endpoint.address} in {endpoint.tries} tries ({why})")


def question(clip: Clip, endpoint: Endpoint) -> dict[str, Any]:
    """Build the request: the prompt, and frames evenly over the clip as JPEG."""
    count = min(endpoint.frames, len(clip.video))
    picks = sorted({round(i * (len(clip.video) - 1) / max(1, count - 1)) for i in range(count)})
    times = ", ".join(f"{i / clip.fps:.1f}" for i in picks)
    words = _PROMPT.format(count=len(picks), seconds=len(clip.video) / clip.fps, times=times, styles=", ".join(STYLE_WORDS))
    parts: list[dict[str, Any]] = [{"type": "text", "text": words}]
    for i in picks:
        picture = Image.fromarray(clip.video[i].permute(1, 2, 0).contiguous().numpy())
        picture.thumbnail((endpoint.side, endpoint.side))
        data = io.BytesIO()
        picture.save(data, "JPEG", quality=90)
        url = "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()
        parts.append({"type": "image_url", "image_url": {"url": url}})
    return {
        "model": endpoint.model,
        "messages": [{"role": "user", "content": parts}],
        "temperature": 0,
        "max_tokens": 1500,
        "response_format": {"type": "json_object"},
    }


def read_answer(text: str, seconds: float) -> Described:
    """The model's words as a story. ValueError, one sentence, where they do not follow the schema."""
    text = text.strip()
    if text.startswith("```"):  # many models wrap JSON so, whatever they are told
        text = text.strip("`").removeprefix("json").strip()
    try:
        data = parse_json(text)
    except ValueError as e:
        raise ValueError(f"the answer is no JSON ({e})") from None
    try:
        answer = from_json(_Answer, data)
        events = tuple(from_json(Event, e) for e in answer.events)
        story = Story(answer.scene.strip(), answer.evolution.strip(), tuple(answer.interactions), events)
    except ValueError as e:
        raise ValueError(f"the answer does not follow the schema ({e})") from None
    for name, known in (("style", tuple(STYLE_WORDS)), ("kind", ("indoor", "urban", "nature", "other"))):
        if getattr(answer, name) not in known:
            raise ValueError(f"the answer's {name} must be one of {', '.join(known)}, not {getattr(answer, name)[:40]!r}")
    if not story.scene:
        raise ValueError("the answer's scene is empty")
    if late := [e for e in story.events if e.end > seconds + 0.5]:
        raise ValueError(f"the answer's event {late[0].id!r} ends at {late[0].end:g} s, and the clip at {seconds:.1f} s")
    return Described(answer.style, answer.kind, story)


@dataclass(frozen=True)
class _Answer:
    scene: str
    evolution: str
    style: str
    kind: str
    interactions: list[str]
    events: list[dict[str, Any]]


class Unreachable(ValueError):
    """Nobody answers there, or nobody ever will: that is no fault of a clip."""


class _Hopeless(Exception):
    """The server will never answer this: a bad request; or nothing, ``for_all``: a wrong key, an unknown model."""

    def __init__(self, why: str, for_all: bool) -> None:
        super().__init__(why)
        self.for_all = for_all


def _post(endpoint: Endpoint, body: dict[str, Any]) -> str:
    headers = {"Content-Type": "application/json"}
    if endpoint.key is not None:
        if not os.environ.get(endpoint.key):
            raise _Hopeless(f"the environment variable {endpoint.key}, which should hold the key, is empty", True)
        headers["Authorization"] = f"Bearer {os.environ[endpoint.key]}"
    request = urllib.request.Request(f"{endpoint.address.rstrip('/')}/chat/completions", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=endpoint.patience) as reply:
            data = parse_json(reply.read(2**22))
    except urllib.error.HTTPError as e:
        said = f"HTTP {e.code}: {e.read(200).decode(errors='replace').strip()}"
        if e.code in _AGAIN:
            raise ValueError(said) from None
        raise _Hopeless(said, e.code in _FOR_ALL) from None
    except (OSError, ValueError) as e:
        if isinstance(e, urllib.error.URLError) and not isinstance(e.reason, TimeoutError):
            raise Unreachable(f"{type(e).__name__}: {e}") from None
        raise ValueError(f"{type(e).__name__}: {e}") from None
    try:
        content = data["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        raise ValueError("the reply has no choices[0].message.content") from None
    if not isinstance(content, str):
        raise ValueError("the reply's content is no text")
    return content
