"""The truth beside the dream: what the simulator shows from the same cameras, on a thread of its own that holds nobody up."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Full, Queue
from threading import Event, Thread, get_native_id

from torch import Tensor

from dreamx.geometry.camera import Camera
from dreamx.play.codec import jpeg
from dreamx.play.server_messages import FrameKind, Picture

#: Cameras ``[n]`` of a session -> the true pictures, uint8 ``[n, 3, H, W]``.
Truth = Callable[[Camera], Tensor]


class GroundTruthStream:
    """Renders on its thread, what it was asked for last; where it cannot keep up, it leaves chunks out.

    ``make`` is called on that thread too, because a renderer belongs to the thread that made it; None: there is no truth here.
    """

    def __init__(self, make: Callable[[], Truth | None], emit: Callable[[Picture], None], quality: int) -> None:
        self._make, self._emit, self._quality = make, emit, quality
        self._asked: Queue[tuple[int, int, Camera] | None] = Queue(2)
        self._ready = Event()
        self._has = self._closed = False
        self._began = time.monotonic()
        self._thread = Thread(target=self._run, name="_truth", daemon=True)
        self._thread.start()

    def has(self) -> bool:
        """Whether there is a truth; waits until that is known."""
        self._ready.wait()
        return self._has

    def ask(self, chunk: int, frame: int, path: Camera) -> None:
        """The truth, please, of the frames from this one on, seen along the path. Never waits."""
        if self._has:
            with suppress(Full):
                self._asked.put_nowait((chunk, frame, path))

    def close(self, wait: float) -> None:
        """End the thread after what it renders now."""
        self._closed = True
        with suppress(Full):
            self._asked.put_nowait(None)
        self._thread.join(wait)

    def _run(self) -> None:
        with suppress(AttributeError, OSError):  # where the system lets one thread be less urgent than the others
            os.setpriority(os.PRIO_PROCESS, get_native_id(), 10)
        truth: Truth | None = None
        try:
            truth = self._make()
            self._has = truth is not None
        except Exception:
            self._has = False  # a scene that cannot be built is no reason not to dream
        self._ready.set()
        while truth is not None and not self._closed and (asked := self._asked.get()) is not None:
            chunk, frame, path = asked
            try:
                pictures = truth(path)
            except Exception:
                return
            for i, picture in enumerate(pictures):
                now = time.monotonic() - self._began
                data = jpeg(picture, self._quality)
                self._emit(Picture(kind=FrameKind.TRUTH, frame=frame + i, chunk=chunk, seq=0, time=now, data=data))
