"""Datasets: what is written is what is read, at any frame, in any place; what is damaged is a sentence."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from dreamx.clip import Clip
from dreamx.data import dataset
from dreamx.data.dataset import Coding, Dataset
from dreamx.events import Contact, Event, Story
from dreamx.geometry.camera import Camera, cat, level
from dreamx.geometry.controls import from_keys, key_vector, walk

EXACT = Coding(crf=None)


def a_clip(seed: int, frames: int = 20, size: tuple[int, int] = (18, 22), full: bool = True) -> Clip:
    """Noise with everything that a clip can have."""
    g = torch.Generator().manual_seed(seed)
    h, w = size
    start = level((1.0, 1.1, 0.5, 0.5))
    cameras = cat([start.map(lambda x: x[None]), walk(start, from_keys(["wj"] * (frames - 1)))])
    events = (Event("e1", "the ball", "rolls", "left", 0.25, 0.5, ("e2",)), Event("e2", "a box", "falls", "", 0.5, 1.0))
    return Clip(
        torch.randint(0, 256, (frames, 3, h, w), generator=g, dtype=torch.uint8),
        Camera(cameras.pose.float(), cameras.lens.float()),
        torch.stack([torch.zeros(8), *[key_vector("wj")] * (frames - 1)]),
        torch.rand(frames, h, w, generator=g).half() if full else None,
        16.0,
        f"room {seed}",
        "game",
        "room",
        seed,
        "a test",
        "CC0",
        {"weather": "ärgerlich"},
        Story("a room", "", ("it falls",), events) if full else None,
        torch.randint(0, 5, (frames, h, w), generator=g, dtype=torch.int16) if full else None,
        {1: "the ball"} if full else {},
        (Contact(3, 1, 2, 0.5), Contact(3, 2, 3, 1.5), Contact(9, 1, 3, 2.5)) if full else (),
        torch.rand(frames, 4, generator=g) if full else None,
    )


def same(a: Clip, b: Clip) -> bool:
    for f in dataclasses.fields(Clip):
        x, y = getattr(a, f.name), getattr(b, f.name)
        if isinstance(x, Camera):
            if not (torch.equal(x.pose, y.pose) and torch.equal(x.lens, y.lens)):
                return False
        elif isinstance(x, torch.Tensor):
            if y is None or x.dtype != y.dtype or not torch.equal(x, y):
                return False
        elif x != y:
            return False
    return True


@pytest.mark.parametrize("where", ["local", "file", "memory"])
def test_what_is_written_is_what_is_read(tmp_path: Path, where: str) -> None:
    place = {"local": str(tmp_path / "d"), "file": f"file://{tmp_path}/d", "memory": f"memory://{tmp_path.name}/d"}[where]
    clips = [a_clip(0), a_clip(1, 5, full=False), a_clip(2, 33)]
    assert dataset.write(place, [(f"c{i}", c) for i, c in enumerate(clips)], EXACT) == []
    got = dataset.read(place)
    assert isinstance(got, Dataset) and got.names == ["c0", "c1", "c2"] and len(got.rows) == 3
    for i, c in enumerate(clips):
        assert same(got.clip(i), c)
        assert torch.equal(got.cameras(i).pose, c.camera.pose)
        for start, count in ((0, 1), (3, 2), (len(c.video) - 1, 1), (1, len(c.video) - 1)):
            assert same(got.window(i, start, count), dataset.window(c, start, count))
    assert (got.row(1).licence, got.row(1).frames, got.row(1).has) == ("CC0", 5, ())
