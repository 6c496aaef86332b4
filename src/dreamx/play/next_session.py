"""A world that is about to be walked in: it makes its first picture while the one before still runs, and may fail to."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from dreamx.play.codec import Encoder
from dreamx.play.ground_truth_stream import GroundTruthStream
from dreamx.play.pipeline import Pipeline
from dreamx.play.server_messages import Error, Picture, Reply
from dreamx.play.session_manager import SessionManager
from dreamx.play.session_spec import Session, Sinks

#: What is to be sent to a page; bounded by the pace, for the page must show frames to get more.
Outbox = asyncio.Queue[Reply | Picture]


@dataclass(frozen=True)
class NextSession:
    """``first``: what it said first, ``Started``, or an ``Error`` where it failed; the rest comes in ``outbox``."""

    pipeline: Pipeline
    first: Reply | Picture
    outbox: Outbox


async def begin(manager: SessionManager, session: Session, encode: Encoder, owner: str) -> NextSession:
    """Begin a session's world. ValueError where what it goes on from cannot be read."""
    outbox, start = Outbox(), session.opening.start
    emit = partial(_emit, asyncio.get_running_loop(), outbox)
    store, truth = manager.store, manager.truth
    world = manager.world.fork() if session.here is None else await asyncio.to_thread(session.here.world)
    sinks = Sinks(
        emit=emit,
        encode=encode,
        recorder=None if store is None else store.recorder(owner, manager.world.size, manager.world.fps),
        keep=None if store is None else partial(manager.keep, tell=lambda text: emit(Error(text=text))),
        ground_truth=None if truth is None or start is None else GroundTruthStream(truth(start), emit, manager.quality),
        keep_every=manager.keep_every,
    )
    pipeline = Pipeline(world, session, sinks)
    pipeline.begin()
    try:
        first = await outbox.get()
    except BaseException:
        await asyncio.to_thread(pipeline.close)
        raise
    if isinstance(first, Error):
        await asyncio.to_thread(pipeline.close)
    return NextSession(pipeline, first, outbox)


def _emit(loop: asyncio.AbstractEventLoop, outbox: Outbox, reply: Reply | Picture) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody listens any more
        loop.call_soon_threadsafe(outbox.put_nowait, reply)
