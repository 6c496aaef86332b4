"""The study: what pairs, what is kept, what it says; and the page in a real browser."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import uvicorn
from fastapi.testclient import TestClient

from browser import Page, browse, needs_chromium
from dreamx.eval import video_files
from dreamx.eval.study.answers import QUESTIONS, Answer, append, read
from dreamx.eval.study.rates import alpha, rates, table
from dreamx.eval.study.study_server import StudyConfig, create_app, listen, report
from dreamx.eval.study.trials import fingerprint, left_over, pair_videos, shuffled_trials

LOCAL = "http://127.0.0.1"
NAMES = ("gate", "park", "room")


def said(*choices: str) -> dict[str, str]:
    return dict(zip(QUESTIONS, choices * (4 // len(choices)), strict=True))


def answer(person: str, trial: str, *choices: str, a_left: bool = True, study: str = "s") -> Answer:
    return Answer(study, person, trial, a_left, said(*choices), 2.5)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A is red and 12 frames long, B is blue and 16 long; one video of A is alone, and names differ by a run's hash."""
    root = tmp_path_factory.mktemp("study")
    a, b = root / "ours", root / "theirs"
    for folder, channel, frames, tail in ((a, 0, 12, "-0123456789ab"), (b, 2, 16, "-abcdefabcdef")):
        folder.mkdir()
        for name in NAMES:
            video = torch.zeros(frames, 3, 64, 64, dtype=torch.uint8)
            video[:, channel] = 200
            video_files.save_video(folder / f"{name}{tail}.mkv", video, 16.0)
    video_files.save_video(a / "alone.mkv", torch.zeros(2, 3, 64, 64, dtype=torch.uint8), 16.0)
    (a / "gate.json").write_text(json.dumps({"prompt": "a gate in the morning"}))
    (b / "park.txt").write_text("a park\n")
    return a, b


@pytest.fixture
def cfg(folders: tuple[Path, Path], tmp_path: Path) -> StudyConfig:
    return StudyConfig(*folders, answers=tmp_path / "said" / "study.jsonl")


def test_videos_of_one_name_pair_and_the_rest_is_counted(folders: tuple[Path, Path], tmp_path: Path) -> None:
    found = pair_videos(*folders)
    assert [(p.name, p.words) for p in found] == [("gate", "a gate in the morning"), ("park", "a park"), ("room", "")]
    assert left_over(*folders) == 1
    with pytest.raises(ValueError, match="holds no videos"):
        pair_videos(folders[0], tmp_path)
    video_files.save_video(tmp_path / "other.mkv", torch.zeros(2, 3, 64, 64, dtype=torch.uint8), 16.0)
    with pytest.raises(ValueError, match="equally named"):
        pair_videos(folders[0], tmp_path)
    with pytest.raises(ValueError, match="A: .* is not a folder"):
        pair_videos(tmp_path / "no", tmp_path)


def test_everybody_has_an_order_of_their_own_and_keeps_it(folders: tuple[Path, Path]) -> None:
    found = pair_videos(*folders) * 10
    ann, bob = shuffled_trials(found, "ann", 0), shuffled_trials(found, "bob", 0)
    assert ann == shuffled_trials(found, "ann", 0)
    assert ann != bob
    assert ann != shuffled_trials(found, "ann", 1)
    assert sum(s.a_left for s in ann) == sum(s.a_left for s in bob) == 15  # each side as often


def test_answers_survive_a_cut_line_and_the_last_word_counts(tmp_path: Path) -> None:
    file = tmp_path / "study.jsonl"
    append(file, answer("ann", "gate", "left"))
    with file.open("ab") as f:
        f.write(b'{"study": "s", "person": "an')  # the power goes
    assert read(file, "s").spoilt == 1
    append(file, answer("bob", "gate", "tie"))
    append(file, answer("ann", "gate", "right"))
    kept = read(file, "s")
    assert kept.spoilt == 1
    assert [(a.person, a.verdict("overall")) for a in kept.answers] == [("ann", -1), ("bob", 0)]
    with pytest.raises(ValueError, match="other videos"):
        read(file, "another")
    assert read(tmp_path / "none", "s").answers == []


