"""``dreamx eval study A B``: the page that shows them, blind, and keeps what is said. For this machine alone: forward its port.

Addresses of videos are random numbers, so that neither they nor anything else on the page tells which is which.
"""

from __future__ import annotations

import signal
import socket as sockets
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from secrets import token_hex
from threading import Lock
from typing import Annotated

import tyro
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.staticfiles import StaticFiles

from dreamx.bounds import InputFolder, OutputFile, Port, Seed
from dreamx.eval import video_files
from dreamx.eval.study.answers import CHOICES, QUESTIONS, Answer, append, read
from dreamx.eval.study.rates import rates, table
from dreamx.eval.study.trials import VideoPair, fingerprint, left_over, pair_videos, shuffled_trials
from dreamx.interrupt import hang_up_as_term
from dreamx.plaintext import brief
from dreamx.web.body_limits import BodyLimit, answer_briefly
from dreamx.web.connections import Connections
from dreamx.web.headers import SecurityHeaders
from dreamx.web.hosts import Hosts
from dreamx.web.uvicorn_protocols import server_for

_STATIC = Path(__file__).parent / "static"
_KEPT = 64  # videos in memory, as the browser gets them
_FPS = 16.0  # of a video whose file says nothing
_BODY = 2**14  # bytes of an answer


@dataclass(frozen=True)
class StudyConfig:
    """Ask people which of two sets of videos is better."""

    a: Annotated[InputFolder, tyro.conf.Positional]
    """Folder of videos, as an evaluation run makes them (films/NAME) or anybody else."""
    b: Annotated[InputFolder, tyro.conf.Positional]
    """Folder with the other's videos of the same names."""
    answers: OutputFile = Path("runs/eval/study.jsonl")
    """What people say is added to this file; a study goes on where its file ends."""
    port: Port = 8810
    """Port to listen on; a free one is taken where this one is not free."""
    seed: Seed = 0
    """Of orders and sides."""
    rates: bool = False
    """Print what the answers say, and end."""

    def __post_init__(self) -> None:
        if not 0 <= self.port < 2**16:
            raise ValueError(f"port is {self.port}; choose 0 to 65535")


@dataclass(frozen=True)
class StudyTrial:
    """A trial as the page gets it. ``left``, ``right``: addresses of videos. ``said``: an earlier answer, by question."""

    name: str
    words: str
    left: str
    right: str
    said: dict[str, str] | None


@dataclass(frozen=True)
class StudyAnswer:
    """An answer as the page sends it."""

    person: str
    trial: str
    said: dict[str, str]
    seconds: float


