"""Keys in, pictures out: one world on three threads.

    dream   samples the keys as late as possible (``pacing``), denoises a chunk, and writes it into the world's past
    show    decodes it, while it is being written and the next one denoised
    encode  makes JPEGs or H.264 of it, while the next one is already being decoded

Each stage has one chunk in hand, and a chunk is begun only when the one before it is being shown (or, where the world looks at
what was shown, when it has been): a slow stage holds up those before it, and keys are never older than they must be. What comes
out is given to ``emit``, which is called from these threads and must not block. The pipeline knows no sockets.
"""

from __future__ import annotations

import time
from dataclasses import replace
from queue import Queue
from threading import Event, Thread

from torch import Tensor

from dreamx.geometry.camera import Camera
from dreamx.play.chunk import Chunk, packed_places, send, since
from dreamx.play.client_messages import Restore, Rewind
from dreamx.play.history import History, Snapshot
from dreamx.play.inputs import InputQueue, PendingCommand
from dreamx.play.server_messages import Error, Moment, Recorded, Started, State
from dreamx.play.session_spec import Session, SessionStart, Sinks
from dreamx.play.told_events import event_note, event_progress, possible_events
from dreamx.replay import controls
from dreamx.session import Switches
from dreamx.world import Dream, World

ACTIONS = 256  # kept by the world itself; the whole walk is in `History.spans`
TELL_AT = (1, 5, 10, 20, 30)  # rewindable seconds at which the page is sent a new state