@pytest.mark.parametrize(("a_left", "choice", "verdict"), [(True, "left", 1), (False, "left", -1), (False, "right", 1)])
def test_a_side_becomes_a_verdict(a_left: bool, choice: str, verdict: int) -> None:
    assert answer("ann", "gate", choice, a_left=a_left).verdict("camera") == verdict


def test_bad_answers_are_named() -> None:
    with pytest.raises(ValueError, match="said.overall must be one of left, tie, right"):
        answer("ann", "gate", "up")
    with pytest.raises(ValueError, match="person"):
        answer("", "gate", "left")
    with pytest.raises(ValueError, match="said must answer"):
        Answer("s", "ann", "gate", True, {"overall": "left"}, 1.0)


def test_rates_of_the_paper() -> None:
    """57.5, 14.4 and 28.1 % of 160 answers, as DreamX-World 1.0 found against HY-WorldPlay 1.5."""
    sides = ["left"] * 92 + ["tie"] * 23 + ["right"] * 45
    found = rates([answer("ann", str(i), side) for i, side in enumerate(sides)])
    v = found.verdicts["overall"]
    assert [round(r.percent, 1) for r in (v.win, v.tie, v.lose)] == [57.5, 14.4, 28.1]
    spread = 1.96 * (0.575 * 0.425 / 160) ** 0.5 * 100  # of a share of independent answers
    assert v.win.low == pytest.approx(57.5 - spread, abs=1)
    assert v.win.high == pytest.approx(57.5 + spread, abs=1)
    assert (found.answers, found.people, found.trials) == (160, 1, 160)
    assert v.agreement is None
    assert found.left == pytest.approx(100 * 92 / 137)
    assert "57.5 [" in table(found, "A", "B")
    with pytest.raises(ValueError, match="no answers yet"):
        rates([])


def test_answers_to_one_trial_count_as_one_when_it_comes_to_chance() -> None:
    """Ten people who all follow each other are no more certain than one."""
    one = rates([answer("ann", str(i), side) for i, side in enumerate(["left", "right"] * 10)])
    many = rates([answer(p, str(i), side) for i, side in enumerate(["left", "right"] * 10) for p in "abcdefghij"])
    wide = [r.verdicts["overall"].win.high - r.verdicts["overall"].win.low for r in (one, many)]
    assert wide[0] == pytest.approx(wide[1], rel=0.1)


def test_agreement() -> None:
    same = [answer(p, t, side) for t, side in (("x", "left"), ("y", "right"), ("z", "tie")) for p in "ab"]
    assert alpha(same, "overall") == pytest.approx(1)
    against = [answer(p, t, s) for t in "xy" for p, s in (("a", "left"), ("b", "right"))]
    # Two trials, always a win and a loss: seen 4, by chance 4 * 8 / 12.
    assert alpha(against, "overall") == pytest.approx(1 - 4 / (32 / 12))
    assert alpha([answer(p, t, "left") for t in "xy" for p in "ab"], "overall") == 1


def test_the_page_hears_nothing_that_tells_which_is_which(cfg: StudyConfig) -> None:
    with TestClient(create_app(cfg), base_url=LOCAL) as client:
        trials = client.get("/trials", params={"person": "ann"}).json()
        assert sorted(t["name"] for t in trials) == sorted(NAMES)
        text = json.dumps(trials)
        assert "ours" not in text and "theirs" not in text and "a_left" not in text
        shown = {s.pair.name: s.a_left for s in shuffled_trials(pair_videos(cfg.a, cfg.b), "ann", 0)}
        for t in trials:
            for side in ("left", "right"):
                video = client.get("/" + t[side])
                assert video.headers["content-type"] == "video/mp4"
                (cfg.answers.parent / "v.mp4").write_bytes(video.content)
                film = video_files.load_video(cfg.answers.parent / "v.mp4")
                assert len(film.video) == 12  # the shorter one's
                red = float(film.video[0, 0].float().mean()) > 100
                assert red == (shown[t["name"]] == (side == "left"))
        assert client.get("/video/0000000000000000").status_code == 404