def create_app(cfg: StudyConfig) -> FastAPI:
    """The page and its questions. ValueError when the folders do not pair, or the answers are to other videos."""
    found = pair_videos(cfg.a, cfg.b)
    study = fingerprint(found)
    kept = read(cfg.answers, study)
    if kept.spoilt and not kept.answers and cfg.answers.read_bytes().endswith(b"\n"):
        raise ValueError(f"answers: {cfg.answers} is there already and holds no answers; give another file")
    cfg.answers.parent.mkdir(parents=True, exist_ok=True)
    where = {(pair.name, side): token_hex(8) for pair in found for side in "ab"}
    what: dict[str, tuple[VideoPair, str]] = {where[p.name, side]: (p, side) for p in found for side in "ab"}
    lock = Lock()
    app = FastAPI(title="dreamx study", redoc_url=None, docs_url=None, openapi_url=None)
    answer_briefly(app)
    app.add_middleware(BodyLimit, most=_BODY)
    # A page of another name could else read and answer through the browser of whoever visits it.
    app.add_middleware(Hosts)
    app.add_middleware(SecurityHeaders, media=("img-src 'self' data:",))

    @app.get("/trials")
    def trials(person: str) -> list[StudyTrial]:
        """All trials in this person's order, with what they said before."""
        if not 1 <= len(person) <= 64:
            raise HTTPException(400, "person must be a name of 1 to 64 letters")
        before = {a.trial: a for a in read(cfg.answers, study).answers if a.person == person}
        shown = shuffled_trials(found, person, cfg.seed)
        return [
            StudyTrial(
                name=s.pair.name,
                words=s.pair.words,
                left=f"video/{where[s.pair.name, 'a' if s.a_left else 'b']}",
                right=f"video/{where[s.pair.name, 'b' if s.a_left else 'a']}",
                said=before[s.pair.name].said if s.pair.name in before else None,
            )
            for s in shown
        ]

    @app.get("/questions")
    def questions() -> dict[str, tuple[str, ...]]:
        """Return the questions and the choices."""
        return {"questions": QUESTIONS, "choices": CHOICES}

    @app.post("/answers")
    def answer(said: StudyAnswer) -> dict[str, bool]:
        """Keep an answer: it is on the disk when this returns."""
        shown = {s.pair.name: s for s in shuffled_trials(found, said.person, cfg.seed)}
        if said.trial not in shown:
            raise HTTPException(400, f"there is no trial {brief(said.trial)}")
        try:
            kept = Answer(study, said.person, said.trial, shown[said.trial].a_left, said.said, said.seconds)
        except ValueError as e:
            raise HTTPException(400, str(e)) from None
        with lock:
            append(cfg.answers, kept)
        return {"kept": True}

    @lru_cache(_KEPT)
    def movie(name: str, side: str) -> bytes:
        pair = next(p for p in found if p.name == name)
        both = [video_files.load_video(pair.a), video_files.load_video(pair.b)]
        if both[0].fps != both[1].fps:  # of which one may have a variable rate, which the other's can be given
            both = [video_files.load_video(pair.a, both[1].fps), video_files.load_video(pair.b, both[0].fps)]
        frames = min(len(f.video) for f in both)  # the same playback: neither is longer, neither is faster
        fps = next((f.fps for f in both if f.fps > 0), _FPS)
        return video_files.encode_small(both["ab".index(side)].video[:frames], fps)

    @app.get("/video/{key}")
    def video(key: str, request: Request) -> Response:
        """An mp4 by its random address; parts of it where a browser asks for a range, which Safari insists on."""
        if key not in what:
            raise HTTPException(404, "there is no such video; load the page again")
        pair, side = what[key]
        try:
            data = movie(pair.name, side)
        except ValueError as e:
            raise HTTPException(422, f"{pair.name}: {e}") from None
        return _part(data, request.headers.get("range"))

    app.mount("/", StaticFiles(directory=_STATIC, html=True))
    return app


def _part(data: bytes, wanted: str | None) -> Response:
    """The whole, or the bytes that ``Range: bytes=first-last`` asks for."""
    headers = {"Accept-Ranges": "bytes"}
    first, last = 0, len(data) - 1
    if wanted is None or not wanted.startswith("bytes=") or "," in wanted:
        return Response(data, media_type="video/mp4", headers=headers)
    start, _, end = wanted.removeprefix("bytes=").partition("-")
    try:
        if start:
            first, last = int(start), min(int(end), last) if end else last
        else:
            first = max(0, len(data) - int(end))
    except ValueError:
        first = len(data)
    if not 0 <= first <= last:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
    return Response(data[first : last + 1], 206, headers, "video/mp4")


def listen(port: int) -> sockets.socket:
    """A socket of this machine alone, on the port or on a free one where it is taken."""
    for attempt in (port, 0):
        listener = sockets.socket(sockets.AF_INET, sockets.SOCK_STREAM)
        listener.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", attempt))
            listener.listen(64)
            return listener
        except OSError as e:
            listener.close()
            if attempt == 0:
                raise ValueError(f"cannot listen on 127.0.0.1: {e.strerror}") from e
    raise AssertionError("unreachable")


def report(cfg: StudyConfig) -> str:
    """The table of what was said so far. ValueError without answers."""
    kept = read(cfg.answers, fingerprint(pair_videos(cfg.a, cfg.b)))
    words = table(rates(kept.answers), cfg.a.name, cfg.b.name)
    return words + (f"\n{kept.spoilt} lines of {cfg.answers} could not be read and do not count" if kept.spoilt else "")


def main(cfg: StudyConfig) -> None:
    """Serve the page until interrupted, or print the rates."""
    if cfg.rates:
        print(report(cfg))
        return
    app = create_app(cfg)
    alone = left_over(cfg.a, cfg.b)
    if alone:
        sys.stderr.write(f"{alone} videos have no partner of their name and are not shown.\n")
    listener = listen(cfg.port)
    sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    hang_up_as_term()
    with suppress(KeyboardInterrupt):
        server_for(app, Connections()).run(sockets=[listener])
