"""The door itself: the listening socket."""

from __future__ import annotations

import asyncio
import socket

from dreamx.play.server import listen


def test_small_messages_are_not_held_back_for_an_acknowledgement() -> None:
    """By Nagle's algorithm every second picture would come 40 ms late. asyncio turns it off, if it knows that this is TCP."""
    found: list[int] = []

    async def serve_one() -> None:
        def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            found.append(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with listen("127.0.0.1", 0) as listener:
            async with await asyncio.start_server(take, sock=listener):
                reader, writer = await asyncio.open_connection(*listener.getsockname())
                await reader.read()
                writer.close()

    asyncio.run(serve_one())
    assert found and found[0]
