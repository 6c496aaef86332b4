"""Metrics of a server, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from dreamx.play.server_messages import Busy, ChunkReady, Error, Picture, Reply, SessionSuspended

#: What the text of ``Metrics.text`` is.
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)


class Metrics:
    """Counters of one server; they live as long as it does."""

    def __init__(self, room: int) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # memory, time and open files of the process, as process_*
        self.running = Gauge("dreamx_sessions_running", "Sessions that are being walked in", registry=registry)
        self.sockets = Gauge("dreamx_sockets_open", "Open sockets", registry=registry)
        Gauge("dreamx_sessions_room", "Sessions that may run at once", registry=registry).set(room)
        self._began = Counter("dreamx_sessions_begun", "Sessions begun or resumed", ["how"], registry=registry)
        self._ended = Counter("dreamx_sessions_stopped", "Sessions that stopped by themselves", ["why"], registry=registry)
        self._busy = Counter("dreamx_refused_busy", "Times that all places were taken", registry=registry)
        self._errors = Counter("dreamx_errors_said", "Errors said to players", registry=registry)
        self._chunks = Counter("dreamx_chunks", "Chunks made", registry=registry)
        self._frames = Counter("dreamx_frames", "Frames sent", ["kind"], registry=registry)
        self._bytes = Counter("dreamx_picture_bytes", "Bytes of pictures sent", registry=registry)
        self._stages = Histogram("dreamx_stage_seconds", "Per chunk", ["stage"], registry=registry, buckets=_BUCKETS)
        self.saved = Counter("dreamx_saves", "Sessions written to the disk", registry=registry)
        self.unsaved = Counter("dreamx_saves_failed", "Sessions that the disk did not take", registry=registry)

    def begun(self, resumed: bool) -> None:
        """A session was begun, or goes on."""
        self._began.labels("resumed" if resumed else "started").inc()

    def said(self, reply: Reply | Picture) -> None:
        """Count one message to a player."""
        match reply:
            case Picture():
                self._frames.labels(reply.kind.name.lower()).inc()
                self._bytes.inc(len(reply.data))
            case ChunkReady():
                self._chunks.inc()
                for stage, ms in (("dream", reply.dream_ms), ("show", reply.show_ms), ("encode", reply.encode_ms)):
                    self._stages.labels(stage).observe(ms / 1000)
            case Error():
                self._errors.inc()
                if reply.over:
                    self._ended.labels("failed").inc()
            case SessionSuspended():
                self._ended.labels("rested").inc()
            case Busy():
                self._busy.inc()
            case _:
                pass

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self._registry)
