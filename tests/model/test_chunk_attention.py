"""One teacher-forced pass says of every chunk what a rolling cache says of it, at any length and in every lane."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dreamx.frames import Frames, cat, clean
from dreamx.geometry.camera import Camera, level
from dreamx.geometry.controls import from_keys, walk
from dreamx.geometry.official import autoregressive_latents
from dreamx.model.attention import MaskedAttention
from dreamx.model.causal_config import CausalConfig
from dreamx.model.chunk_attention import ChunkAttention, held
from dreamx.model.dit import DiT
from dreamx.model.masks import by_chunk, teacher_forced
from dreamx.recipes import wan_micro

PAST = CausalConfig(chunk=3, window=9, sinks=3)
LENGTH = 15


def frames() -> tuple[Frames, Frames]:
    """A walk of 15 latents, seen chunk by chunk: clean, and at some noise."""
    rng = torch.Generator().manual_seed(0)
    path = walk(level(dtype=torch.float64), from_keys(["wj"] * (4 * LENGTH - 3)))
    here: Camera = autoregressive_latents(path, PAST.chunk).map(lambda x: x[None])
    z, noisy = torch.randn(2, 1, LENGTH, wan_micro.DIT.channels, 4, 2, generator=rng, dtype=torch.float64)
    return clean(z, here), clean(noisy, here).with_z(noisy, torch.rand(1, LENGTH, generator=rng, dtype=torch.float64))


def network() -> DiT:
    with torch.device("meta"):
        dit = DiT(wan_micro.DIT)
    dit.load_state_dict(wan_micro.drawn({k: x.shape for k, x in dit.state_dict().items()}, 0), assign=True)
    return dit.double().eval()


@pytest.mark.parametrize(
    "past", [PAST, replace(PAST, relative=False), replace(PAST, window=None), replace(PAST, alone=())], ids=str
)
@torch.no_grad()
def test_it_is_what_a_cache_makes_of_each_chunk(past: CausalConfig) -> None:
    dit, (known, noisy) = network(), frames()
    text = torch.randn(1, 8, wan_micro.DIT.text, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ours = dit(cat(known, noisy), text, ChunkAttention(past))[:, LENGTH:]
    cache, theirs = past.cache(), []
    for start in range(0, LENGTH, past.chunk):
        now = slice(start, start + past.chunk)
        theirs.append(dit(noisy[now], text, cache))
        dit(known[now], text, cache)
        cache.commit()
    assert float((ours - torch.cat(theirs, 1)).abs().max()) < 1e-9
    table = MaskedAttention(teacher_forced(LENGTH, past.chunk, past.window, past.sinks))
    plain = dit(cat(known, noisy), text, table)[:, LENGTH:]
    assert float((plain - ours).abs().max()) > 1e-3, "the table alone is not the released model"


def test_it_holds_what_the_table_says() -> None:
    for past in (PAST, replace(PAST, sinks=0), replace(PAST, window=5, sinks=1), replace(PAST, chunk=1, window=4, sinks=1)):
        table = by_chunk(LENGTH, past.chunk, past.window, past.sinks)
        for start in range(0, LENGTH, past.chunk):
            before = [i for run in held(past, start) for i in range(run.start, run.stop)]
            assert before == [i for i in range(start) if table[start, i]], (past, start)


def test_half_a_chunk_is_refused() -> None:
    dit, (known, noisy) = network(), frames()
    with pytest.raises(ValueError, match="whole number of chunks of 3"):
        dit(cat(known[:4], noisy[:4]), torch.zeros(1, 8, wan_micro.DIT.text, dtype=torch.float64), ChunkAttention(PAST))
