"""Captions of real video, asked of a small server of our own that fails in every way that servers do."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from dreamx.clip import Clip
from dreamx.data.captioner.ask import Endpoint, describe, read_answer
from dreamx.data.captioner.caption_clips import CaptionConfig, caption
from dreamx.geometry.camera import level

GOOD: dict[str, Any] = {
    "scene": "A grey hall with a red ball.", "evolution": "The ball rolls away.", "style": "photoreal", "kind": "indoor",
    "interactions": [],
    "events": [{"id": "e1", "entity": "the red ball", "predicate": "rolls away", "anchor": "in the middle", "start": 0.0,
                "end": 1.0, "interacts": []}],
}  # fmt: skip


class Server:
    """Answers with what stands in ``answers``, in turn, the last for ever; remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = [(200, json.dumps(GOOD))]
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.keys.append(self.headers.get("Authorization"))
                code, content = outer.answers[min(len(outer.asked), len(outer.answers) - 1)]
                outer.asked.append({"path": self.path, **json.loads(body)})
                reply = (
                    content
                    if isinstance(content, bytes)
                    else json.dumps({"choices": [{"message": {"content": content}}]}).encode()
                )
                self.send_response(code)
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = Endpoint(f"http://127.0.0.1:{self.http.server_address[1]}/v1", "eyes", tries=3, wait=1.0, frames=3)


@contextmanager
def answering() -> Iterator[Server]:
    """A server on a thread of its own."""
    s = Server()
    thread = threading.Thread(target=s.http.serve_forever)
    thread.start()
    yield s
    s.http.shutdown()
    thread.join()
    s.http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    with answering() as s:
        yield s


def clip(seed: int = 0) -> Clip:
    video = torch.randint(0, 256, (17, 3, 32, 48), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)
    return Clip(video, level().map(lambda x: x[None].expand(17, *x.shape).clone()), torch.zeros(17, 8), None, 16.0, "")


def test_it_asks_with_pictures_and_reads_a_story(server: Server, tmp_path: Path) -> None:
    found = describe(clip(), server.endpoint, tmp_path)
    assert found.story.events[0].entity == "the red ball" and (found.style, found.kind) == ("photoreal", "indoor")
    (asked,) = server.asked
    assert asked["path"] == "/v1/chat/completions" and asked["model"] == "eyes"
    kinds = [part["type"] for part in asked["messages"][0]["content"]]
    assert kinds == ["text", "image_url", "image_url", "image_url"]
    assert server.keys == [None]


def test_the_same_question_is_asked_once(server: Server, tmp_path: Path) -> None:
    first = describe(clip(), server.endpoint, tmp_path)
    assert describe(clip(), server.endpoint, tmp_path) == first and len(server.asked) == 1
    describe(clip(1), server.endpoint, tmp_path)
    describe(clip(), replace(server.endpoint, model="other eyes"), tmp_path)
    assert len(server.asked) == 3
    for kept in tmp_path.glob("*.json"):
        kept.write_text("damaged")
    assert describe(clip(), server.endpoint, tmp_path) == first and len(server.asked) == 4


@pytest.mark.parametrize(
    "bad",
    [(503, b"busy"), (429, b"slow down"), (200, b"<html>"), (200, b"{}"), (200, "I see a room."), (200, "{}"), (200, None),
     (200, json.dumps({**GOOD, "mood": "calm"})), (200, json.dumps({**GOOD, "style": "cubist"})),
     (200, json.dumps({**GOOD, "events": [{**GOOD["events"][0], "end": 90.0}]})),
     (200, json.dumps({**GOOD, "events": [{**GOOD["events"][0], "interacts": ["e9"]}]}))],
)  # fmt: skip
def test_what_fails_is_asked_again(server: Server, tmp_path: Path, bad: tuple[int, Any]) -> None:
    server.answers = [bad, bad, (200, "```json\n" + json.dumps(GOOD) + "\n```")]
    waited: list[float] = []
    assert describe(clip(), server.endpoint, tmp_path, waited.append).style == "photoreal"
    assert waited == [1.0, 2.0] and len(server.asked) == 3


def test_it_gives_up_with_a_sentence(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers = [(500, b"broken")]
    with pytest.raises(ValueError, match=r"no usable answer .* in 3 tries \(HTTP 500: broken\)"):
        describe(clip(), server.endpoint, tmp_path, lambda _: None)
    server.answers, server.asked = [(401, b"who are you?")], []
    with pytest.raises(ValueError, match=r"refuses \(HTTP 401"):
        describe(clip(), server.endpoint, tmp_path, lambda _: None)
    assert len(server.asked) == 1 and not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="NO_SUCH_KEY, which should hold the key, is empty"):
        describe(clip(), replace(server.endpoint, key="NO_SUCH_KEY"), tmp_path, lambda _: None)
    server.answers, server.asked = [(200, json.dumps(GOOD))], []
    monkeypatch.setenv("OUR_KEY", "secret")
    describe(clip(), replace(server.endpoint, key="OUR_KEY"), tmp_path)
    assert server.keys[-1] == "Bearer secret"
    with pytest.raises(ValueError, match="address must be an address like"):
        Endpoint("localhost:8000")


def test_an_answer_is_checked() -> None:
    assert read_answer(json.dumps(GOOD), 2.0).story.scene == GOOD["scene"]
    with pytest.raises(ValueError, match="scene is empty"):
        read_answer(json.dumps({**GOOD, "scene": " "}), 2.0)


def test_a_folder_is_captioned_and_what_fails_is_dropped(server: Server, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    clip(0).save(tmp_path / "in/a.safetensors")
    replace(clip(1), caption="It has one.").save(tmp_path / "in/b.safetensors")
    (tmp_path / "in/c.safetensors").write_bytes(b"no clip")
    cfg = CaptionConfig(tmp_path / "in", tmp_path / "out", server.endpoint)
    assert caption(cfg) == {"clips": 2, "dropped": 1}
    a, b = (Clip.load(tmp_path / f"out/{n}.safetensors") for n in "ab")
    assert a.caption.startswith("Style: Photorealistic. A grey hall") and a.story is not None and a.scene == "indoor"
    assert b.caption == "It has one." and len(server.asked) == 1
    assert "not a readable clip" in json.loads((tmp_path / "out/dropped.json").read_text())["c"]
    assert caption(cfg) == {"clips": 2, "dropped": 1} and len(server.asked) == 1
