"""Pictures as JPEG and as H.264, recordings, and the truth beside them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event

import av
import httpx
import numpy as np
import pytest
import torch
from av.video.codeccontext import VideoCodecContext
from torch import Tensor

from dreamx.geometry import Camera
from dreamx.geometry.camera import level
from dreamx.play import video
from dreamx.play.codec import KEY_EVERY, h264, h264_fits, jpegs
from dreamx.play.ground_truth_stream import GroundTruthStream, Truth
from dreamx.play.server_messages import FrameKind, Picture, Recorded
from dreamx.play.store import Store
from dreamx.play.video import Recorder, VideoRecording
from fake_world import FakeWorld
from play_house import Player, open_house


def walk(size: tuple[int, int], count: int) -> list[Tensor]:
    """Smooth pictures that move."""
    y, x = torch.meshgrid(torch.linspace(0, 3, size[0]), torch.linspace(0, 3, size[1]), indexing="ij")
    frames = [torch.stack([torch.sin(x + i / 20), torch.cos(y - i / 30), torch.sin(x + y)]) for i in range(count)]
    return [((f + 1) * 127).to(torch.uint8) for f in frames]


class Screen:
    """Decodes H.264 as a page does: every access unit at once."""

    def __init__(self) -> None:
        self._decoder = VideoCodecContext.create("h264", "r")

    def paint(self, data: bytes) -> np.ndarray:
        (frame,) = self._decoder.decode(av.Packet(data))
        return np.asarray(frame.to_ndarray(format="rgb24"))


def close(a: np.ndarray, b: Tensor) -> bool:
    """The same picture, but for what a codec loses."""
    return float(np.abs(a.astype(float) - b.permute(1, 2, 0).numpy()).mean()) < 4


@pytest.mark.parametrize("size", [(64, 64), (32, 96), (36, 50)])
def test_every_frame_of_h264_is_shown_at_once_and_is_the_right_one(size: tuple[int, int]) -> None:
    encode, screen = h264(size, 16.0), Screen()
    kinds: list[FrameKind] = []
    for i, image in enumerate(walk(size, 40)):
        kind, data = encode(image, i == 0)
        assert data.startswith((b"\0\0\0\1", b"\0\0\1"))
        assert close(screen.paint(data), image), i
        kinds.append(kind)
    keys = [i for i, k in enumerate(kinds) if k is FrameKind.H264_KEY]
    assert keys[0] == 0
    assert max(np.diff([*keys, len(kinds)])) <= KEY_EVERY


def test_a_jump_is_a_key_frame_that_needs_nothing_before_it() -> None:
    encode, late = h264((64, 64), 16.0), Screen()
    frames = walk((64, 64), 8)
    for image in frames[:5]:
        encode(image, False)
    kind, data = encode(frames[5].flip(2), True)
    assert kind is FrameKind.H264_KEY
    assert close(late.paint(data), frames[5].flip(2))
    _, data = encode(frames[6].flip(2), False)
    assert close(late.paint(data), frames[6].flip(2))


@pytest.mark.skipif(sys.platform != "linux" or (os.cpu_count() or 1) < 2, reason="one core starts no threads")
def test_no_frame_starts_threads_of_its_own(tmp_path: Path) -> None:
    """A thread that is waited for is a voluntary switch of this one. With `frame.reformat` there were six of them a frame."""
    import resource

    encode, file, frames = h264((64, 64), 16.0), VideoRecording(tmp_path / "a.mp4", (64, 64), 16.0), walk((64, 64), 60)
    for way in (lambda: [encode(f, False) for f in frames], lambda: file.write(frames)):
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
        way()
        assert resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before < len(frames)
    file.close()


def test_h264_is_of_the_baseline_profile() -> None:
    _, data = h264((64, 64), 16.0)(walk((64, 64), 1)[0], True)
    sps = data.index(b"\0\0\0\1\x67")
    assert data[sps + 5] == 66


def test_only_even_sides_are_h264() -> None:
    assert h264_fits((64, 64))
    assert not h264_fits((63, 64))
    assert not h264_fits((64, 63))
    with open_house(FakeWorld((33, 33), due=4, fps=100)) as (_, port), Player(port) as player:
        assert httpx.get(f"http://127.0.0.1:{port}/api/world").json()["codecs"] == ["jpeg"]
        player.say(type="start", start="hill", codec="h264")
        assert "use jpeg" in player.reply("error")["text"]


def test_h264_reaches_the_page_also_after_a_jump_and_a_resume() -> None:
    with open_house(FakeWorld(due=4, fps=100)) as (_, port):
        with Player(port) as player:
            player.say(type="start", start="hill", codec="h264")
            session = player.reply("started")["session"]
            player.say(type="keys", held="l", seq=1)
            player.say(type="save")
            player.frames(20)
            player.say(type="restore")
            player.until(lambda m: isinstance(m, dict) and m["type"] == "made" and m["frames"] == 1 and m["chunk"] > 0)
            assert player.frames(1)[0].kind is FrameKind.H264_KEY
            screen = Screen()
            for picture in player.pictures:
                assert screen.paint(picture.data).shape == (64, 64, 3)
        with Player(port) as player:
            player.say(type="resume_session", session=session, codec="h264")
            assert player.frames(1)[0].kind is FrameKind.H264_KEY


def read(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]


@pytest.mark.parametrize("size", [(64, 64), (33, 35)])
def test_a_video_has_the_frames_that_were_written(tmp_path: Path, size: tuple[int, int]) -> None:
    file, frames = VideoRecording(tmp_path / "a.mp4", size, 16.0), walk(size, 20)
    file.write(frames[:7])
    file.write(frames[7:])
    file.close()
    shown = read(tmp_path / "a.mp4")
    assert file.frames == len(shown) == 20
    assert all(close(a[: size[0], : size[1]], b) for a, b in zip(shown, frames, strict=True) if size[0] % 2 == 0)


def test_a_recording_ends_at_the_limit_or_when_it_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "LIMIT", 1)
    recorder, frames = Recorder(tmp_path, (64, 64), 16.0), torch.stack(walk((64, 64), 12))
    assert recorder.write(frames) is None
    assert recorder.stop() is None
    recorder.start()
    assert recorder.on
    assert recorder.write(frames) is None
    ended = recorder.write(frames)
    assert isinstance(ended, Recorded)
    assert ended.frames == 16
    assert not recorder.on
    assert len(read(tmp_path / Path(ended.url).name)) == 16
    recorder.start()
    recorder.write(frames[:3])
    stopped = recorder.stop()
    assert isinstance(stopped, Recorded)
    assert len(read(tmp_path / Path(stopped.url).name)) == 3
    recorder.start()
    assert recorder.stop() is None
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(("size", "shown"), [((64, 64), (640, 640)), ((48, 80), (384, 640)), ((704, 1280), (704, 1280))])
def test_a_recording_is_as_large_as_the_page_shows_the_world(
    tmp_path: Path, size: tuple[int, int], shown: tuple[int, int]
) -> None:
    squares = (torch.rand(3, *size, generator=torch.Generator().manual_seed(0)) > 0.5).to(torch.uint8) * 200
    scale = shown[1] // size[1]
    rough: list[float] = []
    for crisp in (True, False):
        recorder = Recorder(tmp_path, size, 16.0)
        recorder.start(crisp)
        recorder.write(squares[None])
        ended = recorder.stop()
        assert isinstance(ended, Recorded)
        picture = torch.as_tensor(read(tmp_path / Path(ended.url).name)[0])
        assert picture.shape == (*shown, 3)
        grey = picture.float().mean(-1)
        edges = (grey[:, 1:] - grey[:, :-1]).abs()
        edges[:, scale - 1 :: scale] = 0  # between two pixels of the world
        rough.append(float(edges.mean()))
    assert scale == 1 or rough[0] < 0.5 * rough[1], "squares are flat within, and smooth pictures are not"


def test_a_player_records_and_downloads() -> None:
    with open_house(FakeWorld(due=4, fps=100)) as (house, port), Player(port) as player:
        player.say(type="start", start="hill")
        player.reply("started")
        player.say(type="record", on=True)
        player.until(lambda m: isinstance(m, dict) and m.get("recording") is True)
        player.frames(20)
        player.say(type="pause")  # also when no other chunk comes
        player.say(type="record", on=False)
        recorded = player.reply("recorded")
        assert player.reply("state")["recording"] is False
        answer = httpx.get(f"http://127.0.0.1:{port}/{recorded['url']}")
        assert answer.headers["content-type"] == "video/mp4"
        assert isinstance(house.store, Store)
        path = house.store.recordings / Path(recorded["url"]).name
        assert path.read_bytes() == answer.content
        assert len(read(path)) == recorded["frames"] >= 16
        assert httpx.get(f"http://127.0.0.1:{port}/api/recordings/nothing.mp4").status_code == 404


# ---- the truth ---------------------------------------------------------------------------------------------------------


def flat(path: Camera) -> Tensor:
    """A truth that shows where the camera is: brighter to the front."""
    z = (path.pose[:, 2, 3] * 20).clamp(0, 255).to(torch.uint8)
    return z[:, None, None, None].expand(-1, 3, 64, 64)


def test_a_truth_picture_comes_beside_each_frame_of_a_scene() -> None:
    def truth(start: str) -> Callable[[], Truth | None]:
        return lambda: flat if start == "hill" else None

    with open_house(FakeWorld(due=4, fps=100), truth=truth) as (_, port), Player(port) as player:
        assert httpx.get(f"http://127.0.0.1:{port}/api/world").json()["truth"] is True
        player.say(type="start", start="hill")
        assert player.reply("started")["truth"] is True
        player.say(type="keys", held="w", seq=1)

        def frames(kind: FrameKind) -> set[int]:
            return {p.frame for p in player.pictures if p.kind is kind}

        # How many there are by frame 40 depends on the machine: at 100 a second, pictures may be left out.
        player.until(lambda _: len(frames(FrameKind.TRUTH) & frames(FrameKind.JPEG)) > 20)
        assert frames(FrameKind.TRUTH) >= set(range(5))
        for start in ({"start": "sea"}, {"prompt": "a park"}):
            player.say(type="start", **start)
            assert player.reply("started")["truth"] is False


def test_a_slow_or_broken_truth_holds_nobody_up() -> None:
    go = Event()

    def stuck(path: Camera) -> Tensor:
        go.wait(20)
        raise RuntimeError("the driver is gone")

    def broken() -> Truth | None:
        raise ValueError("no simulator")

    def truth(start: str) -> Callable[[], Truth | None]:
        return (lambda: stuck) if start == "hill" else broken

    with open_house(FakeWorld(due=4, fps=100), truth=truth) as (_, port), Player(port) as player:
        player.say(type="start", start="hill")
        assert player.reply("started")["truth"] is True
        assert {p.kind for p in player.frames(100)} == {FrameKind.JPEG}
        go.set()
        player.frames(40)
        player.say(type="start", start="sea")
        assert player.reply("started")["truth"] is False
        player.frames(20)


def test_what_cannot_be_rendered_in_time_is_left_out() -> None:
    gate, seen = Event(), list[Picture]()

    def slow(path: Camera) -> Tensor:
        gate.wait()
        return flat(path)

    beside = GroundTruthStream(lambda: slow, seen.append, 85)
    assert beside.has()
    path = level().map(lambda x: x[None])
    for i in range(50):  # would never end if it waited for the gate
        beside.ask(i, i, path)
    gate.set()
    beside.close(20)
    assert 1 <= len(seen) <= 3
    assert seen[0].frame == 0


def test_jpegs_are_each_by_itself() -> None:
    kind, data = jpegs(85)(walk((64, 64), 1)[0], False)
    assert kind is FrameKind.JPEG
    assert data.startswith(b"\xff\xd8")
