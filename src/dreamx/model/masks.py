"""Attention masks: small boolean tables over frames, rows look at columns. Print one to see it (``draw``)."""

from __future__ import annotations

import torch
from torch import Tensor


def by_chunk(frames: int, chunk: int, window: int | None = None, sinks: int = 0) -> Tensor:
    """Block-causal: a frame sees its own chunk and the chunks before it. ``[T, T]``.

    With ``window``, the frames seen (own chunk and sinks included) are at most that many: the first ``sinks`` and the
    latest others; exactly what a rolling cache of that window holds.
    """
    index = torch.arange(frames)
    end = (index // chunk + 1) * chunk  # where the chunk of each row ends
    table = index[None, :] < end[:, None]
    if window is not None:
        if window < sinks + chunk:
            raise ValueError(f"window: {window} frames do not hold {sinks} sinks and a chunk of {chunk}; use a larger window")
        # Counted from the end of the chunk: the new frames take room, too.
        recent = index[None, :] >= (end - (window - sinks))[:, None]
        table = table & (recent | (index < sinks)[None, :])
    return table


def teacher_forced(frames: int, chunk: int, window: int | None = None, sinks: int = 0) -> Tensor:
    """Clean frames beside noisy ones, ``[2T, 2T]``: a noisy chunk sees itself and the *clean* chunks before it.

    Source: teacher forcing in Causal Forcing / Self Forcing; one pass trains every chunk of a rollout.
    """
    past = by_chunk(frames, chunk, window, sinks)
    index = torch.arange(frames)
    own = index[:, None] // chunk == index[None, :] // chunk
    # Clean frames never see noisy ones, so that they are what a finished rollout holds. A noisy chunk
    # does not see its own clean frames, which are the answer.
    return torch.cat([torch.cat([past, torch.zeros_like(past)], 1), torch.cat([past & ~own, own], 1)], 0)


def with_memory(table: Tensor, recalled: Tensor) -> Tensor:
    """Recalled frames before the frames of a ``table [T, T]``: ``[M + T, M + T]``; ``recalled [T, M]``: who sees which of them.

    A recalled frame sees itself alone, so that what it says depends neither on the others nor on what is made.
    """
    m = recalled.shape[1]
    own = torch.eye(m, dtype=torch.bool)
    blind = torch.zeros(m, len(table), dtype=torch.bool)
    return torch.cat([torch.cat([own, blind], 1), torch.cat([recalled, table], 1)], 0)


def draw(table: Tensor) -> str:
    """A table as text: ``#`` where the row sees the column."""
    return "\n".join("".join("#" if cell else "." for cell in row) for row in table.tolist())
