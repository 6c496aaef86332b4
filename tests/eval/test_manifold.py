"""Distances between sets of features: known answers, and that spoilt sets fall."""

from __future__ import annotations

import pytest
import torch

from dreamx.eval.metrics.manifold import density_coverage, inside, kernel_distance, precision_recall, radii, standardised

N = 400


def normal(seed: int, n: int = N, d: int = 6) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_radii_of_points_on_a_line() -> None:
    x = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    assert radii(x, 1).tolist() == [1, 1, 2, 4]
    assert radii(x, 2).tolist() == [3, 2, 3, 6]
    with pytest.raises(ValueError, match="ask for 1 to 3"):
        radii(x, 4)


def test_inside_by_hand() -> None:
    truth = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    x = torch.tensor([[0.0, 1.0], [0.0, 1.1], [2.0, 0.0], [-1.01, 0.0]])
    assert inside(x, truth, 1).tolist() == [True, False, True, False]


def test_alike_is_near_one_and_spoilt_falls() -> None:
    truth, same = normal(0), normal(1)
    precision, recall = precision_recall(same, truth)
    density, coverage = density_coverage(same, truth)
    assert min(precision, recall, coverage) > 0.85
    assert density == pytest.approx(1, abs=0.1)
    far = normal(2) + 20
    assert precision_recall(far, truth) == (0, 0)
    assert density_coverage(far, truth) == (0, 0)
    collapsed = 0.01 * normal(3)
    precision, recall = precision_recall(collapsed, truth)
    assert precision > 0.9
    assert recall < 0.05, "one picture again and again is not the world"
    assert density_coverage(collapsed, truth)[1] < 0.4


def test_one_outlier_of_the_truth_fools_precision_but_hardly_density() -> None:
    truth = torch.cat([normal(0), torch.full((1, 6), 30.0, dtype=torch.float64)])
    x = normal(4) + 9
    assert precision_recall(x, truth)[0] > 0.9
    assert density_coverage(x, truth)[0] < 0.25


def test_kernel_distance_against_sums_written_out() -> None:
    x, y = normal(5, 7, 3), normal(6, 5, 3)

    def k(a: torch.Tensor, b: torch.Tensor) -> float:
        return (float(a @ b) / 3 + 1) ** 3

    xx = sum(k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j) / 42
    yy = sum(k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j) / 20
    xy = sum(k(a, b) for a in x for b in y) / 35
    assert kernel_distance(x, y) == pytest.approx(xx + yy - 2 * xy, rel=1e-9)
    with pytest.raises(ValueError, match="two pictures"):
        kernel_distance(x[:1], y)


def test_kernel_distance_grows_with_the_shift_and_is_unbiased() -> None:
    truth = normal(7)
    at = [kernel_distance(normal(8) + shift, truth) for shift in (0.0, 0.5, 1.0, 2.0)]
    assert at == sorted(at)
    assert sum(kernel_distance(normal(s), normal(s + 100)) for s in range(20, 40)) / 20 == pytest.approx(0, abs=0.05)


def test_features_count_alike_whatever_their_unit() -> None:
    truth = normal(9) * torch.tensor([1, 1, 1, 1000, 1, 1.0])
    _, flat = standardised(truth, truth)
    assert torch.allclose(flat.std(0), torch.ones(6, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"\[n, d\]"):
        precision_recall(truth, truth[:, :3])
