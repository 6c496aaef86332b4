"""Every kernel of attention gives what products and a softmax give, and the seam hands the chosen one to every attention."""

import pytest
import torch
from torch import Tensor

from dreamx.model.attention import LaneMask, MaskedAttention
from dreamx.model.attention_backends import BACKENDS, PLAIN, ROUNDED, TORCH, AttentionBackend
from dreamx.model.causal_config import CausalConfig
from dreamx.model.dit import DiT
from dreamx.model.kv_cache import KVCache
from dreamx.model.masks import by_chunk
from test_equality import BARE, CHUNK, case, loud

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", [name for name in BACKENDS if name not in ("plain", *ROUNDED)])
def test_a_kernel_gives_what_plain_products_give(name: str) -> None:
    backend = BACKENDS[name]
    if not backend.runs_on(CPU, torch.float32):
        assert name in ("cudnn", "efficient"), f"torch 2.13 has {name} on every CPU"
        return
    rng = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, n, 16, generator=rng) for n in (5, 7, 7))
    mask = torch.rand(5, 7, generator=rng) < 0.6
    mask[:, 0] = True
    assert torch.allclose(backend(q, k, v), PLAIN(q, k, v), atol=1e-6)
    assert torch.allclose(backend(q, k, v, mask), PLAIN(q, k, v, mask), atol=1e-6)
    assert not torch.allclose(PLAIN(q, k, v, mask), PLAIN(q, k, v), atol=1e-3), "the mask counts"


def counted() -> tuple[AttentionBackend, list[tuple[int, ...]]]:
    """A backend that writes down the shapes of the keys it is given."""
    seen: list[tuple[int, ...]] = []

    def kernel(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        seen.append(tuple(k.shape))
        return PLAIN(q, k, v, mask)

    return AttentionBackend("counted", kernel), seen


@torch.no_grad()
def test_the_chosen_kernel_computes_every_attention_of_the_network() -> None:
    dit = loud(DiT(BARE))
    known, text = case()
    want = dit(known, text, MaskedAttention(by_chunk(len(known.camera), CHUNK)))
    backend, seen = counted()
    tables = MaskedAttention(by_chunk(len(known.camera), CHUNK), block=len(known.camera), backend=backend)
    assert torch.allclose(dit(known, text, tables), want, atol=1e-12)
    assert len(seen) == 2 * BARE.layers, "self-attention and attention to text, a layer"
    assert sum(shape[2] == text.shape[1] for shape in seen) == BARE.layers


@torch.no_grad()
def test_caches_forks_and_lane_masks_keep_the_kernel() -> None:
    dit = loud(DiT(BARE))
    known, text = case()
    backend, seen = counted()
    cache = CausalConfig(alone=()).cache(backend)
    first, then = known[:CHUNK], known[CHUNK : 2 * CHUNK]
    dit(first, text, cache)
    cache.commit()
    seen.clear()
    dit(then, text, LaneMask(cache.fork(), "view"))
    assert len(seen) == 2 * BARE.layers
    assert CausalConfig().cache().backend is KVCache().backend is MaskedAttention().backend is TORCH