def test_ranges(cfg: StudyConfig) -> None:
    with TestClient(create_app(cfg), base_url=LOCAL) as client:
        where = "/" + client.get("/trials", params={"person": "ann"}).json()[0]["left"]
        whole = client.get(where).content
        part = client.get(where, headers={"Range": "bytes=2-5"})
        assert (part.status_code, part.content) == (206, whole[2:6])
        assert part.headers["content-range"] == f"bytes 2-5/{len(whole)}"
        assert client.get(where, headers={"Range": "bytes=-3"}).content == whole[-3:]
        assert client.get(where, headers={"Range": "bytes=0-"}).content == whole
        assert client.get(where, headers={"Range": f"bytes={len(whole)}-"}).status_code == 416
        assert client.get(where, headers={"Range": "bytes=x-"}).status_code == 416


def test_answers_are_kept_and_found_again(cfg: StudyConfig) -> None:
    with TestClient(create_app(cfg), base_url=LOCAL) as client:
        body = {"person": "ann", "trial": "gate", "said": said("left"), "seconds": 3.0}
        assert client.post("/answers", json=body).json() == {"kept": True}
        for wrong in ({"trial": "no"}, {"said": {"overall": "left"}}, {"person": ""}, {"seconds": -1}):
            assert client.post("/answers", json=body | wrong).status_code == 400
        assert client.get("/trials", params={"person": ""}).status_code == 400
    with TestClient(create_app(cfg), base_url=LOCAL) as client:  # the server starts again
        before = {t["name"]: t["said"] for t in client.get("/trials", params={"person": "ann"}).json()}
        assert before == {"gate": said("left"), "park": None, "room": None}
        assert all(t["said"] is None for t in client.get("/trials", params={"person": "bob"}).json())
    assert "1 answers, 1 people, 1 trials" in report(cfg)
    assert read(cfg.answers, fingerprint(pair_videos(cfg.a, cfg.b))).answers[0].a_left == {
        s.pair.name: s.a_left for s in shuffled_trials(pair_videos(cfg.a, cfg.b), "ann", 0)
    }["gate"]  # fmt: skip


def test_a_page_of_another_name_gets_nothing(cfg: StudyConfig) -> None:
    with TestClient(create_app(cfg), base_url="http://rebound.example") as client:
        assert client.get("/trials", params={"person": "ann"}).status_code == 421


