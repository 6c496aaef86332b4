"""Tables one can read."""

import pytest

from dreamx.model.masks import by_chunk, draw, teacher_forced


def test_by_chunk() -> None:
    assert draw(by_chunk(4, 2)) == "##..\n##..\n####\n####"


def test_window_and_sinks_count_the_chunk_itself() -> None:
    assert draw(by_chunk(6, 1, window=3, sinks=1)).splitlines() == ["#.....", "##....", "###...", "#.##..", "#..##.", "#...##"]
    assert draw(by_chunk(6, 2, window=4)).splitlines()[-1] == "..####"
    with pytest.raises(ValueError, match="window: 3 frames do not hold 2 sinks and a chunk of 2"):
        by_chunk(6, 2, window=3, sinks=2)


def test_teacher_forced() -> None:
    assert draw(teacher_forced(4, 2)).splitlines() == [
        "##......",
        "##......",
        "####....",
        "####....",
        "....##..",
        "....##..",
        "##....##",
        "##....##",
    ]
