"""Memory scores on paths and videos whose answers are known by construction."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx.eval.metrics import similarity
from dreamx.eval.metrics.revisit import control_pairs, find_revisits, revisit_gains, steadiness, views_agree, yaw
from dreamx.geometry.camera import Camera, cat, level
from dreamx.geometry.controls import from_keys, walk


def along(keys: list[str]) -> Camera:
    start = level()
    return cat([start.map(lambda x: x[None]), walk(start, from_keys(keys))])


def picture(seed: int, size: int = 64) -> Tensor:
    """Something with edges, uint8 [3, H, W]."""
    rough = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(seed))
    return (F.interpolate(rough, size=(size, size), mode="nearest")[0] * 255).to(torch.uint8)


def place(camera: Camera) -> Tensor:
    """A perfect memory: what a frame shows is a function of where it is, and nothing else."""
    x = camera.pose[:, 0, 3]
    wide = torch.cat([picture(seed) for seed in range(4)], -1)
    starts = ((x - x.min()) / 0.0375).round().long().tolist()
    return torch.stack([wide[:, :, s : s + 64] for s in starts])


def test_out_and_back_pairs_mirror_each_other() -> None:
    camera = along(["d"] * 20 + ["a"] * 20)  # 41 frames; frame 20 + k is where frame 20 - k was
    pairs = find_revisits(camera)
    for before, after in zip(pairs.before.tolist(), pairs.after.tolist(), strict=True):
        assert before == 40 - after
        assert after - before >= 8  # floor(0.2 * 41)
    assert pairs.after.tolist() == list(range(24, 41))


def test_neither_a_heading_nor_a_place_alone_is_a_revisit() -> None:
    assert len(find_revisits(along(["w"] * 40))) == 0  # same heading, other places
    assert len(find_revisits(along(["l"] * 40))) == 0  # same place, other headings
    whole = along(["l"] * 240)
    assert (find_revisits(whole).before[-1], find_revisits(whole).after[-1]) == (0, 240)  # after a turn, 360 degrees are 0
    assert yaw(along(["l"] * 40))[-1] == pytest.approx(60, abs=1e-3)


def test_the_limits_are_those_of_the_paper() -> None:
    steps = torch.tensor([0.0, 0.099, 0.101])
    pose = torch.eye(4).repeat(3, 1, 1)
    pose[:, 0, 3] = steps
    assert views_agree(Camera(pose, torch.full((3, 4), 0.5)))[0].tolist() == [True, True, False]


def test_what_is_compared_with_has_the_same_gap_and_does_not_agree() -> None:
    camera = along(["d"] * 20 + ["a"] * 20)
    pairs = find_revisits(camera)
    base = control_pairs(camera, pairs)
    assert not bool(views_agree(camera)[base.before, base.after].any())
    gaps = set((pairs.after - pairs.before).tolist())
    assert set((base.after - base.before).tolist()) <= gaps | {39, 38}  # of 40 frames apart there is but the revisit
    again = control_pairs(camera, pairs)
    assert torch.equal(base.before, again.before)
    assert not torch.equal(base.before, control_pairs(camera, pairs, seed=1).before)


def test_a_perfect_memory_gains_and_a_frozen_picture_does_not() -> None:
    camera = along(["d"] * 20 + ["a"] * 20)
    perfect = revisit_gains(place(camera), camera, similarity.WEIGHT_FREE)
    assert perfect.revisit["PSNR"] == 99
    assert perfect.revisit["SSIM"] == pytest.approx(1, abs=1e-5)
    assert perfect.revisit["edges (for LPIPS)"] == 0
    assert all(gain > 0.01 for gain in perfect.gain.values()), perfect.gain
    frozen = revisit_gains(picture(0).expand(41, -1, -1, -1), camera, similarity.WEIGHT_FREE)
    assert all(gain == pytest.approx(0, abs=1e-6) for gain in frozen.gain.values()), frozen.gain


def test_forgetting_gains_nothing() -> None:
    camera = along(["d"] * 20 + ["a"] * 20)
    new = torch.stack([picture(seed) for seed in range(41)])
    forgot = revisit_gains(new, camera, similarity.WEIGHT_FREE)
    assert abs(forgot.gain["PSNR"]) < 0.5
    assert abs(forgot.gain["SSIM"]) < 0.05


def test_a_path_without_revisits_is_refused() -> None:
    with pytest.raises(ValueError, match="never comes back"):
        revisit_gains(torch.zeros(41, 3, 64, 64, dtype=torch.uint8), along(["w"] * 40), similarity.WEIGHT_FREE)
    with pytest.raises(ValueError, match="never leaves"):
        revisit_gains(torch.zeros(41, 3, 64, 64, dtype=torch.uint8), along([""] * 40), similarity.WEIGHT_FREE)
    with pytest.raises(ValueError, match="one camera a frame"):
        revisit_gains(torch.zeros(40, 3, 64, 64, dtype=torch.uint8), along(["w"] * 40), similarity.WEIGHT_FREE)


def test_ssim_of_known_pictures() -> None:
    a = picture(0)[None]
    assert float(similarity.ssim(a, a)) == pytest.approx(1)
    x = torch.full((1, 3, 16, 16), 100, dtype=torch.uint8)
    y = torch.full((1, 3, 16, 16), 50, dtype=torch.uint8)
    p, q, c = 100 / 255, 50 / 255, 0.01**2  # flat pictures: only the term of the means is left
    assert float(similarity.ssim(x, y)) == pytest.approx((2 * p * q + c) / (p * p + q * q + c), abs=1e-4)
    noise = torch.randint(0, 256, (1, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    assert abs(float(similarity.ssim(noise, 255 - noise)) + 1) < 0.1  # the same structure, upside down
    with pytest.raises(ValueError, match="11 pixels"):
        similarity.ssim(a[..., :8], a[..., :8])


def test_stand_ins_prefer_the_same_place() -> None:
    a, b = picture(0)[None], picture(1)[None]
    darker = (a.float() * 0.8).to(torch.uint8)
    for name, of in similarity.WEIGHT_FREE.items():
        assert float(of(a, darker)) > float(of(a, b)), name
    assert float(similarity.sift_match_rate(a, a)) > 0.9
    assert float(similarity.sift_match_rate(torch.zeros_like(a), a)) == 0


def test_a_backbone_of_the_user_is_asked() -> None:
    def embed(pictures: Tensor) -> Tensor:
        return torch.stack([pictures.float().mean((1, 2, 3)), torch.ones(len(pictures))], 1)

    video = torch.zeros(3, 3, 8, 8, dtype=torch.uint8)
    video[1] = 1
    assert steadiness(video, embed) == pytest.approx(0.5**0.5)
    assert float(similarity.cosine_similarity(embed)(video[:1], video[1:2])) == pytest.approx(0.5**0.5)
    assert float(similarity.similarity_from_distance(lambda a, b: torch.ones(len(a)))(video[:1], video[:1])) == -1
    with pytest.raises(ValueError, match="2 frames"):
        steadiness(video[:1], embed)
