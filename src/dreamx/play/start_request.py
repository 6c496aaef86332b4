"""Turn a ``start`` message into the start of a session. Slow, and for a thread beside the event loop."""

from __future__ import annotations

from dreamx.model.heap import give_back
from dreamx.picture import read_picture
from dreamx.plaintext import brief
from dreamx.play import client_messages
from dreamx.play.client_messages import PIXEL_LIMIT, Codec, StartMessage
from dreamx.play.codec import Encoder, h264, h264_fits, jpegs
from dreamx.play.replay_conversion import script_of
from dreamx.play.session_manager import SessionManager
from dreamx.play.session_spec import SessionStart


def read_large(said: StartMessage | str | bytes, manager: SessionManager) -> tuple[SessionStart, Codec]:
    """The opening that a message with a picture or replay asks for, or one not parsed yet. ValueError, one sentence."""
    try:
        request = said if isinstance(said, StartMessage) else client_messages.parse(said)
        if not isinstance(request, StartMessage):
            raise ValueError(f"{request.type}: the message is too long")
        return opening_of(request, manager), request.codec
    finally:
        give_back()


def opening_of(request: StartMessage, manager: SessionManager) -> SessionStart:
    """The opening that a request asks for. ValueError, one sentence, where its picture or replay cannot be read."""
    if request.replay is not None:
        return script_of(request.replay, manager.starts, manager.world.size, manager.weights)
    data = request.picture()
    prompt = request.prompt
    if request.start is not None:
        if request.start not in manager.starts:
            raise ValueError(f"start.start: there is no start picture {brief(request.start)}; see api/world for their ids")
        start = manager.starts[request.start]
        data, prompt = start.png, prompt or start.prompt
    image, note = (None, "") if data is None else read_picture(data, manager.world.size, PIXEL_LIMIT)
    return SessionStart(image, prompt, request.seed, note, request.start, request.switches)


def encoder_of(codec: Codec, manager: SessionManager) -> Encoder:
    """Return the encoder for the pictures of a session. ValueError where the world's cannot be H.264."""
    if codec == "jpeg":
        return jpegs(manager.quality)
    if not h264_fits(manager.world.size):
        rows, cols = manager.world.size
        raise ValueError(f"codec: h264 wants even sides and this world is {cols} x {rows}; use jpeg")
    return h264(manager.world.size, manager.world.fps)
