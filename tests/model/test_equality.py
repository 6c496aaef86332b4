"""The promises of the one idea, in float64: training's table is play's cache, and only relative cameras matter."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dreamx.frames import Frames, cat, clean
from dreamx.geometry import Camera, from_keys, walk
from dreamx.geometry.camera import level, rigid, rotation
from dreamx.model.attention import LaneMask, MaskedAttention
from dreamx.model.dit import DiT, DiTConfig, ViewConfig, add_view
from dreamx.model.kv_cache import KVCache
from dreamx.model.masks import by_chunk, teacher_forced
from dreamx.model.positions import FramePositions, Prope

T, CHUNK = 12, 3
BARE = DiTConfig(channels=4, width=48, heads=2, layers=3, mlp=96, text=16, frequencies=32)
VIEWS = {
    "E-PRoPE": ViewConfig(24, 3),
    "pooled 2x2": ViewConfig(24, 3, pool=(2.0, 2.0)),
    "adaptive": ViewConfig(24, 3, pool=(1.4, 1.6)),
    "full PRoPE": ViewConfig(48, 2, rope=12),
    "some layers": ViewConfig(24, 6, layers=(0, 2)),
}


def loud(dit: DiT) -> DiT:
    """Every weight away from zero, so that no path is silent."""
    torch.manual_seed(1)
    for p in dit.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return dit.double()


def case(batch: int = 2, rows: int = 8, cols: int = 8) -> tuple[Frames, Tensor]:
    torch.manual_seed(0)
    camera = walk(level(dtype=torch.float64), from_keys(["wj", "w", "wl", "di", "d", "wk"] * (T // 6)))
    z = torch.randn(batch, T, 4, rows, cols, dtype=torch.float64)
    return clean(z, camera.map(lambda x: x.expand(batch, *x.shape))), torch.randn(batch, 5, 16, dtype=torch.float64)


def noisy_twin(known: Frames) -> Frames:
    sigma = torch.rand(2, T // CHUNK, dtype=torch.float64).repeat_interleave(CHUNK, 1)
    s = sigma[..., None, None, None]
    return known.with_z((1 - s) * known.z + s * torch.randn_like(known.z), sigma)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(("window", "sinks"), [(None, 0), (6, 0), (7, 1), (9, 3)])
def test_teacher_forced_table_is_the_cached_rollout(view: str, window: int | None, sinks: int) -> None:
    dit = loud(DiT(replace(BARE, view=VIEWS[view])))
    known, text = case()
    noisy = noisy_twin(known)
    table = MaskedAttention(teacher_forced(T, CHUNK, window, sinks))
    with torch.no_grad():
        want = dit(cat(known, noisy), text, table)[:, T:]
        cache = KVCache(window, sinks, relative=False)
        for start in range(0, T, CHUNK):
            now = slice(start, start + CHUNK)
            dit(noisy[now].with_z(torch.randn_like(noisy.z[:, now])), text, cache)  # an earlier pass leaves no trace
            got = dit(noisy[now], text, cache)
            assert (got - want[:, now]).abs().max() < 1e-12
            dit(known[now], text, cache)
            cache.commit()


def test_the_window_matters() -> None:
    """Else the test above would prove nothing about windows."""
    dit = loud(DiT(BARE))
    known, text = case()
    both = cat(known, noisy_twin(known))
    full = dit(both, text, MaskedAttention(teacher_forced(T, CHUNK)))[:, -CHUNK:]
    short = dit(both, text, MaskedAttention(teacher_forced(T, CHUNK, 6)))[:, -CHUNK:]
    sunk = dit(both, text, MaskedAttention(teacher_forced(T, CHUNK, 6, 1)))[:, -CHUNK:]
    assert (full - short).abs().max() > 1e-3
    assert (sunk - short).abs().max() > 1e-3


def test_relative_time_in_the_cache_changes_nothing_before_the_window_rolls() -> None:
    dit = loud(DiT(replace(BARE, view=VIEWS["E-PRoPE"])))
    known, text = case()
    late = replace(known, index=known.index + 700)
    outs: list[list[Tensor]] = [[], []]
    with torch.no_grad():
        for relative, frames, out in ((False, known, outs[0]), (True, late, outs[1])):
            cache = KVCache(T, 0, relative=relative)
            for start in range(0, T, CHUNK):
                out.append(dit(frames[slice(start, start + CHUNK)], text, cache))
                cache.commit()
    assert (torch.cat(outs[0]) - torch.cat(outs[1])).abs().max() < 1e-10


@pytest.mark.parametrize("view", VIEWS)
def test_a_rigid_motion_of_the_world_changes_nothing(view: str) -> None:
    dit = loud(DiT(replace(BARE, view=VIEWS[view])))
    known, text = case()
    turn = rotation("y", torch.tensor(33.0).double()) @ rotation("x", torch.tensor(70.0).double())
    g = rigid(turn, torch.tensor([30.0, -2.0, 90.0]).double())
    moved = replace(known, camera=Camera(g @ known.camera.pose, known.camera.lens))
    bent = replace(
        known, camera=Camera(torch.cat([known.camera.pose[:, 1:], g @ known.camera.pose[:, :1]], 1), known.camera.lens)
    )
    with torch.no_grad():
        here = dit(known, text, MaskedAttention())
        assert (dit(moved, text, MaskedAttention()) - here).abs().max() < 1e-10
        assert (dit(bent, text, MaskedAttention()) - here).abs().max() > 1e-3


def test_a_new_camera_lane_changes_nothing_until_it_is_trained() -> None:
    torch.manual_seed(0)
    bare = loud(DiT(BARE))
    known, text = case()
    with torch.no_grad():
        want = bare(known, text, MaskedAttention())
        for view in VIEWS.values():
            both = add_view(bare, view)
            assert torch.equal(both(known, text, MaskedAttention()), want)
            for name, p in both.named_parameters():
                if name.endswith("view.o.weight"):
                    torch.nn.init.normal_(p)
            assert not torch.allclose(both(known, text, MaskedAttention()), want)


def test_add_view_refuses_another_network() -> None:
    dit = DiT(BARE)
    dit.config = replace(BARE, layers=4)
    with pytest.raises(ValueError, match=r"view: the checkpoint is not of this network"):
        add_view(dit, VIEWS["E-PRoPE"])


def test_identity_cameras_make_plain_attention() -> None:
    known, _ = case()
    still = level((1.0, 1.0, 0.5, 0.5), torch.float64).map(lambda x: x.expand(2, T, *x.shape))
    where = FramePositions(known.index, still)
    q, k, v = torch.randn(3, 2, T, 16, 3, 8, dtype=torch.float64)
    table, slot = MaskedAttention(), (0, "view")
    a, b, c = (x.flatten(1, 2).transpose(1, 2) for x in (q, k, v))
    plain = torch.softmax(a @ b.mT / 8**0.5, -1) @ c
    assert torch.allclose(table(slot, q, k, v, Prope(where, 4, 4, 8)), plain.transpose(1, 2).unflatten(1, (T, 16)), atol=1e-12)


def test_block_diagonal_product_is_the_product_of_every_four_channels() -> None:
    known, _ = case()
    place = Prope(FramePositions(known.index, known.camera), 4, 4, 8)
    from dreamx.geometry.camera import projection

    p, p_inv = projection(known.camera)
    x = torch.randn(2, T, 16, 3, 8, dtype=torch.float64)
    fours = x.unflatten(-1, (2, 4))[..., None]
    for got, m in ((place.query(x), p.mT), (place.key(x), p_inv), (place.value(x), p_inv), (place.out(x), p)):
        assert torch.allclose(got, (m[:, :, None, None, None] @ fours)[..., 0].flatten(-2), atol=1e-12)
    assert torch.allclose(p @ p_inv, torch.eye(4, dtype=torch.float64), atol=1e-12)


def test_a_later_clean_chunk_never_reaches_an_earlier_noisy_one() -> None:
    dit = loud(DiT(replace(BARE, view=VIEWS["E-PRoPE"])))
    known, text = case()
    noisy = noisy_twin(known)
    z = known.z.clone()
    z[:, 6:] += 1
    table = MaskedAttention(teacher_forced(T, CHUNK))
    with torch.no_grad():
        a = dit(cat(known, noisy), text, table)[:, T:]
        b = dit(cat(known.with_z(z), noisy), text, table)[:, T:]
    assert torch.equal(a[:, :9], b[:, :9])
    assert not torch.allclose(a[:, 9:], b[:, 9:])


def test_a_fork_leaves_its_parent_alone() -> None:
    dit = loud(DiT(replace(BARE, view=VIEWS["E-PRoPE"])))
    known, text = case()
    with torch.no_grad():
        cache = KVCache(6, 1)
        for start in (0, 3):
            dit(known[slice(start, start + 3)], text, cache)
            cache.commit()
        fork = cache.fork()
        want = dit(known[slice(6, 9)], text, cache.fork())
        for _ in range(3):
            dit(known[slice(9, 12)], text, fork)
            fork.commit()
        assert torch.equal(dit(known[slice(6, 9)], text, cache), want)
        other = KVCache(6, 1)
        other.restore(cache.state())
        assert torch.equal(dit(known[slice(6, 9)], text, other), want)


def test_the_cache_holds_no_more_than_its_window() -> None:
    dit = loud(DiT(BARE))
    known, text = case()
    cache = KVCache(7, 1)
    with torch.no_grad():
        for start in range(0, T, CHUNK):
            dit(known[slice(start, start + CHUNK)], text, cache)
            cache.commit()
    assert cache.where is not None
    assert cache.where.index[0].tolist() == [0, 6, 7, 8, 9, 10, 11]
    with pytest.raises(ValueError, match="window"):
        small = KVCache(3, 1)
        for _ in range(2):
            dit(known[slice(0, 3)], text, small)
            small.commit()


def test_the_table_in_blocks_is_the_plain_masked_attention() -> None:
    q, k, v = torch.randn(3, 2, T, 16, 3, 8, dtype=torch.float64)
    known, _ = case()
    place, slot = Prope(FramePositions(known.index, known.camera), 4, 4, 8), (0, "view")
    for visible in (by_chunk(T, 3), by_chunk(T, 1, 5, 1), by_chunk(T, 2, 6)):
        plain = MaskedAttention(visible, block=T)(slot, q, k, v, place)
        for block in (1, 5, 7):
            assert torch.allclose(MaskedAttention(visible, block)(slot, q, k, v, place), plain, atol=1e-13)
    with pytest.raises(ValueError, match="the table is for 11 frames"):
        MaskedAttention(by_chunk(11, 3))(slot, q, k, v, place)


def test_gradients_through_the_cache_are_those_of_the_table() -> None:
    dit = loud(DiT(replace(BARE, view=VIEWS["E-PRoPE"])))
    known, text = case()
    cache = KVCache(relative=False)
    with torch.no_grad():
        dit(known[slice(0, 3)], text, cache)
        cache.commit()
    dit(known[slice(3, 6)], text, cache).square().sum().backward()
    got = dit.head.weight.grad.clone()  # pyright: ignore[reportOptionalMemberAccess]
    dit.zero_grad()
    dit(known[slice(0, 6)], text, MaskedAttention(by_chunk(6, 3)))[:, 3:].square().sum().backward()
    assert torch.allclose(got, dit.head.weight.grad, rtol=1e-9)  # pyright: ignore[reportArgumentType]


def test_reading_hints_starts_as_nothing_and_muting_a_lane_is_no_lane() -> None:
    known, text = case()
    hint = torch.randn(2, T, 5, 8, 8, dtype=torch.float64)
    torch.manual_seed(3)
    deaf = DiT(replace(BARE, view=VIEWS["E-PRoPE"])).double()
    torch.manual_seed(3)
    hearing = DiT(replace(BARE, view=VIEWS["E-PRoPE"], hint=True)).double()
    loaded = hearing.load_state_dict(deaf.state_dict(), strict=False)
    assert (loaded.missing_keys, loaded.unexpected_keys) == (["hint.weight"], [])
    for p in deaf.head.parameters():
        torch.nn.init.normal_(p, std=0.3)
    hearing.head.load_state_dict(deaf.head.state_dict())
    with torch.no_grad():
        want = deaf(known, text, MaskedAttention())
        assert torch.equal(hearing(replace(known, hint=hint), text, MaskedAttention()), want)
        torch.nn.init.normal_(hearing.hint.weight, std=0.3)  # pyright: ignore[reportOptionalMemberAccess, reportArgumentType]
        assert not torch.equal(hearing(replace(known, hint=hint), text, MaskedAttention()), want)
        assert torch.equal(hearing(replace(known, hint=0 * hint), text, MaskedAttention()), want)
    dit = loud(DiT(replace(BARE, view=VIEWS["E-PRoPE"])))
    none = loud(DiT(BARE))
    none.load_state_dict({k: v for k, v in dit.state_dict().items() if ".view." not in k})
    for block in dit.blocks:
        torch.nn.init.zeros_(block.view.o.bias)  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]
    with torch.no_grad():
        torch.testing.assert_close(
            dit(known, text, LaneMask(MaskedAttention(), "view")), none(known, text, MaskedAttention()), rtol=0, atol=1e-12
        )