class Pipeline:
    """One running world. Make it, call ``begin``; ``close`` ends its threads. All methods may be called from any thread."""

    def __init__(self, world: World, session: Session, sinks: Sinks) -> None:
        here, opening = session.here, session.opening
        self._world, self._session, self._out = world, session, sinks
        self._began = time.monotonic()
        self._chunks = self._frames = 0  # begun since then; only the thread `_dream` touches them
        self._told, self._broken = 0, False  # entries of TELL_AT that the page was sent; whether a step failed
        self._kept_at: int | None = None  # frame at which the session was kept last
        self._dreamt: Queue[Chunk | None] = Queue(1)  # one: a second waiting chunk would be older keys
        self._shown: Queue[Chunk | None] = Queue(1)  # None closes it
        self._threads = [Thread(target=f, name=f.__name__, daemon=True) for f in (self._dream, self._show, self._encode)]
        #: What was walked so far, and the newest picture ``[3, H, W]`` uint8, None before the first; to be read only.
        self.history = History(here, session.moments)
        self.picture: Tensor | None = None if here is None else here.picture
        switches, script = (opening.switches, opening.script) if here is None else (world.switches, ())
        #: Keys, events and painted frames go to this directly; what changes the state goes through the pipeline.
        self.inputs = InputQueue(replace(world.config.speed, fps=world.fps), switches, script)

    def begin(self) -> None:
        """Start the threads; the first thing emitted is ``Started``, or an ``Error``."""
        for thread in self._threads:
            thread.start()

    def close(self, wait: float = 10.0) -> bool:
        """Stop after the step that is running, keep the session, and wait for that for so many seconds: has it ended?"""
        self.inputs.close()
        if self._out.ground_truth is not None:
            self._out.ground_truth.close(wait)
        for thread in self._threads:
            if thread.is_alive():
                thread.join(wait)
        return not any(thread.is_alive() for thread in self._threads)

    @property
    def opening(self) -> SessionStart:
        """Start of the session."""
        return self._session.opening

    @property
    def over(self) -> bool:
        """Whether the world stopped, because it was closed or because a step failed."""
        return self.inputs.closed

    def pause(self, paused: bool) -> None:
        """Stand still, or go on. Keys that were tapped meanwhile count when it goes on."""
        self.inputs.pause(paused)
        self._tell_state()

    def switch(self, switches: Switches) -> None:
        """Set the switches of the model, from the next chunk on."""
        self.inputs.switch(switches)
        self._tell_state()

    def record(self, on: bool, crisp: bool = False) -> None:
        """Record what is shown (``crisp``: as squares), or stop; as slow as the disk. ValueError where there is no folder."""
        if self._out.recorder is None:
            raise ValueError("record: this server keeps no files; start it with a folder for its state")
        if on:
            self._out.recorder.start(crisp)
        self._recorded(None if on else self._out.recorder.stop())
        self._tell_state()

    # ---- dreaming ------------------------------------------------------------------------------------------------------

    def _dream(self) -> None:
        try:
            self._open()
            while self._turn():
                self._step()
        except ValueError as e:
            self._fail(str(e))
        except Exception as e:
            self._fail(f"the world stopped in the middle of a step ({type(e).__name__}: {e}); start again")
        finally:
            self._dreamt.join()
            if not self._broken and self.picture is not None and self.history.frames != self._kept_at:
                self._keep(self.history.here(self._world, self.picture))
            self._dreamt.put(None)

    def _open(self) -> None:
        opening, here = self._session.opening, self._session.here
        started = time.perf_counter()
        frames = self._world.reset(opening.image, opening.prompt, opening.seed) if here is None else here.picture[None]
        truth = self._out.ground_truth is not None and self._out.ground_truth.has()
        note = " ".join(filter(None, (opening.note, self._world.note))) if here is None else ""
        id, can = self._session.id, possible_events(self._world)
        said = Started(session=id, seed=opening.seed, prompt=opening.prompt, note=note, truth=truth, happenings=can)
        self._out.emit(said)
        self._tell_state()
        self._land(frames, since(started))

    def _land(self, frames: Tensor, ms: float = 0.0) -> None:
        """Show where one is, without a dream: the opening picture, or that of a jump."""
        self.inputs.began(len(frames))
        camera = self._world.camera
        self._truth(camera.map(lambda x: x[None]))
        self._put(Chunk(self._chunks, self._frames, "", 0, frames, camera, fresh=True, dream_ms=ms), len(frames))

    def _put(self, chunk: Chunk, frames: int) -> None:
        walked = self.history.frames - (0 if chunk.fresh else frames)  # a step is in the history already
        chunk.seconds, chunk.happenings = walked / self._world.fps, event_progress(self._world)
        self._chunks, self._frames = self._chunks + 1, self._frames + frames
        self._dreamt.put(chunk)

    def _turn(self) -> bool:
        """Wait until the next chunk must begin; False when there is to be none."""
        self._mark()
        while not isinstance(turn := self.inputs.next_request(self._held_up), bool):
            self._apply(turn)
        return turn

    def _held_up(self) -> bool:
        """Return whether a chunk would begin too early: keys pressed while it waits to be decoded would miss it."""
        return not self._dreamt.empty() if self._world.can_pipeline else self._dreamt.unfinished_tasks > 0

    def _whole(self) -> Tensor:
        """Wait until every chunk is decoded, for only then a world can be kept. Returns the last picture ``[3, H, W]``."""
        self._dreamt.join()
        if self.picture is None:
            raise RuntimeError("the last picture could not be decoded")
        return self.picture

    def _mark(self) -> None:
        """Keep this moment, if it is time to: once a second to rewind to, every few seconds on the disk."""
        past, fps = self.history, self._world.fps
        if not past.recent or past.frames - past.recent[-1].frames >= fps:  # `_whole` waits for decoding
            here = past.here(self._world, self._whole())
            past.recent.append(here)
            if self._kept_at is None or past.frames - self._kept_at >= self._out.keep_every * fps:
                self._keep(here)
        if self._told < len(TELL_AT) and past.rewindable() >= TELL_AT[self._told] * fps:
            self._told += 1
            self._tell_state()

    def _keep(self, here: Snapshot) -> None:
        self._kept_at = here.frames
        if self._out.keep is not None:
            self._out.keep(replace(self._session, here=here, moments=tuple(self.history.moments)))

    def _apply(self, command: PendingCommand) -> None:
        picture, past, fps = self._whole(), self.history, self._world.fps
        if isinstance(command, Restore | Rewind):
            try:
                back = past.find(command.moment) if isinstance(command, Restore) else past.before(command.seconds * fps)
                self._world = past.go(back)
            except ValueError as e:
                self._out.emit(Error(text=str(e)))
                return
            self.inputs.jumped()
            self.picture = back.picture
            self._told = sum(past.rewindable() >= t * fps for t in TELL_AT)
            self._keep(back)
            self._land(back.picture[None])
        else:
            self._keep(past.remember(self._world, picture))
        self._tell_state()

    def _step(self) -> None:
        world = self._world
        was = (self.inputs.switches, self.inputs.replaying)
        sample = self.inputs.sample(world.frames_per_step)
        step = sample.step
        if sample.error is not None:
            self._out.emit(Error(text=sample.error))
        if was != (self.inputs.switches, self.inputs.replaying):
            self._tell_state()
        world.switches = step.switches
        motion, started, written = controls(step, world.config.speed), time.perf_counter(), Event()
        at = self._chunks, self._frames

        def show(dream: Dream) -> None:  # called before the chunk is written into the past
            del world.actions[:-ACTIONS]  # they would grow for as long as one walks
            self.history.step(step)
            ms, where = since(started), (dream.path[-1], dream.recalled, packed_places(dream))
            chunk = Chunk(*at, step.keys, sample.seq, dream, *where, False, ms, stopped=dream.stopped, written=written)
            if (told := step.event) is not None:
                chunk.event, chunk.note = told, event_note(world, told)
            self._truth(dream.path)
            self._put(chunk, step.frames)

        try:
            world.denoise(motion, step.event, show)
        except ValueError as e:
            if step.event is None or self._chunks > at[0]:
                raise
            self._out.emit(Error(text=str(e)))
            step = replace(step, event=None)  # refused words cost the event, not the step
            world.denoise(motion, None, show)
        finally:
            written.set()

    def _truth(self, path: Camera) -> None:
        if self._out.ground_truth is not None:
            self._out.ground_truth.ask(self._chunks, self._frames, path)

    # ---- showing and encoding ------------------------------------------------------------------------------------------

    def _show(self) -> None:
        while (chunk := self._dreamt.get()) is not None:
            self.inputs.notify()
            started = time.perf_counter()
            try:
                # Also when nobody looks any more: a world whose dreams are not all shown cannot be kept.
                if isinstance(chunk.made, Dream):
                    chunk.made = self._world.decode(chunk.made)
                if isinstance(chunk.made, Tensor):
                    self.picture = chunk.made[-1]  # [3, H, W]
            except Exception as e:
                chunk.made = None
                self._fail(f"the world could not decode its frames ({type(e).__name__}: {e}); start again")
            chunk.show_ms = since(started)
            self._shown.put(chunk)  # waits while the encoder has one in hand
            self._look_ahead(chunk.written)
            self._dreamt.task_done()
            self.inputs.notify()
        self._dreamt.task_done()
        self._shown.put(None)

    def _look_ahead(self, written: Event | None) -> None:
        """Denoise what can be before the next keys are known, while there is time; what is seen ahead follows from the past."""
        try:
            _ = written is None or written.wait()
            self._world.look_ahead()
        except Exception as e:
            self._fail(f"the world could not look ahead ({type(e).__name__}: {e}); start again")

    def _encode(self) -> None:
        while (chunk := self._shown.get()) is not None:
            if not isinstance(chunk.made, Tensor) or self.over:
                continue
            try:
                self._recorded(send(chunk, chunk.made, self._out, self._began), tell=True)
            except Exception as e:
                self._fail(f"the frames could not be encoded ({type(e).__name__}: {e}); start again")
        if self._out.recorder is not None:
            self._recorded(self._out.recorder.stop())

    # ---- words ---------------------------------------------------------------------------------------------------------

    def _recorded(self, ended: Recorded | Error | None, tell: bool = False) -> None:
        if ended is not None:
            self._out.emit(ended)
            if tell:
                self._tell_state()

    def _tell_state(self) -> None:
        past, asked, fps = self.history, self.inputs, self._world.fps
        moments = [Moment(id=m.id, chunk=m.chunk, seconds=round(m.frames / fps, 1)) for m in past.moments]
        state = State(
            paused=asked.paused,
            moments=moments,
            switches=asked.switches,
            recording=self._out.recorder is not None and self._out.recorder.on,
            rewindable=round(past.rewindable() / fps, 1),
            replaying=asked.replaying,
        )
        self._out.emit(state)

    def _fail(self, sentence: str) -> None:
        self._broken = True
        self.inputs.close()
        self._out.emit(Error(text=sentence, over=True))
