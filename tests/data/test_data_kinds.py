"""Every step reads a folder of clips or a dataset, writes the same kind, and what it says of each clip is the same in both."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data_stages import NotEvery, walk_clip
from dreamx.cli import main
from dreamx.clip import Clip
from dreamx.data import dataset as dataset_files
from dreamx.data.captioner.caption_clips import CaptionConfig, caption
from dreamx.data.dataset import Coding, Dataset
from dreamx.data.engine import Count, Drop, Local, run_engine
from dreamx.data.output_options import Into
from dreamx.data.quality.curate import CurateConfig, curate
from dreamx.data.quality.limits import Limits
from dreamx.data.quality.quality_report import ReportConfig, report
from dreamx.data.quality.verdict import ClipVerdict, judge, verdict_of, words_of
from test_captioner import Server, server
from test_engine import prints

__all__ = ["server"]
LIMITS = Limits(seconds=0.5, blur=None)
EXACT = Coding(None)


def same_words(a: Clip, b: Clip) -> bool:
    names = ("caption", "style", "scene", "seed", "source", "licence", "extra", "story", "fps")
    return all(getattr(a, n) == getattr(b, n) for n in names)


def both(tmp_path: Path, clips: dict[str, Clip]) -> tuple[Path, Path]:
    """The same clips in a folder and, bit for bit, in a dataset."""
    folder, dataset = tmp_path / "folder", tmp_path / "dataset"
    folder.mkdir()
    for name, clip in clips.items():
        clip.save(folder / f"{name}.safetensors")
    assert dataset_files.write(str(dataset), clips.items(), EXACT) == []
    return folder, dataset


def good_and_bad() -> dict[str, Clip]:
    """Two good ones, one of them twice, and one in which nothing changes."""
    walks = [walk_clip(i, 12, (32, 32)) for i in (1, 2)]
    still = replace(walks[0], video=walks[0].video[:1].expand(12, -1, -1, -1).clone())
    return {"a": walks[0], "b-twin": replace(walks[0], caption="The same once more."), "c-still": still, "d": walks[1]}


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """A folder and a dataset after ``curate``."""
    pytest.importorskip("scenedetect")
    place = tmp_path_factory.mktemp("curated")
    folder, dataset = both(place, good_and_bad())
    told = [curate(CurateConfig(p, place / f"good-{p.name}", LIMITS, processes=1)) for p in (folder, dataset)]
    assert told[0] == told[1] == {"kept": 2, "duplicate": 1, "static": 1}
    yield place / "good-folder", place / "good-dataset"


def test_curate_keeps_the_same_of_both(curated: tuple[Path, Path]) -> None:
    folder, dataset = (dataset_files.read(str(p)) for p in curated)
    assert isinstance(dataset, Dataset) and folder.names == dataset.names == ["a", "d"]
    for i in range(2):
        a, b = folder.clip(i), dataset.clip(i)
        assert same_words(a, b) and torch.equal(a.video, b.video) and torch.allclose(a.camera.pose.float(), b.camera.pose)
    records = {p.stem: json.loads(p.read_text()) for p in (curated[0] / "records").glob("*.json")}
    for line in dataset.dropped:
        assert json.loads(line["extra"].get("reasons", "null")) in (records[line["name"]]["reasons"], None)
        assert records[line["name"]]["reasons"][line["rule"]] == line["reason"]
    assert [(d["name"], d["rule"]) for d in dataset.dropped] == [("b-twin", "duplicate"), ("c-still", "static")]


def test_curate_of_a_dataset_copies_pictures_and_is_done_once(curated: tuple[Path, Path]) -> None:
    before, after = Dataset(str(curated[1].parent / "dataset")), Dataset(str(curated[1]))
    assert after.encoded(1)["observation.image"] == before.encoded(3)["observation.image"]
    files = prints(curated[1])
    curate(CurateConfig(curated[1].parent / "dataset", curated[1], LIMITS, processes=1))
    assert prints(curated[1]) == files
    with pytest.raises(ValueError, match="another dataset is here"):
        curate(CurateConfig(curated[1].parent / "dataset", curated[1], Limits(), processes=1))


def test_report_reads_the_reasons_of_a_dataset(curated: tuple[Path, Path], tmp_path: Path) -> None:
    pages: list[str] = []
    for place in curated:
        report(ReportConfig(place, tmp_path / "page.html"))
        pages.append((tmp_path / "page.html").read_text().replace(f"good-{place.name[5:]}", "TITLE"))
    assert "4 clips: <b>2 kept</b> (50 %), 2 dropped." in pages[1]
    assert pages[1].count("<video") == 4, "those that were dropped are shown, too"
    a, b = (sorted(p.split("<")) for p in pages)  # the same words; what a duplicate is shown with may stand elsewhere
    assert a == b


def test_reasons_go_along_to_the_next_dataset(curated: tuple[Path, Path], tmp_path: Path) -> None:
    assert run_engine(dataset_files.read(str(curated[1])), (NotEvery(2),), str(tmp_path / "d"), Local(1)) == Count(1, 3, 12)
    got = Dataset(str(tmp_path / "d"))
    assert [(d["name"], d["rule"]) for d in got.dropped] == [("b-twin", "duplicate"), ("c-still", "static"), ("d", "every")]
    assert [Path(d["place"]).name for d in got.dropped] == ["dataset", "dataset", "good-dataset"]
    report(ReportConfig(tmp_path / "d", tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text()
    assert "4 clips: <b>1 kept</b>" in page and page.count("<video") == 4
    assert "limit 0.5" in page, "by the limits of the run that judged, which was not the last one"


def test_reasons_of_folders_go_into_the_dataset(curated: tuple[Path, Path], tmp_path: Path) -> None:
    run_engine(dataset_files.read(str(curated[0])), (), str(tmp_path / "d"), Local(1))
    a, b = Dataset(str(tmp_path / "d")), Dataset(str(curated[1]))
    told = [[(d["name"], d["rule"], d["reason"]) for d in x.dropped] for x in (a, b)]
    assert told[0] == told[1]
    found = [verdict_of(d["extra"]) for d in a.dropped]
    assert found[1] == verdict_of(b.dropped[1]["extra"]) and found[0] is not None
    folder = tmp_path / "other"
    (folder / "records").mkdir(parents=True)
    walk_clip(0, 9).save(folder / "a.safetensors")
    (folder / "records/a.json").write_text('{"clips": 1, "reason": null}')
    (folder / "records/b.json").write_text('{"clips": 0, "reason": "it is cut short"}')
    (folder / "dropped.json").write_text('{"c": "nobody answers"}')
    assert run_engine(dataset_files.read(str(folder)), (), str(tmp_path / "e"), Local(1)) == Count(1, 2, 9)
    assert [(d["name"], d["stage"]) for d in Dataset(str(tmp_path / "e")).dropped] == [("b", "import"), ("c", "caption")]
    (folder / "dropped.json").write_text("?")
    with pytest.raises(ValueError, match="dropped.json: it should say what was dropped"):
        run_engine(dataset_files.read(str(folder)), (), str(tmp_path / "f"), Local(1))


def test_report_judges_a_dataset_that_was_not_curated(tmp_path: Path) -> None:
    pytest.importorskip("scenedetect")
    _, dataset = both(tmp_path, good_and_bad())
    report(ReportConfig(dataset, tmp_path / "page.html", LIMITS, samples=0))
    assert "4 clips: <b>3 kept</b>" in (tmp_path / "page.html").read_text()


def test_without_a_library_nothing_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, dataset = both(tmp_path, {"a": walk_clip(1, 12, (32, 32))})
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ValueError, match=r"install .\.\[curate\]"):
        curate(CurateConfig(dataset, tmp_path / "good", LIMITS, processes=1))
    assert not (tmp_path / "good/meta").exists()


def test_a_verdict_is_read_as_it_was_written() -> None:
    pytest.importorskip("scenedetect")
    verdict = judge(good_and_bad()["c-still"], LIMITS)
    assert verdict.reasons and verdict_of(words_of(verdict)) == verdict
    assert verdict_of({}) is None and verdict_of({**words_of(verdict), "measures": "?"}) is None
    assert verdict_of(words_of(ClipVerdict({}, {}, None, "x"))) == ClipVerdict({}, {}, None, "x")


def test_caption_tells_the_same_of_both_and_copies_pictures(server: Server, tmp_path: Path) -> None:
    clips = {f"w{i}": replace(walk_clip(i, 9), caption="It has one." if i == 1 else "", style="", scene="") for i in range(3)}
    folder, dataset = both(tmp_path, clips)
    told = [
        caption(CaptionConfig(p, tmp_path / f"told-{p.name}", replace(server.endpoint, frames=2), at_once=1))
        for p in (folder, dataset)
    ]
    assert told[0] == told[1] == {"clips": 3, "dropped": 0}
    a, b = (dataset_files.read(str(tmp_path / f"told-{p.name}")) for p in (folder, dataset))
    assert [same_words(a.clip(i), b.clip(i)) for i in range(3)] == [True] * 3
    assert b.row(0).caption.startswith("Style: Photorealistic.") and b.row(0).story is not None
    assert b.row(1).caption == "It has one."
    assert [b.encoded(i) for i in range(3)] == [Dataset(str(dataset)).encoded(i) for i in range(3)]
    assert len(server.asked) == 4


def test_where_nobody_answers_no_clip_is_dropped(server: Server, tmp_path: Path) -> None:
    folder, dataset = both(tmp_path, {f"w{i}": replace(walk_clip(i, 9), caption="") for i in range(3)})
    away = replace(server.endpoint, address="http://127.0.0.1:9/v1", tries=1)
    for place in (folder, dataset):
        out = tmp_path / f"told-{place.name}"
        with pytest.raises(ValueError, match=r"no usable answer from http://127.0.0.1:9/v1 in 1 tries"):
            caption(CaptionConfig(place, out, away, at_once=1))
        server.answers, server.asked = [(404, b"no such model")], []
        with pytest.raises(ValueError, match=r"refuses \(HTTP 404"):
            caption(CaptionConfig(place, out, replace(away, address=server.endpoint.address), at_once=1))
        server.answers, server.asked = Server().answers, []
        cfg = CaptionConfig(place, out, replace(server.endpoint, tries=1), at_once=1)
        assert caption(cfg) == {"clips": 3, "dropped": 0}, "another address goes on with the same run"
    server.answers, server.asked = [(422, b"too large")], []
    assert caption(replace(cfg, out=tmp_path / "other")) == {"clips": 0, "dropped": 3}  # pyright: ignore[reportPossiblyUnboundVariable]
    assert "HTTP 422" in Dataset(str(tmp_path / "other")).dropped[0]["reason"]


def test_proof_and_sheet_read_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    for place in both(tmp_path, {f"w{i}": replace(walk_clip(i, 17), extra={"subset": "walks"}) for i in range(2)}):
        main(["data", "proof", "--clips", str(place)])
        said.append(capsys.readouterr().out)
        main(["data", "sheet", "--clips", str(place), "--out", str(tmp_path / f"{place.name}.png")])
    assert said[0] == said[1] and "walks" in said[0]
    a, b = (np.asarray(Image.open(tmp_path / f"{n}.png")) for n in ("folder", "dataset"))
    assert (a == b).all() and a.std() > 10
    with pytest.raises(SystemExit):
        main(["data", "proof", "--clips", str(tmp_path / "nothing")])
    assert "there is no such folder" in capsys.readouterr().err


@dataclass(frozen=True)
class Reels:
    """A source of shots: shot i has i clips; ``broken`` ends badly after its first."""

    count: int
    broken: int | None = None

    @property
    def names(self) -> list[str]:
        return [f"reel{i}" for i in range(self.count)]

    def clips(self, i: int) -> Iterator[Clip]:
        for k in range(i):
            if k and i == self.broken:
                raise ValueError("it is cut short")
            yield walk_clip(10 * i + k, 9)


def test_a_shot_gives_several_clips_or_none(tmp_path: Path) -> None:
    assert run_engine(Reels(4, 2), (NotEvery(31),), str(tmp_path / "d"), Local(1)) == Count(3, 3, 27)
    got = Dataset(str(tmp_path / "d"))
    assert got.names == ["reel1", "reel3", "reel3-2"] and [got.row(i).seed for i in range(3)] == [10, 30, 32]
    assert [(d["name"], d["stage"], d["reason"]) for d in got.dropped] == [
        ("reel0", "Reels", "it gave no clip"),
        ("reel2", "Reels", "it is cut short"),
        ("reel3-1", "NotEvery", "seed 31 is a multiple of 31"),
    ]
    assert run_engine(Reels(4, 2), (NotEvery(31),), str(tmp_path / "d"), Local(1)) == Count(3, 3, 27), "it is there already"


def test_what_a_killed_run_left_of_a_shot_is_not_taken_for_the_whole(tmp_path: Path) -> None:
    """The clips of a shot are written last to first; where the first is missing, the shot is made again."""
    from dreamx.data.engine import run_engine as engine

    run_engine(Reels(4), (), str(tmp_path / "whole"), Local(1))
    real, written = dataset_files.Storage.write, list[str]()

    def dies(self: dataset_files.Storage, name: str, data: bytes) -> None:
        if name.startswith(".parts/00000003"):
            written.append(name)
            if len(written) == 3:
                raise KeyboardInterrupt
        real(self, name, data)

    assert engine is run_engine
    with pytest.MonkeyPatch.context() as m:
        m.setattr(dataset_files.Storage, "write", dies)
        with pytest.raises(KeyboardInterrupt):
            run_engine(Reels(4), (), str(tmp_path / "d"), Local(1))
    assert written == [".parts/00000003-2.part", ".parts/00000003-1.part", ".parts/00000003.3.part"]
    run_engine(Reels(4), (), str(tmp_path / "d"), Local(1))
    assert prints(tmp_path / "d") == prints(tmp_path / "whole")


def test_once_keeps_the_first_that_stays(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Named:
        names: tuple[str, ...] = ("a", "b", "c", "d")

        def clip(self, i: int) -> Clip:
            return replace(walk_clip(i, 9), extra={"word": "x"} if i in (0, 1, 3) else {})

    @dataclass(frozen=True)
    class NotFirst:
        def __call__(self, clip: Clip) -> Clip | Drop:
            return Drop("the first") if clip.seed == 0 else clip

    run_engine(Named(), (NotFirst(),), str(tmp_path / "d"), Local(1), once="word")
    got = Dataset(str(tmp_path / "d"))
    assert got.names == ["b", "c"]
    assert [(d["name"], d["rule"], d["reason"]) for d in got.dropped] == [
        ("a", "", "the first"),
        ("d", "duplicate", "it is the same video as b"),
    ]


def test_a_folder_and_a_dataset_are_not_mixed(tmp_path: Path) -> None:
    folder, dataset = both(tmp_path, {"a": walk_clip(0, 9)})
    cases = (
        lambda: curate(CurateConfig(folder, dataset)),
        lambda: curate(CurateConfig(dataset, folder)),
        lambda: caption(CaptionConfig(folder, dataset)),
        lambda: caption(CaptionConfig(dataset, folder)),
        lambda: Into(True).run(Reels(2), folder, 1),
    )
    for case, said in zip(cases, ("is a dataset", "is a folder of clips") * 2 + ("is a folder of clips",), strict=True):
        with pytest.raises(ValueError, match=f"out: .* {said}"):
            case()
    with pytest.raises(ValueError, match="add --dataset"):
        Into(engine="ray")
    with pytest.raises(ValueError, match="patience"):
        Into(True, patience=0)
