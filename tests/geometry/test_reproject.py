"""Re-projection against a world that is rendered exactly from anywhere: what it shows is right, and it knows what it knows."""

from __future__ import annotations

import pytest
import torch

import sphere
from dreamx.geometry.camera import Camera, cat, lens_from_fov, rigid, rotation
from dreamx.geometry.reproject import View, composite_over, fill_holes, merge_views, remove_flying_pixels, reproject, smooth_depth

SIZE = 48
LENS = lens_from_fov(70, SIZE, SIZE)


def at(x: float = 0.0, z: float = 0.0, yaw: float = 0.0) -> Camera:
    pose = rigid(rotation("y", torch.tensor(yaw)), torch.tensor([x, 0.0, z]))
    return Camera(pose, torch.tensor(LENS)).map(lambda t: t[None])


def seen(camera: Camera) -> tuple[torch.Tensor, torch.Tensor]:
    rgb, depth = sphere.render(camera[0], SIZE)
    return rgb[None].float() / 127.5 - 1, depth[None]


def psnr(view: View, truth: torch.Tensor) -> float:
    error = ((view.rgb - truth) / 2).square().mean(1)
    return float(-10 * ((error * view.known).sum() / view.known.sum()).log10())


def test_from_the_same_place_it_is_the_same_picture() -> None:
    rgb, depth = seen(at())
    view = reproject(rgb, depth, at(), at())
    assert view.known.min() == 1
    torch.testing.assert_close(view.rgb, rgb, rtol=0, atol=2e-3)
    torch.testing.assert_close(view.depth, depth, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("target", "known"),
    [(at(z=1.5), 0.95), (at(z=-1.0), 0.6), (at(x=0.7, yaw=-8), 0.8), (at(yaw=30), 0.5), (at(x=-0.5, z=1.0, yaw=15), 0.6)],
)
def test_from_elsewhere_it_is_the_true_picture_there(target: Camera, known: float) -> None:
    rgb, depth = seen(at())
    truth, there = seen(target)
    view = reproject(rgb, depth, at(), target)
    assert view.known.mean() > known
    assert psnr(view, truth) > 27
    error = ((view.depth - there).abs() / there * view.known).sum() / view.known.sum()
    assert error < 0.02
    assert psnr(view, truth) > psnr(View(rgb, depth, view.known), truth) + 6, "no better than the picture left where it was"


def test_what_was_out_of_view_or_has_no_depth_is_unknown() -> None:
    rgb, depth = seen(at())
    assert reproject(rgb, depth, at(), at(yaw=180)).known.sum() == 0
    assert reproject(rgb, torch.zeros_like(depth), at(), at(z=1)).known.sum() == 0
    turned = reproject(rgb, depth, at(), at(yaw=40)).known[0]
    assert turned[:, :10].mean() > 0.9, "what was on the right is now on the left, and known"
    assert turned[:, -10:].sum() == 0


