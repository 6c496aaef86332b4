"""Hints of which one side is hidden: what lies there is smeared from the line and said to be unknown."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Generator

from dreamx.frames import Frames, clean
from dreamx.geometry.camera import level
from dreamx.train.augment import hide_side

ROWS, TIMES, WIDTH = 64, 3, 8


def frames() -> Frames:
    z = torch.zeros(ROWS, TIMES, 2, 4, WIDTH)
    camera = level().map(lambda x: x.expand(ROWS, TIMES, *x.shape))
    hint = torch.randn(ROWS, TIMES, 3, 4, WIDTH, generator=Generator().manual_seed(0))
    hint[:, :, -1] = 0.5  # half known
    return replace(clean(z, camera), hint=hint)


def test_one_side_is_smeared_and_unknown_in_all_frames_of_a_row() -> None:
    before = frames()
    after = hide_side(before, 1.0, Generator().manual_seed(1))
    assert before.hint is not None and after.hint is not None
    sides = set[bool]()
    for old, new in zip(before.hint, after.hint, strict=True):
        seen = new[0, -1, 0] > 0
        kept = int(seen.sum())
        assert 1 <= kept < WIDTH, "something stays, and something goes"
        left = bool(seen[0])
        sides.add(left)
        assert seen.tolist() == [(i < kept) if left else (i >= WIDTH - kept) for i in range(WIDTH)], "in one piece"
        assert torch.equal(new[:, -1] > 0, seen.expand(TIMES, 4, WIDTH)), "the same in all frames"
        assert torch.equal(new[..., seen], old[..., seen]), "what is seen stays as it was"
        edge = kept - 1 if left else WIDTH - kept
        assert torch.equal(new[:, :-1][..., ~seen], old[:, :-1, :, edge, None].expand(-1, -1, -1, WIDTH - kept))
    assert sides == {True, False}


def test_some_rows_alone() -> None:
    before = frames()
    assert before.hint is not None
    for probability in (0.0, 0.5):
        after = hide_side(before, probability, Generator().manual_seed(2)).hint
        assert after is not None
        changed = (after != before.hint).flatten(1).any(1).float().mean()
        assert abs(float(changed) - probability) < 0.2
    assert hide_side(replace(before, hint=None), 1.0, Generator()).hint is None
