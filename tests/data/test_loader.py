"""The loader: every rank its own samples, mixed by weight, resumed to the very next one."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
import torch

from data_stages import walk_clip
from dreamx.clip import FIRST_HELD_OUT_SEED
from dreamx.data import dataset
from dreamx.data.loader import From, LoadedSample, Loader, LoaderConfig, Revisit, Window
from dreamx.geometry.camera import Camera, cat, level
from dreamx.geometry.controls import from_keys, walk
from dreamx.geometry.overlap import overlap

OUT_AND_BACK = ["j"] * 20 + ["l"] * 20


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A dataset of 7 clips of 12 to 18 frames, and a folder of 5 with 41 frames that turn away and back."""
    from dataclasses import replace

    root = tmp_path_factory.mktemp("loader")
    dataset.write(str(root / "d"), ((f"d{i}", walk_clip(i, 12 + i)) for i in range(7)))
    (root / "f").mkdir()
    start = level((1.0, 1.0, 0.5, 0.5))
    path = cat([start.map(lambda x: x[None]), walk(start, from_keys(OUT_AND_BACK))])
    for i in range(5):
        clip = replace(walk_clip(i, 41), camera=Camera(path.pose.float(), path.lens.float()))
        clip.save(root / f"f/f{i}.safetensors")
    return str(root / "d"), str(root / "f")


def config(places: tuple[str, str], ahead: int = 0) -> LoaderConfig:
    return LoaderConfig((From(places[0], 3.0, Window(9)), From(places[1], 1.0, Revisit(5, 12, 0.6))), seed=3, ahead=ahead)


def key(sample: LoadedSample) -> tuple[int, int, str, tuple[int, ...]]:
    return sample.draw.source, sample.draw.epoch, sample.name, sample.starts


def equal(a: LoadedSample, b: LoadedSample) -> bool:
    pairs = zip(a.clips, b.clips, strict=True)
    return key(a) == key(b) and all(torch.equal(x.video, y.video) and torch.equal(x.camera.pose, y.camera.pose) for x, y in pairs)


def test_samples_are_mixed_by_weight_and_every_clip_comes_once_an_epoch(places: tuple[str, str]) -> None:
    samples = list(islice(Loader(config(places)), 28))
    assert Counter(s.draw.source for s in samples) == {0: 21, 1: 7}
    assert all(abs(sum(s.draw.source == 1 for s in samples[:n]) - n / 4) <= 1 for n in range(28))
    names = [s.name for s in samples if s.draw.source == 0]
    assert all(sorted(names[i : i + 7]) == [f"d{n}" for n in range(7)] for i in (0, 7, 14))
    assert names[:7] != names[7:14] and len({s.starts for s in samples}) > 5
    for s in samples:
        want = 9 if s.draw.source == 0 else 5
        assert all(len(c.video) == want for c in s.clips) and len(s.clips) == (1 if s.draw.source == 0 else 2)


def test_a_window_is_that_of_the_dataset(places: tuple[str, str]) -> None:
    sample = next(iter(Loader(config(places))))
    clips = dataset.read(places[0])
    want = clips.window(clips.names.index(sample.name), sample.starts[0], 9)
    assert torch.equal(sample.clips[0].video, want.video) and not sample.clips[0].actions[0].any()


def test_a_revisit_sees_the_same_place_at_different_times(places: tuple[str, str]) -> None:
    samples = [s for s in islice(Loader(config(places)), 40) if s.draw.source == 1]
    for s in samples:
        first, later = s.clips
        assert s.starts[1] - s.starts[0] >= 12
        assert float(overlap(later.camera[-1], first.camera[-1])) >= 0.6
    turned = [float(overlap(s.clips[0].camera[-1], level((1.0, 1.0, 0.5, 0.5)))) for s in samples]
    assert min(turned) < 0.7 and len({s.starts for s in samples}) > 3, "all pairs look where the clip began"


def test_two_ranks_never_share_a_sample_and_together_are_one(places: tuple[str, str]) -> None:
    one = [key(s) for s in islice(Loader(config(places)), 24)]
    first, second = ([key(s) for s in islice(Loader(config(places), rank, 2), 12)] for rank in (0, 1))
    assert not set(first) & set(second)
    assert [k for pair in zip(first, second, strict=True) for k in pair] == one
    clips = [{(s.draw.source, s.name, s.draw.epoch) for s in islice(Loader(config(places), r, 2), 60)} for r in (0, 1)]
    assert not clips[0] & clips[1], "a clip came to both ranks in the same epoch"


@pytest.mark.parametrize("ahead", [0, 3])
@pytest.mark.parametrize("stop", [1, 8, 15])
def test_it_resumes_to_the_very_next_sample(places: tuple[str, str], ahead: int, stop: int) -> None:
    whole = list(islice(Loader(config(places), 1, 2), stop + 4))
    loader = Loader(config(places, ahead), 1, 2)
    list(islice(loader, stop))
    state = json.loads(json.dumps(loader.state()))
    again = list(islice(Loader(config(places, ahead), 1, 2).resume(state), 4))
    assert all(equal(a, b) for a, b in zip(whole[stop:], again, strict=True))


def test_what_cannot_be_loaded_is_refused(places: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0 of 7 clips have 99 frames or more"):
        Loader(LoaderConfig((From(places[0], 1.0, Window(99)),)))
    with pytest.raises(ValueError, match="another seed or another rank"):
        Loader(config(places), 0, 2).resume(Loader(config(places), 1, 2).state())
    with pytest.raises(ValueError, match="apart no less"):
        Revisit(9, 4)
    dataset.write(str(tmp_path / "held"), [("x", walk_clip(FIRST_HELD_OUT_SEED))])
    with pytest.raises(ValueError, match="reserved for evaluation"):
        Loader(LoaderConfig((From(str(tmp_path / "held"), 1.0, Window(4)),)))