def test_what_is_hidden_is_unknown() -> None:
    """A near board in front of a far wall: stepping aside bares wall that nobody saw."""
    depth = torch.full((1, SIZE, SIZE), 4.0)
    depth[:, :, 16:32] = 1.0
    rgb = torch.where(depth < 2, 1.0, -1.0)[:, None].expand(1, 3, -1, -1)
    view = reproject(rgb, depth, at(), at(x=0.5))
    colour = view.rgb[0, 0][view.known[0] > 0]
    assert bool(((colour > 0.99) | (colour < -0.99)).float().mean() > 0.93), "edges are not smeared"
    row = view.known[0, SIZE // 2]
    assert 6 <= (row == 0).sum() <= 24


def test_a_batch_is_its_rows() -> None:
    rgb, depth = seen(at())
    targets = [at(z=0.5), at(yaw=20), at(x=0.3)]
    many = reproject(rgb.expand(3, -1, -1, -1), depth.expand(3, -1, -1), cat([at()] * 3), cat(targets))
    for i, target in enumerate(targets):
        one = reproject(rgb, depth, at(), target)
        torch.testing.assert_close(many.rgb[i], one.rgb[0])
        assert torch.equal(many.known[i], one.known[0])


def test_over_keeps_the_front_and_fills_from_the_back() -> None:
    known = torch.tensor([[[1.0, 0.0, 0.0]]])
    front = View(torch.ones(1, 3, 1, 3) * known[:, None], known * 2, known)
    back = View(torch.full((1, 3, 1, 3), 5.0), torch.full((1, 1, 3), 7.0), torch.tensor([[[1.0, 1.0, 0.0]]]))
    both = composite_over(front, back)
    assert both.rgb[0, 0, 0].tolist() == [1, 5, 5]
    assert both.depth[0, 0].tolist() == [2, 7, 7]
    assert both.known[0, 0].tolist() == [1, 1, 0]


def test_filled_leaves_what_is_known_and_closes_the_rest_smoothly() -> None:
    known = torch.zeros(1, 8, 8)
    known[:, :, :4] = 1
    rgb = torch.full((1, 3, 8, 8), 0.5) * known[:, None]
    out = fill_holes(View(rgb, known, known))
    torch.testing.assert_close(out, torch.full((1, 3, 8, 8), 0.5))
    assert fill_holes(View(rgb, known, torch.zeros_like(known))).abs().sum() == 0


def test_tidy_closes_pinholes_and_drops_crumbs() -> None:
    known = torch.zeros(1, 12, 12)
    known[:, :, :7] = 1
    known[:, 5, 3] = 0  # a pinhole
    known[:, 2, 10] = 1  # a crumb
    rgb = torch.full((1, 3, 12, 12), 0.25) * known[:, None]
    view = remove_flying_pixels(View(rgb, 2 * known, known))
    want = torch.zeros(12, 12)
    want[:, :7] = 1
    assert torch.equal(view.known[0][1:-1], want[1:-1])
    torch.testing.assert_close(view.rgb[0, 0][1:-1], 0.25 * want[1:-1])
    torch.testing.assert_close(view.depth[0][1:-1], 2 * want[1:-1])


def test_settled_depth_is_smooth_on_surfaces_and_steps_at_edges() -> None:
    """A near board before a far wall, its depth grainy and its edge a ramp: grain goes, the ramp becomes a step."""
    torch.manual_seed(0)
    true = torch.full((SIZE, SIZE), 8.0)
    true[:, :24] = 2.0
    rgb = torch.where(true < 4, 0.8, -0.8).expand(3, -1, -1)
    ramp = torch.nn.functional.avg_pool2d(
        torch.nn.functional.pad(1 / true[None, None], (1, 1, 0, 0), mode="replicate"), (1, 3), 1
    )
    guess = 1 / (ramp[0, 0] * (1 + 0.05 * torch.randn(SIZE, SIZE)))
    depth = smooth_depth(rgb, guess, torch.tensor(LENS))
    error = ((depth / true).log()).abs()
    assert error.mean() < 0.5 * ((guess / true).log()).abs().mean()
    between = (depth > 2.6) & (depth < 6.0)
    assert between.sum() == 0 < ((guess > 2.6) & (guess < 6.0)).sum(), "nothing flies between the board and the wall"
    assert smooth_depth(rgb, torch.zeros_like(guess), torch.tensor(LENS)).sum() == 0


def test_layers_keep_the_front_surface_and_trust_the_first_view_of_it() -> None:
    def flat(colour: float, depth: list[float]) -> View:
        d = torch.tensor([[depth]])
        known = (d > 0).float()
        return View(torch.full((1, 3, 1, len(depth)), colour) * known[:, None], d, known)

    view = merge_views([flat(1.0, [2.0, 6.0, 0.0, 0.0]), flat(2.0, [2.1, 2.0, 3.0, 0.0])])
    assert view.rgb[0, 0, 0].tolist() == [1, 2, 2, 0], "the first, the nearer, the only one, none"
    assert view.known[0, 0].tolist() == [1, 1, 1, 0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 3e38])
def test_what_is_no_number_is_unknown(bad: float) -> None:
    """As a damaged session may hold it: nothing breaks, and what is well is shown as before."""
    rgb, depth = seen(at())
    depth[:, :4] = bad
    view = reproject(rgb, depth, at(), at(z=0.1))
    far = at()
    far.pose[0, 0, 3] = bad
    nowhere = reproject(rgb, depth, far, at())
    assert bool(view.depth.isfinite().all()) and float(view.known[:, 8:].mean()) > 0.9
    assert float(nowhere.known.sum()) == 0


def test_what_comes_too_near_is_unknown() -> None:
    """A wall seen from 4 m: from 2.5 m it is 1.6 times as large, from 1 m four times."""
    rgb, depth = torch.rand(1, 3, 16, 16), torch.full((1, 16, 16), 4.0)
    assert reproject(rgb, depth, at(), at(z=1.5), most=2.0).known.all()
    assert not reproject(rgb, depth, at(), at(z=3.0), most=2.0).known.any()
    assert reproject(rgb, depth, at(), at(z=3.0)).known.all()


def test_what_is_too_coarse_to_show_still_hides_what_is_behind() -> None:
    """A board seen from 4 m, now 1 m away; another view knows the wall behind it, and in its left half the board, from 1.2 m."""
    rgb, board = torch.rand(1, 3, 16, 16), torch.full((1, 16, 16), 4.0)
    coarse = reproject(rgb, board, at(), at(z=3.0), most=2.0)
    assert not coarse.known.any() and bool((coarse.depth > 0).all())
    depth = torch.full((1, 16, 16), 9.0)
    depth[..., :8] = 1.1
    other = View(torch.rand(1, 3, 16, 16), depth, torch.ones(1, 16, 16))
    for views in ([coarse, other], [other, coarse]):
        seen = merge_views(views)
        assert bool(seen.known[..., :8].all()) and not seen.known[..., 8:].any()
        assert torch.equal(seen.rgb[..., :8], other.rgb[..., :8]) and not seen.depth[..., 8:].any()


def test_what_is_too_coarse_to_show_does_not_hide_itself() -> None:
    """A wall guessed 5 % too near from 8 m seems 20 % too near from 2 m, where another view has it right."""
    coarse = reproject(torch.rand(1, 3, 16, 16), torch.full((1, 16, 16), 7.6), at(), at(z=6.0), most=2.0)
    true = View(torch.rand(1, 3, 16, 16), torch.full((1, 16, 16), 2.0), torch.ones(1, 16, 16))
    assert not coarse.known.any() and bool(merge_views([coarse, true]).known.all())
