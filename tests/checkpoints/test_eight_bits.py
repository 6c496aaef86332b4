"""Tables in 8 bits: how far they are off, and what of a file is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import micro
from dreamx.checkpoints import eight_bits, native
from dreamx.model.place_field import PlaceField, PlaceFieldConfig

SIZE = PlaceFieldConfig(("here",), (4.0,), height=3.0, cells=64, layers=16, levels=(8, 16), entries=2**12, sky=(8, 24))


def test_numbers_are_off_by_half_a_step_of_their_block() -> None:
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(70, 1001, generator=rng) * torch.logspace(-4, 1, 70)[:, None]
    small = torch.randn(5, generator=rng)
    found = eight_bits.stored({"table": x, "small": small, "count": torch.tensor([3])})
    assert found["table"].dtype == torch.int8 and found["table"].shape == x.shape
    assert found["small"].dtype == torch.float16
    back = eight_bits.restored(found)
    assert set(back) == {"table", "small", "count"}
    largest = eight_bits._blocks(x).abs().amax(1, keepdim=True)
    assert bool((eight_bits._blocks(back["table"] - x).abs() <= largest * (0.51 / 127)).all())
    assert bool((eight_bits._blocks(back["table"]).abs().amax(1) > 0.99 * largest[:, 0]).all())


def test_a_field_in_8_bits_shows_what_it_showed(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = micro.field(SIZE)
    native.save(tmp_path / "half", {"places": (net, SIZE)}, half=True)
    native.save(tmp_path / "eight", {"places": (net, SIZE)}, half=True, eight=("places",))
    sizes = [(tmp_path / kind / "places.safetensors").stat().st_size for kind in ("half", "eight")]
    assert sizes[1] < 0.6 * sizes[0]
    back = native.load(tmp_path / "eight", "places", PlaceField, PlaceFieldConfig)
    for name, x in net.state_dict().items():
        assert float((back.state_dict()[name] - x).abs().max()) <= 0.006 * float(x.abs().max()) + 1e-6, name


def test_a_scale_that_is_lost_or_odd_is_one_sentence(tmp_path: Path) -> None:
    torch.manual_seed(0)
    native.save(tmp_path, {"places": (micro.field(SIZE), SIZE)}, half=True, eight=("places",))
    file = tmp_path / "places.safetensors"
    whole = load_file(file)
    scale = next(name for name in whole if name.endswith(eight_bits.SCALE))
    table = scale.removesuffix(eight_bits.SCALE)
    for tensors, why in (
        ({k: x for k, x in whole.items() if k != scale}, f"'{table}' is in 8 bits, and its scale is not there"),
        ({**whole, table: whole[table].float()}, "is the scale of numbers in 8 bits that are not there"),
        ({**whole, scale: whole[scale][:-1]}, f"scales where '{table}' needs"),
    ):
        save_file(tensors, file)
        with pytest.raises(ValueError, match=why):
            native.load(tmp_path, "places", PlaceField, PlaceFieldConfig)
