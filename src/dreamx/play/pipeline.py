"""Keys in, JPEG frames out: one world on three threads.

    dream   samples the keys as late as possible (pace.py) and denoises a chunk
    show    decodes it, while the next chunk is already being denoised
    encode  makes JPEGs of it, while the next one is already being decoded

Each stage has one chunk in hand, and a chunk is begun only when the one before it is being shown: a slow stage holds up those
before it, and keys are never older than they must be. What comes out is given to
``emit``, which is called from these threads and must not block. The pipeline knows no sockets.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import Queue
from threading import Condition, Thread

from PIL import Image
from torch import Tensor

from dreamx.geometry.controls import from_keys
from dreamx.play.hands import Hands
from dreamx.play.pace import Pace
from dreamx.play.replies import Error, Made, Moment, Picture, Started, State
from dreamx.session import Switches
from dreamx.world import Dream, World


@dataclass(frozen=True)
class Opening:
    """How a world begins: from an image ``[3, H, W]`` uint8 or None, and words. ``note`` is for the player to read."""

    image: Tensor | None
    prompt: str
    seed: int
    note: str = ""


@dataclass
class _Chunk:
    number: int
    held: str
    seq: int
    made: Dream | Tensor | None  # a dream; then its frames [n, 3, H, W] uint8; None when decoding failed
    dream_ms: float
    show_ms: float = 0.0


class Pipeline:
    """One running world. Make it, call ``begin``; ``close`` ends its threads. All methods may be called from any thread."""

    def __init__(
        self, world: World, opening: Opening, emit: Callable[[Started | Made | State | Error | Picture], None], quality: int
    ) -> None:
        self._world = world
        self._opening = opening
        self._emit = emit
        self._quality = quality
        self._began = time.monotonic()
        self._frame = 0  # frames sent; only the encoder touches it
        # What the player asked for; the condition guards it, and the dreamer waits on it.
        self._changed = Condition()
        self._hands = Hands()
        self._pace = Pace(world.fps)
        self._event: str | None = None
        self._wish: str | None = None  # save or restore
        self._paused = False
        self._closed = False
        self._saved: World | None = None
        self._dreamt: Queue[_Chunk | None] = Queue(1)
        self._shown: Queue[_Chunk | None] = Queue(1)
        self._threads = [Thread(target=f, name=f.__name__, daemon=True) for f in (self._dream, self._show, self._encode)]

    def begin(self) -> None:
        """Start the threads; the first thing emitted is ``Started``, or an ``Error``."""
        for thread in self._threads:
            thread.start()

    def close(self, wait: float = 10.0) -> None:
        """Stop after the step that is running, and wait for it for so many seconds."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(wait)

    @property
    def over(self) -> bool:
        """Whether the world stopped, because it was closed or because a step failed."""
        return self._closed

    def hold(self, held: str, seq: int) -> None:
        """From now on exactly these keys are held."""
        with self._changed:
            self._hands.hold(held, seq)

    def event(self, text: str) -> None:
        """Let this happen, from the next chunk on."""
        with self._changed:
            self._event = text

    def shown(self, frame: int, spare: float | None) -> None:
        """The page painted a frame; ``spare`` in seconds, see pace.py."""
        with self._changed:
            self._pace.shown(frame, spare)
            self._changed.notify()

    def pause(self, paused: bool) -> None:
        """Stand still, or go on. Keys that were tapped meanwhile count when it goes on."""
        with self._changed:
            self._paused = paused
            self._changed.notify()
        self._tell_state()

    def wish(self, what: str) -> None:
        """``save`` this moment, or ``restore`` the saved one, before the next chunk."""
        with self._changed:
            self._wish = what
            self._changed.notify()

    # ---- the three stages ----------------------------------------------------------------------------------------------

    def _dream(self) -> None:
        try:
            started = time.perf_counter()
            opening = self._opening
            frames = self._world.reset(opening.image, opening.prompt, opening.seed)
            with self._changed:
                self._pace.began(len(frames))
            self._emit(Started(session="", seed=opening.seed, prompt=opening.prompt, note=opening.note, truth=False))
            self._dreamt.put(_Chunk(0, "", 0, frames, _since(started)))
            number = 1
            while self._turn():
                self._dreamt.put(self._step(number))
                number += 1
        except ValueError as e:
            self._fail(str(e))
        except Exception as e:
            self._fail(f"the world stopped in the middle of a step ({type(e).__name__}: {e}); start again")
        finally:
            self._dreamt.put(None)

    def _turn(self) -> bool:
        """Wait until the next chunk must begin; False when there is to be none."""
        while True:
            with self._changed:
                while not self._closed and self._wish is None:
                    # A dream that waited to be shown would only have listened to the keys too early.
                    hold = self._paused or not self._dreamt.empty()
                    wait = float("inf") if hold else self._pace.wait()
                    if wait == 0:
                        return True
                    self._changed.wait(None if wait == float("inf") else wait)
                if self._closed:
                    return False
                wish, self._wish = self._wish, None
            self._grant(wish)

    def _grant(self, wish: str | None) -> None:
        self._dreamt.join()  # a world is whole only when all that was dreamt is decoded
        if wish == "save":
            self._saved = self._world.fork()
        elif self._saved is None:
            self._emit(Error(text="there is no saved moment to go back to; save one first"))
        else:
            self._world = self._saved.fork()
        self._tell_state()

    def _step(self, number: int) -> _Chunk:
        with self._changed:
            held, seq = self._hands.sample(), self._hands.seq
            event, self._event = self._event, None
            due = self._world.due
            self._pace.began(due)
        controls = from_keys([held] * due, self._world.config.speed)
        started = time.perf_counter()
        try:
            dream = self._world.dream(controls, event)
        except ValueError as e:
            if event is None:
                raise
            self._emit(Error(text=str(e)))
            dream = self._world.dream(controls)
        return _Chunk(number, held, seq, dream, dream_ms=_since(started))

    def _show(self) -> None:
        while (chunk := self._dreamt.get()) is not None:
            with self._changed:
                self._changed.notify()
            started = time.perf_counter()
            try:
                if isinstance(chunk.made, Dream):
                    chunk.made = None if self._closed else self._world.show(chunk.made)
            except Exception as e:
                chunk.made = None
                self._fail(f"the world could not decode its frames ({type(e).__name__}: {e}); start again")
            self._dreamt.task_done()
            chunk.show_ms = _since(started)
            self._shown.put(chunk)
        self._dreamt.task_done()
        self._shown.put(None)

    def _encode(self) -> None:
        while (chunk := self._shown.get()) is not None:
            if not isinstance(chunk.made, Tensor) or self._closed:
                continue
            try:
                self._send(chunk, chunk.made)
            except Exception as e:
                self._fail(f"the frames could not be encoded ({type(e).__name__}: {e}); start again")

    def _send(self, chunk: _Chunk, frames: Tensor) -> None:
        started = time.perf_counter()
        jpegs = [jpeg(x, self._quality) for x in frames]
        self._emit(
            Made(
                chunk=chunk.number,
                frames=len(jpegs),
                held=chunk.held,
                dream_ms=round(chunk.dream_ms, 1),
                show_ms=round(chunk.show_ms, 1),
                encode_ms=round(_since(started), 1),
                pose=(0.0, 0.0, 0.0, 0.0),
                recalled=[],
            )
        )
        for data in jpegs:
            now = time.monotonic() - self._began
            self._emit(Picture(frame=self._frame, chunk=chunk.number, seq=chunk.seq, time=now, data=data))
            self._frame += 1

    # ---- words ---------------------------------------------------------------------------------------------------------

    def _tell_state(self) -> None:
        moments = [] if self._saved is None else [Moment(id="saved", chunk=0, seconds=0.0)]
        state = State(paused=self._paused, moments=moments, switches=Switches(), recording=False, rewindable=0.0, replaying=False)
        self._emit(state)

    def _fail(self, sentence: str) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._emit(Error(text=sentence, over=True))


def jpeg(image: Tensor, quality: int) -> bytes:
    """A uint8 picture ``[3, H, W]`` as JPEG. Colour is kept at full resolution: at 64 pixels one sees it halved."""
    out = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).contiguous().cpu().numpy()).save(out, "JPEG", quality=quality, subsampling=0)
    return out.getvalue()


def _since(start: float) -> float:
    return (time.perf_counter() - start) * 1000
