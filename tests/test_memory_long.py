"""Long walks: a full bank forgets what older views resemble, and never the opening."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import cos, sin
from pathlib import Path

import pytest
import torch

import micro
from dreamx.geometry import from_keys
from dreamx.geometry.camera import Camera, lens_from_fov, rigid, rotation
from dreamx.memory import Bank, Memory, MemoryConfig
from dreamx.world import World

CONFIG = MemoryConfig(views=4, capacity=64, settle=False)
LENS = torch.tensor(lens_from_fov(70, 4, 4))
CHUNKS = 2 * 600  # of ten minutes, two a second
STEP, TURN = 0.6, 12.0  # metres and degrees of a chunk


def at(x: float, z: float, yaw: float = 0.0) -> Camera:
    return Camera(rigid(rotation("y", torch.tensor(yaw)), torch.tensor([x, 0.0, z])), LENS)


def look(bank: Bank, camera: Camera, imagined: bool = False) -> None:
    """A view that shows its number in its pixels."""
    keep = bank.imagine if imagined else bank.remember
    keep(torch.zeros(3, 4, 4), torch.ones(4, 4), camera)


def straight(i: int) -> Camera:
    return at(0.0, STEP * i)


def rounds(i: int) -> Camera:
    """Circles of 20 m across, looking along the way and, every other minute, about."""
    angle = STEP * i / 10
    return at(10 - 10 * cos(angle), 10 * sin(angle), TURN * i if (i // 120) % 2 else torch.rad2deg(torch.tensor(angle)).item())


def on_the_spot(i: int) -> Camera:
    return at(0.0, 0.0, TURN * i)


def apart(a: Memory, b: Memory) -> float:
    """In steps of the config: 1 is the least distance of two views that were both kept."""
    away = float((a.camera.pose[:3, 3] - b.camera.pose[:3, 3]).norm()) / CONFIG.metres
    turned = torch.rad2deg(torch.acos((a.camera.pose[:3, 2] @ b.camera.pose[:3, 2]).clamp(-1, 1)))
    return (away**2 + (float(turned) / CONFIG.degrees) ** 2) ** 0.5


@pytest.mark.parametrize("path", [straight, rounds, on_the_spot])
def test_after_ten_minutes_the_opening_is_still_recalled_first(path: object) -> None:
    bank = Bank(CONFIG)
    look(bank, path(0))  # pyright: ignore[reportCallIssue]
    opening = bank.kept[0]
    for i in range(1, CHUNKS):
        look(bank, path(i))  # pyright: ignore[reportCallIssue]
        if i % 3 == 0:
            look(bank, path(i + 6), imagined=True)  # pyright: ignore[reportCallIssue]
        assert len(bank.kept) <= CONFIG.capacity
        assert bank.kept[0] is opening
    assert bank.recall(opening.camera)[0] is opening
    assert len(bank.recall(opening.camera)) <= CONFIG.views


def test_what_is_left_of_a_long_walk_lies_evenly_along_it() -> None:
    bank = Bank(CONFIG)
    for i in range(CHUNKS):
        look(bank, straight(i))
    places = [float(m.camera.pose[2, 3]) for m in bank.kept]
    assert places == sorted(places), "in the order of time"
    gaps = [b - a for a, b in pairwise(places)]
    assert max(gaps[1 - CONFIG.capacity // 4 :]) < 1.1 * STEP, "the newest are not thinned"
    assert max(gaps) < 3 * STEP * CHUNKS / CONFIG.capacity, "no stretch is forgotten"


def test_views_that_were_looked_ahead_to_are_thinned_like_all_others() -> None:
    bank = Bank(CONFIG)
    for i in range(CONFIG.capacity):
        look(bank, at(0.0, float(i)))
    walked = list(bank.kept)
    for i in range(4 * CONFIG.capacity):
        look(bank, at(50.0, 0.0, 0.01 * i), imagined=True)  # all but the same view
    assert len(bank.kept) == CONFIG.capacity
    ahead = [m for m in bank.kept if all(m is not w for w in walked)]
    assert len(ahead) <= CONFIG.capacity // 4 + 2, "twins push out one another, and no more of the walk than the newest quarter"
    assert bank.kept[0] is walked[0]


def test_a_bank_that_is_not_full_keeps_what_it_always_kept() -> None:
    """Its plain twin: everything that is imagined, and what is new in place or direction. So short walks are as before."""
    config = replace(CONFIG, capacity=4096)
    bank, plain = Bank(config), list[Memory]()
    for i in range(300):
        look(bank, rounds(i))
        assert bank.latest is not None
        if all(apart(bank.latest, m) >= 1 for m in plain):
            plain.append(bank.latest)
        if i % 5 == 0:
            look(bank, rounds(i + 6), imagined=True)
            plain.append(bank.kept[-1])
    assert len(bank.kept) == len(plain) > 100
    assert all(a is b for a, b in zip(bank.kept, plain, strict=True))


def test_a_full_bank_that_was_saved_goes_on_as_if_it_had_not_been() -> None:
    banks = [Bank(CONFIG)]
    for i in range(400):
        if i == 300:
            other = Bank(CONFIG)
            other.restore(banks[0].state())
            banks += [other, banks[0].fork()]
        for bank in banks:
            look(bank, rounds(i))
    states = [bank.state()["pose"] for bank in banks]
    assert len(states[0]) == CONFIG.capacity + 1
    assert all(torch.equal(states[0], s) for s in states[1:])


def test_worlds_whose_memory_is_full_save_fork_and_replay_bit_for_bit(tmp_path: Path) -> None:
    def world() -> World:
        return micro.world(memory=MemoryConfig(views=2, capacity=4, metres=0.05, degrees=2.0))

    keys = ["w", "wj", "l", "d", "s", "i", "wl", "a"]
    a, b = world(), world()
    a.reset(micro.picture(), "a red room", 5)
    opening = a._bank.kept[0]  # pyright: ignore[reportOptionalMemberAccess, reportPrivateUsage]
    for k in keys:
        a.step(from_keys([k] * a.frames_per_step))
    a.save(tmp_path / "s")
    b.load(tmp_path / "s")
    fork = a.fork()
    for k in keys:
        want = a.step(from_keys([k] * a.frames_per_step))
        assert torch.equal(fork.step(from_keys([k] * fork.frames_per_step)), want)
        assert torch.equal(b.step(from_keys([k] * b.frames_per_step)), want)
    kept = a._bank.kept  # pyright: ignore[reportOptionalMemberAccess, reportPrivateUsage]
    assert len(kept) == 4 and kept[0] is opening


@pytest.mark.parametrize(
    ("field", "value"), [("views", 0), ("capacity", 0), ("metres", 0.0), ("degrees", -1.0), ("metres", float("nan"))]
)
def test_a_memory_that_cannot_be_is_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"memory.{field} must be"):
        MemoryConfig(**{field: value})  # pyright: ignore[reportArgumentType]