def test_what_is_sent_is_bounded_and_not_sent_back(cfg: StudyConfig) -> None:
    good = {"person": "ann", "trial": "gate", "said": said("left"), "seconds": 2.5}
    with TestClient(create_app(cfg), base_url=LOCAL) as client:
        assert client.post("/answers", json=good).status_code == 200
        kept = cfg.answers.read_bytes()
        assert client.post("/answers", json=good | {"trial": "q" * 2**15}).status_code == 413
        for wrong in ({"trial": "q" * 9000}, {"person": "q" * 9000}, {"said": {"q" * 9000: "left"}}, {"seconds": "q" * 9000}):
            answer = client.post("/answers", json=good | wrong)
            assert answer.status_code in (400, 422)
            assert answer.text.count("q") <= 200
        many = client.post("/answers", json=good | {"said": dict.fromkeys(map(str, range(900)), 1)})
        assert many.status_code == 422
        assert len(many.text) < 600
        assert (
            client.post("/answers", content=b'{"person": "\xff"}', headers={"Content-Type": "application/json"}).status_code < 500
        )
        policy = client.get("/").headers["content-security-policy"]
    assert cfg.answers.read_bytes() == kept
    assert "frame-ancestors 'self'" in policy and "img-src 'self' data:" in policy


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browse(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def door(cfg: StudyConfig) -> Iterator[str]:
    """A running server's address."""
    listener = listen(0)
    server = uvicorn.Server(uvicorn.Config(create_app(cfg), log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    server.should_exit = True
    thread.join()


def begin(page: Page, door: str, person: str, width: int = 1280, height: int = 860, mobile: bool = False) -> None:
    page.complaints.clear()
    page.open(door, width, height, mobile)
    page.js(f"document.getElementById('person').value = {json.dumps(person)}")
    page.js("document.querySelector('#enter button').click()")
    page.until("!document.getElementById('trial').hidden || !document.getElementById('end').hidden")


def choose(page: Page, choice: str) -> None:
    page.js(f"document.querySelectorAll('[data-choice={choice}]').forEach(b => b.click())")


@needs_chromium
def test_a_person_answers_goes_away_and_comes_back(cfg: StudyConfig, door: str, tab: Page) -> None:
    begin(tab, door, "ann")
    tab.until("left.readyState >= 2 && right.readyState >= 2 && left.duration === right.duration")
    assert tab.js("next.disabled")
    tab.js("document.querySelector('[data-question=camera][data-choice=left]').click()")
    assert tab.js("next.disabled")  # three questions are open
    choose(tab, "right")
    tab.click("next")
    tab.until("study.at === 1 && !study.sending")
    first = tab.js("study.trials[0].name")
    kept = read(cfg.answers, fingerprint(pair_videos(cfg.a, cfg.b))).answers
    assert [(a.person, a.trial, a.said) for a in kept] == [("ann", first, said("right"))]
    assert kept[0].a_left == shuffled_trials(pair_videos(cfg.a, cfg.b), "ann", 0)[0].a_left

    begin(tab, door, "ann")  # the page is loaded again
    assert tab.js("study.at") == 1
    assert tab.text("count") == "1 of 3"
    tab.click("back")
    assert tab.js("document.querySelectorAll('[aria-checked=true][data-choice=right]').length") == 4
    tab.click("next")  # as it was; and on to what is open
    tab.until("study.at === 1 && !study.sending")
    for at in (1, 2):
        tab.until(f"study.at === {at} && !study.sending")
        choose(tab, "tie")
        tab.click("next")
    tab.until("!document.getElementById('end').hidden")
    assert tab.text("all") == "3"
    assert tab.complaints == []
    assert len(read(cfg.answers, fingerprint(pair_videos(cfg.a, cfg.b))).answers) == 3


@needs_chromium
def test_an_answer_that_could_not_be_kept_is_said_and_stays_on_the_page(cfg: StudyConfig, door: str, tab: Page) -> None:
    begin(tab, door, "bob")
    choose(tab, "left")
    tab.js("window.real = window.fetch; window.fetch = () => Promise.reject(new Error('no network'))")
    tab.click("next")
    tab.until("!trouble.hidden")
    assert "not kept: no network" in tab.text("trouble")
    assert tab.js("study.at") == 0
    tab.js("window.fetch = window.real")
    tab.click("next")
    tab.until("study.at === 1")
    assert len(read(cfg.answers, fingerprint(pair_videos(cfg.a, cfg.b))).answers) == 1


@needs_chromium
def test_it_fits_on_a_phone(door: str, tab: Page, tmp_path: Path) -> None:
    begin(tab, door, "eve", 390, 844, mobile=True)
    assert tab.js("document.documentElement.scrollWidth") <= 390
    small = tab.js(
        "[...document.querySelectorAll('#ask button, nav button')].filter(b => b.getBoundingClientRect().height < 40).length"
    )
    assert small == 0
    assert tab.js("next.getBoundingClientRect().bottom <= innerHeight")
    boxes = tab.js("[left, right].map(v => v.getBoundingClientRect()).map(b => [b.top, b.width, b.height])")
    assert boxes[0] == boxes[1]  # side by side and of one size
