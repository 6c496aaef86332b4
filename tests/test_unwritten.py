"""A place known by heart is shown without the transformer until something is told; then its past is as if it had made all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import micro
from dreamx import session_state
from dreamx.frames import Frames
from dreamx.geometry import from_keys
from dreamx.geometry.camera import rigid, rotation
from dreamx.memory import MemoryConfig
from dreamx.model.kv_cache import KVCache
from dreamx.model.place_field import PlaceFieldConfig
from dreamx.model.prompt import Taught
from dreamx.model.taught_event import TaughtEvent
from dreamx.standpoint import Standpoint
from dreamx.world import World

PLACES = PlaceFieldConfig(
    ("village", "castle"), (8.0, 8.0), cells=8, layers=4, samples=8, levels=(4, 8), entries=128, sky=(4, 8), hidden=8
)
AT = Standpoint("castle", rigid(rotation("y", torch.tensor(40.0)), torch.tensor((1.0, -1.5, 2.0))))
KEYS = ("w", "wj", "l", "", "sd")
RAIN = TaughtEvent("rain", "It begins to rain", "It rains", "", 0.25)


def knowing(chunk: int = 1, events: bool = True, noise: float = 0.0, window: int = 8) -> World:
    world = micro.world(chunk, window, chunk, memory=MemoryConfig(views=2), places=PLACES)
    sampler = replace(world.config.sampler, context_noise=noise)
    world.config = replace(world.config, places_alone=True, sampler=sampler)
    world.taught = Taught((), (), events, (RAIN,) if events else ())
    return world


def go(world: World, steps: int, event: str | None = None) -> torch.Tensor:
    said = [event, *[None] * steps]
    return torch.cat(
        [world.step(from_keys([KEYS[(world.chunk + i) % 5]] * world.frames_per_step), said[i]) for i in range(steps)]
    )


def opened(world: World) -> World:
    world.reset(micro.picture(), "a red room", 5, AT)
    return world


def written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write every chunk when it is shown, as the slow twin does."""

    def write(_: tuple[Frames, ...], chunk: Frames, cache: KVCache) -> tuple[Frames, ...]:
        session_state.write_context(NET[0].dit, chunk, NET[0]._words, cache)  # type: ignore[arg-type]
        return ()

    monkeypatch.setattr(session_state, "keep_unwritten", write)


NET: list[World] = []


@pytest.mark.parametrize(("chunk", "steps"), [(1, 1), (1, 6), (3, 1), (3, 2)])
@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_the_past_is_as_if_every_chunk_had_been_written(
    chunk: int, steps: int, noise: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, twin = (
        opened(knowing(chunk, noise=noise, window=4 * chunk + 4)),
        opened(knowing(chunk, noise=noise, window=4 * chunk + 4)),
    )
    before = go(world, steps)
    after = go(world, 3, "rain")
    with monkeypatch.context() as m:
        NET[:] = [twin]
        written_at_once(m)
        assert torch.equal(go(twin, steps), before)
        assert twin._unwritten == ()
    assert torch.equal(go(twin, 3, "rain"), after)
    ours, theirs = world._cache.state(), twin._cache.state()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


@pytest.mark.parametrize("chunk", [1, 3])
def test_after_longer_than_the_window_it_holds_the_same_frames(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    world, twin = opened(knowing(chunk, window=8 if chunk == 1 else 12)), opened(knowing(chunk, window=8 if chunk == 1 else 12))
    go(world, 20)
    assert sum(len(c) for c in world._unwritten) in range(7, 10), "what fits beside the sinks, in whole chunks"
    go(world, 1, "rain")
    NET[:] = [twin]
    written_at_once(monkeypatch)
    go(twin, 20)
    go(twin, 1, "rain")
    assert world._cache.where is not None and twin._cache.where is not None
    index = world._cache.where.index
    assert torch.equal(index, twin._cache.where.index)
    assert index[0, chunk:].diff().eq(1).all(), "no gap but behind the sinks"
    assert torch.equal(world._cache.where.camera.pose, twin._cache.where.camera.pose)


def test_it_alternates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone, told, alone for long, told: old frames of the first telling do not stand right before what is shown now."""
    world = opened(knowing())
    go(world, 3)
    assert [int(c.index) for c in world._unwritten] == [1, 2, 3]
    go(world, 2, "rain")
    assert world._unwritten == () and world._cache.state()["index"].tolist() == [[0, 1, 2, 3, 4, 5]]
    go(world, 2, "")
    assert [int(c.index) for c in world._unwritten] == [6, 7]
    go(world, 10)
    assert [int(c.index) for c in world._unwritten] == [11, 12, 13, 14, 15, 16, 17]
    go(world, 1, "a dog runs by")
    assert world._cache.state()["index"].tolist() == [[0, 12, 13, 14, 15, 16, 17, 18]]


def test_a_place_is_shown_as_it_is_until_something_is_told() -> None:
    world, plain, silent = opened(knowing()), opened(knowing(events=False)), opened(knowing())
    a, b, c = (torch.cat([go(w, 3), go(w, 3, said)]) for w, said in ((world, "rain"), (plain, "rain"), (silent, None)))
    assert torch.equal(b, c), "not taught that what is said happens: nothing takes over"
    assert plain._unwritten == () and plain._cache.state()["index"].tolist() == [[0]]
    n = 3 * 4
    assert torch.equal(a[:n], c[:n]) and not torch.equal(a[n:], c[n:])


@pytest.mark.parametrize("chunk", [1, 3])
@pytest.mark.parametrize("steps", [1, 3, 12])
def test_it_is_saved_and_forked_with_the_session(chunk: int, steps: int, tmp_path: Path) -> None:
    window = 8 if chunk == 1 else 12
    world, again = opened(knowing(chunk, noise=0.2, window=window)), knowing(chunk, noise=0.2, window=window)
    go(world, steps)
    world.save(tmp_path / "a.session")
    fork = world.fork()
    want = go(world, 3, "rain")
    again.load(tmp_path / "a.session")
    assert torch.equal(go(again, 3, "rain"), want)
    assert torch.equal(go(fork, 3, "rain"), want)


@pytest.mark.parametrize("events", [True, False])
def test_a_session_of_a_place_shown_alone_is_whole(events: bool, tmp_path: Path) -> None:
    """Of chunks of 3 it was refused: known is missing."""
    world = opened(knowing(3, events, window=12))
    go(world, 2)
    world.save(tmp_path / "a.session")
    want = go(world, 2)
    again = knowing(3, events, window=12)
    again.load(tmp_path / "a.session")
    assert torch.equal(go(again, 2), want)


def test_while_an_event_lasts_nothing_is_looked_back_at(tmp_path: Path) -> None:
    """The cache holds the newest chunk alone; saved and loaded in between it goes on alike."""
    world = opened(knowing())
    world.config = replace(world.config, lasting_alone=True, event_guidance=0.5)
    go(world, 2, "rain")
    while world.ongoing[0].phase != "lasting":
        go(world, 1)
    assert len(world._cache) == 1, "this chunk alone"
    world.save(tmp_path / "s")
    other = opened(knowing())
    other.config = world.config
    other.load(tmp_path / "s")
    assert torch.equal(go(world, 2), go(other, 2))
    assert len(other._cache) == 1
    plain = opened(knowing())
    go(plain, 9, "rain")
    assert len(plain._cache) > 1, "not unless it is asked for"
