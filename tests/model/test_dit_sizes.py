"""Sizes of a transformer and of its camera lane are checked when the config is made, not by a traceback in attention."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dreamx.config import from_json, to_json
from dreamx.model.dit import DiTConfig, ViewConfig
from dreamx.recipes import tiny

VIEW = ViewConfig(width=32, heads=2, rope=8)
GOOD = DiTConfig(channels=4, width=48, heads=4, layers=2, mlp=96, text=16, view=VIEW)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"width": 50}, "dit.width 50 does not divide over dit.heads 4"),
        ({"width": 20}, "dit.width 20 gives each of 4 heads 5 channels; their number must be even"),
        ({"heads": 0}, "dit.heads must be 1 or more, not 0"),
        ({"layers": -1}, "dit.layers must be 1 or more, not -1"),
        ({"patch": 0}, "dit.patch must be 1 or more, not 0"),
        ({"frequencies": 7}, "dit.frequencies must be even and 2 or more, not 7"),
        ({"view": replace(VIEW, layers=(0, 2))}, r"view.layers must be different numbers from 0 to 1, not \(0, 2\)"),
        ({"view": replace(VIEW, layers=(1, 1))}, "view.layers must be different numbers"),
    ],
)
def test_sizes_that_do_not_fit_are_one_sentence(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(GOOD, **change)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("width", "heads", "rope", "pool", "said"),
    [
        (33, 2, 0, (1, 1), "view.width 33 does not divide over view.heads 2"),
        (36, 2, 0, (1, 1), "view.width 36 gives each of 2 heads 18 channels, and view.rope takes 0: .* multiple of 4"),
        (32, 2, 6, (1, 1), "view.rope must be a multiple of 4 below the 16 channels of a head, .* not 6"),
        (32, 2, 16, (1, 1), "view.rope must be .* not 16"),
        (32, 2, -4, (1, 1), "view.rope must be 0 or more, not -4"),
        (0, 2, 0, (1, 1), "view.width must be 1 or more, not 0"),
        (32, 0, 0, (1, 1), "view.heads must be 1 or more, not 0"),
        (32, 2, 0, (0.5, 1), r"view.pool must be two numbers of 1 or more, not \(0.5, 1\)"),
        (32, 2, 0, (1, float("nan")), "view.pool must be"),
    ],
)
def test_lanes_that_do_not_fit_are_one_sentence(width: int, heads: int, rope: int, pool: tuple[float, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ViewConfig(width, heads, pool, rope)


def test_a_checkpoint_names_the_field_by_its_path() -> None:
    words = to_json(GOOD)
    words["view"]["width"] = 36
    with pytest.raises(ValueError, match="config DiTConfig.view: view.width 36 gives"):
        from_json(DiTConfig, words)
    assert from_json(DiTConfig, to_json(tiny.DIT)) == tiny.DIT
