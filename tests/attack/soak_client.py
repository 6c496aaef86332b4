"""A player of the soak: does everything that a page can, knows by heart what it has saved, and looks whether it is all there."""

from __future__ import annotations

import base64
import hashlib
import io
import random
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any

import httpx
from PIL import Image

from dreamx.play.server_messages import Picture
from play_house import Player

PATIENCE = 120.0  # seconds without a word after which a client gives up
KNOWN = 3  # sessions that a client comes back to
#: How often a client does what, in its visits.
WALKS = {
    "walk": 8, "turn": 8, "save": 3, "fork": 3, "switch": 2, "rewind": 1, "pause": 1, "event": 1, "record": 1, "bad start": 1,
    "ask by HTTP": 1,
}  # fmt: skip
BEGINS = {"start": 3, "picture": 2, "replay": 2, "resume": 6}


class Lost(Exception):
    """Something that was saved is not as it was."""


@dataclass
class Known:
    """What a client knows of one of its sessions: ``moments`` by id, as they looked; ``frames``: how far it had walked."""

    seed: int
    prompt: str
    frames: int = 1
    moments: dict[str, tuple[str, int]] = field(default_factory=dict)


def looks(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


class Client:
    """A player on a thread of its own until ``stop``. ``done``: how often it did what. ``lost``: what it misses."""

    def __init__(self, url: str, number: int, stop: Event) -> None:
        self.done: Counter[str] = Counter()
        self.lost: list[str] = []
        self.sessions: dict[str, Known] = {}
        self.videos: list[str] = []
        self._rng = random.Random(number)
        self._http = httpx.Client(base_url=url, timeout=PATIENCE, cookies={"dreamx_visitor": f"client-{number:0>24}"})
        self._port, self._stop = int(url.rsplit(":", 1)[1]), stop
        self.cookie = {"Cookie": f"dreamx_visitor=client-{number:0>24}"}
        self._starts = [s["id"] for s in self._http.get("/api/world").json()["starts"]]
        self._codec = ("jpeg", "h264")[number % 4 == 3]  # moments are compared by their pictures, and videos are not exact
        self._seq = 0
        self._here = ""
        self._replay: dict[str, Any] | None = None
        # Everything once, each client from another on; then by chance.
        self._first = {id(x): [*list(x)[number % len(x) :], *list(x)[: number % len(x)]] for x in (WALKS, BEGINS)}
        self.thread = Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set() and len(self.lost) < 5:
            try:
                with Player(self._port, headers=self.cookie) as player:
                    self.visit(player)
            except Lost as e:
                self.lost.append(str(e))
            except Exception as e:
                self.lost.append(f"{type(e).__name__}: {e}")

    # ---- a visit -------------------------------------------------------------------------------------------------------

    def visit(self, player: Player) -> None:
        """From the door to the door."""
        self.done["visit"] += 1
        until = time.monotonic() + self._rng.uniform(5, 40)
        while time.monotonic() < until and not self._stop.is_set():
            self._begin(player)
            for _ in range(self._rng.randrange(2, 12)):
                if self._stop.is_set():
                    break
                self._act(player, self._choose(WALKS))
        if self._rng.random() < 0.5:
            self.done["leave without goodbye"] += 1
            player.socket.socket.shutdown(socket.SHUT_RDWR)
        else:
            player.socket.close()
            self.done["leave"] += 1

    def _choose(self, weights: dict[str, int]) -> str:
        if first := self._first[id(weights)]:
            return first.pop(0)
        return self._rng.choices(list(weights), list(weights.values()))[0]

    def _begin(self, player: Player) -> None:
        rng, seed = self._rng, self._rng.randrange(1000)
        how = self._choose(BEGINS)
        if how == "resume" and self.sessions:
            self.done["resume"] += 1
            self.resume(player, rng.choice(list(self.sessions)))
            return
        if how == "replay" and self._replay is None and self._here:
            self._walked(self._here)
        if how == "replay" and self._replay is not None:
            more: dict[str, object] = {"replay": self._replay}
        elif how == "picture":
            more = {"image": base64.b64encode(self._picture()).decode(), "seed": seed, "prompt": "a park in the evening"}
        else:
            how = "start"
            more = {"start": rng.choice(self._starts), "seed": seed}
        player.say(type="start", codec=self._codec, **more)
        self.done[how] += 1
        started = self._hear(player, "started")
        self._here = str(started["session"])
        self.sessions[self._here] = Known(started["seed"], started["prompt"])
        for old in list(self.sessions)[:-KNOWN]:
            del self.sessions[old]
        self._see(player, 4)

    def resume(self, player: Player, session: str) -> None:
        """Go on in a session, and find all of it."""
        known = self.sessions[session]
        player.say(type="resume_session", session=session, codec=self._codec)
        started = self._hear(player, "started")
        if (started["seed"], started["prompt"]) != (known.seed, known.prompt):
            raise Lost(f"session {session} was begun otherwise")
        state = self._hear(player, "state")
        if missing := set(known.moments) - {m["id"] for m in state["moments"]}:
            raise Lost(f"session {session} has lost its moments {missing}")
        self._here = session
        walked = self._walked(session)
        if walked < known.frames:
            raise Lost(f"session {session} has {walked} frames, and {known.frames} were walked")
        self._see(player, 2)
        if known.moments and not self._stop.is_set():  # or the picture that it began with would pass for the moment's
            self.go_back(player, self._rng.choice(list(known.moments)))

    def _walked(self, session: str) -> int:
        self._replay = self._http.get(f"/api/sessions/{session}/replay.json").raise_for_status().json()
        assert self._replay is not None
        return 1 + sum(step["frames"] * step.get("times", 1) for step in self._replay["steps"])

    # ---- what is done in it --------------------------------------------------------------------------------------------

    def _act(self, player: Player, what: str) -> None:
        rng = self._rng
        what = "save" if what == "fork" and not self.sessions[self._here].moments else what
        self.done[what] += 1
        match what:
            case "walk" | "turn":
                self._seq += 1
                held = "".join(rng.sample("wasd" if what == "walk" else "ijkl", rng.randrange(3)))
                look = [rng.uniform(-5, 5), rng.uniform(-1, 1)] if what == "turn" else None
                player.say(type="keys", held=held, seq=self._seq, look=look)
                self._see(player, rng.randrange(8, 30))
            case "save":
                self._save(player)
            case "fork":
                self.go_back(player, rng.choice(list(self.sessions[self._here].moments)))
            case "rewind":
                player.say(type="rewind", seconds=rng.uniform(0.5, 3))
                self._hear(player, "made", "error", has=lambda m: m.get("frames", 1) == 1)
                self.sessions[self._here].frames = 1  # at least: how far back it went is not known
            case "switch":
                player.say(type="switch", memory=rng.random() < 0.5, camera=rng.random() < 0.9)
                self._see(player, 8)
            case "pause":
                player.say(type="pause")
                player.say(type="resume")
                self._see(player, 8)
            case "event":
                player.say(type="event", text="it begins to rain")
                self._see(player, 8)
            case "bad start":
                bad: list[dict[str, object]] = [
                    {"start": "no such picture"}, {"image": "aGVsbG8="}, {"prompt": "x" * 5000}, {"replay": {"steps": [1]}},
                ]  # fmt: skip
                player.say(type="start", **rng.choice(bad))
                self._hear(player, "error")
                self._see(player, 8)
            case "ask by HTTP":
                self._http.get(f"/api/sessions/{self._here}/frame.png").raise_for_status()
                self._http.get("/metrics").raise_for_status()
            case _:
                self._record(player)

    def _save(self, player: Player) -> None:
        known = self.sessions[self._here]
        player.say(type="save")
        state = self._hear(player, "state", has=lambda m: bool({x["id"] for x in m["moments"]} - set(known.moments)))
        moment = max((m["id"] for m in state["moments"]), key=int)
        known.moments[moment] = ("", 1)
        for gone in set(known.moments) - {m["id"] for m in state["moments"]}:
            del known.moments[gone]
        self.go_back(player, moment)

    def go_back(self, player: Player, moment: str) -> None:
        """To a moment, which must look as it did when it was looked at first."""
        known = self.sessions[self._here]
        seen, frames = known.moments[moment]
        player.say(type="restore", moment=moment)
        made = self._hear(player, "made", has=lambda m: m["frames"] == 1)
        place = [round(x, 2) for x in made["pose"]]
        end = time.monotonic() + PATIENCE
        while not (isinstance(got := self._listen(player), Picture) and got.chunk == made["chunk"]):
            if time.monotonic() > end:
                raise Lost(f"session {self._here}: moment {moment} has no picture")
        now = f"{place} {looks(got.data) if self._codec == 'jpeg' else ''}"
        if seen and seen != now:
            raise Lost(f"session {self._here}: moment {moment} was {seen}, and is {now}")
        known.moments[moment] = (now, frames)
        known.frames = 1
        self._see(player, 4)

    def _record(self, player: Player) -> None:
        player.say(type="record", on=True)
        self._hear(player, "state", has=lambda said: said["recording"])
        self._see(player, 24)  # some were on their way when it began
        if self._stop.is_set():  # the last ones were not waited for: what was recorded may be nothing, and then nothing is said
            return
        player.say(type="record", on=False)
        self.videos = [*self.videos, self._hear(player, "recorded")["url"]][-KNOWN:]
        for url in self.videos:
            if len(self._http.get("/" + url).raise_for_status().content) < 500:
                raise Lost(f"{url} is empty")

    def _picture(self) -> bytes:
        out = io.BytesIO()
        size = (self._rng.randrange(64, 800), self._rng.randrange(64, 800))
        Image.effect_noise(size, 80).convert("RGB").save(out, self._rng.choice(["PNG", "JPEG", "WEBP"]))
        return out.getvalue()

    # ---- listening -----------------------------------------------------------------------------------------------------

    def _listen(self, player: Player) -> dict[str, Any] | Picture:
        got = player.listen(PATIENCE)
        player.pictures.clear()
        player.replies.clear()
        if isinstance(got, dict):
            self.done["chunks"] += got["type"] == "made"
            if got["type"] == "made" and got["frames"] > 1 and self._here in self.sessions:
                self.sessions[self._here].frames += got["frames"]
            if got["type"] in ("busy", "rested") or (got["type"] == "error" and got["over"]):
                raise RuntimeError(got["text"])
        return got

    def _hear(self, player: Player, *kinds: str, has: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            got = self._listen(player)
            if isinstance(got, dict) and got["type"] in kinds and has(got):
                return got
            if isinstance(got, dict) and got["type"] == "error" and "error" not in kinds:
                raise Lost(got["text"])
        raise Lost(f"{kinds} was not said")

    def _see(self, player: Player, frames: int) -> None:
        left, end = frames, time.monotonic() + PATIENCE
        while left > 0 and not self._stop.is_set():
            left -= isinstance(self._listen(player), Picture)
            if time.monotonic() > end:
                raise Lost(f"{left} of {frames} frames did not come")
