"""Recalled frames, in float64: the table of training is the cache of play, and what is taken out leaves no trace."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dreamx.frames import Frames, cat
from dreamx.geometry.camera import Camera, rigid, rotation
from dreamx.model.attention import MaskedAttention
from dreamx.model.attention_backends import TORCH
from dreamx.model.dit import DiT
from dreamx.model.gap_rule import GapConfig, channel_gaps
from dreamx.model.kv_cache import KVCache
from dreamx.model.masks import draw, teacher_forced, with_memory
from dreamx.model.positions import PositionEncoding
from dreamx.rollout import recall, write_context
from test_equality import BARE, CHUNK, VIEWS, T, case, loud, noisy_twin

RULES = {
    "exact": GapConfig(),
    "log": GapConfig(span=2.0, log=1.5),
    "NTK": GapConfig(span=2.0, ntk=True),
    "YaRN": GapConfig(span=2.0, yarn=(0.05, 0.3)),
}
#: Frames recalled for the chunk that begins at each time: none, from the sinks' side, two.
RECALLED = {0: [], 3: [], 6: [1], 9: [2, 0]}


def picked(known: Frames, chosen: list[int]) -> Frames:
    at = torch.tensor(chosen, dtype=torch.long)
    return Frames(known.z[:, at], known.sigma[:, at], known.index[:, at], known.camera[:, at])


def in_one_pass(dit: DiT, known: Frames, noisy: Frames, text: Tensor, rule: GapConfig, window: int | None, sinks: int) -> Tensor:
    """Velocity of the noisy frames ``[B, T, ...]``, every chunk with its own recalled frames, by one table."""
    memory = picked(known, [i for some in RECALLED.values() for i in some])
    owner = [start for start, some in RECALLED.items() for _ in some]
    recalled = torch.zeros(2 * T, len(owner), dtype=torch.bool)
    for column, start in enumerate(owner):
        recalled[T + start : T + start + CHUNK, column] = True
    gaps = torch.zeros(2, len(owner) + 2 * T, dtype=torch.long)
    gaps[:, : len(owner)] = torch.tensor(owner) - memory.index
    table = with_memory(teacher_forced(T, CHUNK, window, sinks), recalled)
    return dit(cat(memory, known, noisy), text, MaskedAttention(table, gaps=gaps, rule=rule))[:, -T:]


def by_chunks(dit: DiT, known: Frames, noisy: Frames, text: Tensor, rule: GapConfig, cache: KVCache) -> Tensor:
    made: list[Tensor] = []
    for start in range(0, T, CHUNK):
        now = slice(start, start + CHUNK)
        if RECALLED[start]:
            recall(dit, picked(known, RECALLED[start]), text, cache, rule)
        dit(noisy[now].with_z(torch.randn_like(noisy.z[:, now])), text, cache)  # an earlier pass leaves no trace
        made.append(dit(noisy[now], text, cache))
        cache.take_out()
        write_context(dit, known[now], text, cache)
    return torch.cat(made, 1)


def test_the_table_with_memory() -> None:
    recalled = torch.tensor([[False, False], [True, True]])
    assert draw(with_memory(torch.ones(2, 2, dtype=torch.bool), recalled)).splitlines() == ["#...", ".#..", "..##", "####"]


@pytest.mark.parametrize("hint", [False, True])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("view", "window", "sinks"), [("E-PRoPE", None, 0), ("full PRoPE", 6, 0), ("some layers", 7, 1)])
def test_the_table_is_the_cache(rule: str, hint: bool, view: str, window: int | None, sinks: int) -> None:
    dit = loud(DiT(replace(BARE, view=VIEWS[view], hint=hint)))
    known, text = case()
    if hint:
        known = replace(known, hint=torch.randn(2, T, 5, 8, 8, dtype=torch.float64))
    noisy = noisy_twin(known)
    with torch.no_grad():
        want = in_one_pass(dit, known, noisy, text, RULES[rule], window, sinks)
        got = by_chunks(dit, known, noisy, text, RULES[rule], KVCache(window, sinks, relative=False))
        assert (got - want).abs().max() < 1e-12


def test_recalled_frames_and_their_times_matter() -> None:
    """Else the test above would prove nothing about them."""
    dit = loud(DiT(replace(BARE, view=VIEWS["E-PRoPE"])))
    known, text = case()
    noisy = noisy_twin(known)
    with torch.no_grad():
        made = {name: in_one_pass(dit, known, noisy, text, rule, 6, 0) for name, rule in RULES.items()}
        plain = dit(cat(known, noisy), text, MaskedAttention(teacher_forced(T, CHUNK, 6)))[:, T:]
    assert torch.allclose(made["exact"][:, :6], plain[:, :6], atol=1e-12)
    assert (made["exact"][:, 6:] - plain[:, 6:]).abs().max() > 1e-3
    for name in ("log", "NTK", "YaRN"):
        assert (made[name][:, 6:] - made["exact"][:, 6:]).abs().max() > 1e-4


def test_what_is_taken_out_leaves_the_window_as_it_was() -> None:
    dit = loud(DiT(replace(BARE, view=VIEWS["E-PRoPE"])))
    known, text = case()
    caches = KVCache(6, 1), KVCache(6, 1)
    with torch.no_grad():
        for start in range(0, T, CHUNK):
            now = known[slice(start, start + CHUNK)]
            if start >= 6:
                recall(dit, picked(known, [1]), text, caches[0])
                dit(now, text, caches[0])
                caches[0].take_out()
            for cache in caches:
                write_context(dit, now, text, cache)
    states = [cache.state() for cache in caches]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])


def test_taking_out_encodes_nothing_of_the_past_again(monkeypatch: pytest.MonkeyPatch) -> None:
    dit = loud(DiT(replace(BARE, view=VIEWS["E-PRoPE"])))
    known, text = case()
    cache, made = KVCache(None, 0), list[object]()
    with torch.no_grad():
        write_context(dit, known[slice(0, 6)], text, cache)
        allocate = cache._allocate
        monkeypatch.setattr(cache, "_allocate", lambda slot, k, bound: made.append(slot) or allocate(slot, k, bound))
        recall(dit, picked(known, [1]), text, cache)
        for _ in range(3):
            dit(known[slice(6, 9)], text, cache)
        cache.take_out()
        write_context(dit, known[slice(6, 9)], text, cache)
    assert len(made) == len(set(made)) == 2 * BARE.layers


def test_time_from_the_start_of_the_window_keeps_the_true_gap() -> None:
    dit = loud(DiT(replace(BARE, view=VIEWS["E-PRoPE"])))
    known, text = case()
    noisy = noisy_twin(known)
    late = [replace(x, index=x.index + 700) for x in (known, noisy)]
    with torch.no_grad():
        torch.manual_seed(0)
        want = by_chunks(dit, known, noisy, text, RULES["NTK"], KVCache(T, 0, relative=False))
        got = by_chunks(dit, late[0], late[1], text, RULES["NTK"], KVCache(T, 0, relative=True))
    assert (got - want).abs().max() < 1e-10


@pytest.mark.parametrize("rule", ["exact", "YaRN"])
def test_a_rigid_motion_of_the_world_changes_nothing(rule: str) -> None:
    dit = loud(DiT(replace(BARE, view=VIEWS["full PRoPE"])))
    known, text = case()
    noisy = noisy_twin(known)
    turn = rotation("y", torch.tensor(33.0).double()) @ rotation("x", torch.tensor(70.0).double())
    g = rigid(turn, torch.tensor([30.0, -2.0, 90.0]).double())
    moved = [replace(x, camera=Camera(g @ x.camera.pose, x.camera.lens)) for x in (known, noisy)]
    with torch.no_grad():
        here = by_chunks(dit, known, noisy, text, RULES[rule], KVCache(6, 1))
        there = by_chunks(dit, moved[0], moved[1], text, RULES[rule], KVCache(6, 1))
        assert (here - there).abs().max() < 1e-10
        RECALLED[9] = [2, 5]
        try:
            bent = by_chunks(dit, known, noisy, text, RULES[rule], KVCache(6, 1))
        finally:
            RECALLED[9] = [2, 0]
        assert (here - bent).abs().max() > 1e-3


class LaneTables:
    """Attention under a table of its own in each lane."""

    def __init__(self, tables: dict[str, MaskedAttention]) -> None:
        self.tables, self.backend = tables, TORCH

    def __call__(self, slot: tuple[int, str], q: Tensor, k: Tensor, v: Tensor, place: PositionEncoding) -> Tensor:
        return self.tables[slot[1]](slot, q, k, v, place)


def test_a_lane_that_sees_the_chunk_alone_sees_what_is_recalled() -> None:
    """The released camera lane has no past, but it has to know from where a recalled frame was seen."""
    dit = loud(DiT(replace(BARE, view=VIEWS["E-PRoPE"])))
    known, text = case()
    memory, past, new = picked(known, [0, 2]), known[slice(3, 6)], noisy_twin(known)[slice(6, 9)]
    n = 2
    time = torch.zeros(3 + 3, n, dtype=torch.bool)
    time[3:] = True
    whole, own = torch.ones(3, 3, dtype=torch.bool), torch.zeros(3, 3, dtype=torch.bool)
    tables = {
        "time": torch.cat([torch.cat([whole, own], 1), torch.cat([whole, whole], 1)]),
        "view": torch.cat([torch.cat([whole, own], 1), torch.cat([own, whole], 1)]),
    }
    lanes = LaneTables({lane: MaskedAttention(with_memory(table, time)) for lane, table in tables.items()})
    with torch.no_grad():
        want = dit(cat(memory, past, new), text, lanes)[:, -3:]
        cache = KVCache(relative=False, alone=("view",))
        write_context(dit, past, text, cache)
        recall(dit, memory, text, cache)
        got = dit(new, text, cache)
        assert (got - want).abs().max() < 1e-12
        assert {lane for _, lane in cache.kv} == {"time"}


def test_gaps_as_they_are_read() -> None:
    gap = torch.tensor([1.0, 8.0, 800.0])
    assert torch.equal(channel_gaps(GapConfig(), gap, 8, 100.0), gap.double()[:, None].expand(3, 4))
    log = channel_gaps(GapConfig(span=8.0, log=8.0), gap, 8, 100.0)
    assert log[:2, 0].tolist() == [1.0, 8.0]
    assert log[2, 0] == pytest.approx(8 + 8 * 4.60517, abs=1e-4)  # ln 100
    ntk = channel_gaps(GapConfig(span=8.0, ntk=True), gap, 8, 100.0)
    assert ntk[:2].tolist() == [[1.0] * 4, [8.0] * 4]
    assert ntk[2].tolist() == pytest.approx([800.0, 800 / 100 ** (1 / 3), 800 / 100 ** (2 / 3), 8.0])
    # Turns over a span of 628.3: 100, 31.6, 10 and 3.16.
    yarn = channel_gaps(GapConfig(span=628.3185307, yarn=(10.0, 32.0)), torch.tensor([62831.85307]), 8, 100.0)
    kept = (31.6227766 - 10) / 22
    assert yarn[0].tolist() == pytest.approx([62831.85307, 62831.85307 * (kept + (1 - kept) / 100), 628.3185307, 628.3185307])


def test_rules_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="gaps: log and ntk are given; choose one"):
        GapConfig(log=8.0, ntk=True)
    with pytest.raises(ValueError, match=r"gaps\.yarn must be two numbers of turns, the smaller first"):
        GapConfig(yarn=(32.0, 1.0))


def test_frames_that_the_next_chunk_will_see() -> None:
    dit = loud(DiT(BARE))
    known, text = case()
    cache = KVCache(7, 1)
    assert cache.held(3).tolist() == []
    with torch.no_grad():
        for start in (0, 3, 6):
            write_context(dit, known[slice(start, start + 3)], text, cache)
    assert cache.held(3).tolist() == [0, 6, 7, 8]
    assert cache.held(1).tolist() == [0, 4, 5, 6, 7, 8]
