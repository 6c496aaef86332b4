"""Weights in 8 and 6 bits: how far they are off, that files of before are read, and what of a file is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

import micro
from dreamx.checkpoints import few_bits, native
from dreamx.model.place_field import PlaceField, PlaceFieldConfig
from dreamx.model.vae import VAE
from dreamx.world import World

SIZE = PlaceFieldConfig(("here",), (4.0,), height=3.0, cells=64, layers=16, levels=(8, 16), entries=2**12, sky=(8, 24))


def blocks(x: Tensor, size: int) -> Tensor:
    flat = x.flatten()
    return torch.cat([flat, flat.new_zeros(-len(flat) % size)]).view(-1, size)


@pytest.mark.parametrize(("bits", "most", "size"), [(8, 127, 1024), (6, 31, 64)])
def test_numbers_are_off_by_half_a_step_of_their_block(bits: int, most: int, size: int) -> None:
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(70, 1001, generator=rng) * torch.logspace(-4, 1, 70)[:, None]
    found, notes = few_bits.stored({"table": x, "count": torch.tensor([3])}, {"": bits})
    assert sum(t.nbytes for t in found.values()) < (bits / 8 + 2.1 / size) * x.numel() + 16
    back = few_bits.restored(found, notes)
    assert set(back) == {"table", "count"} and back["table"].shape == x.shape
    largest = blocks(x, size).abs().amax(1, keepdim=True)
    # Half a step, and what float16 takes from the scale: a part in 2048 of it.
    assert bool((blocks(back["table"] - x, size).abs() <= largest * (0.5 / most + 1 / 1024) + 2.0**-20).all())
    assert bool((blocks(back["table"], size).abs().amax(1) > 0.99 * largest[:, 0] - 2.0**-20).all())


def test_every_number_of_6_bits_comes_back() -> None:
    codes = torch.arange(-31, 32).repeat(1041)[:65536]
    codes[::64] = 31  # so that each block has the scale 1
    x = codes.float()
    for n in (65536, 65535, 65534, 65533):
        found, notes = few_bits.stored({"a": x[:n]}, {"a": 6})
        assert found["a"].dtype == torch.uint8 and found["a"].shape == (49152,)
        assert torch.equal(few_bits.restored(found, notes)["a"], x[:n])


def test_what_is_small_stays_float16_and_the_longest_name_counts() -> None:
    made = {"a.far": (200, 200), "a.near": (200, 200), "b": (200, 200), "a.row": (40000,), "a.few": (60, 60)}
    made["a.out"] = (30, 30, 6, 6)
    found, _ = few_bits.stored({name: torch.randn(shape) for name, shape in made.items()}, {"a": 6, "a.near": 8})
    kinds = {name: found[name].dtype for name in made}
    assert kinds == {
        "a.far": torch.uint8, "a.near": torch.int8, "b": torch.float16, "a.row": torch.uint8, "a.few": torch.float16,
        "a.out": torch.float16,
    }  # fmt: skip


def field(folder: Path, bits: int) -> PlaceField:
    torch.manual_seed(0)
    net = micro.field(SIZE)
    native.save(folder, {"places": (net, SIZE)}, few={"places": bits})
    return net


def test_a_field_in_few_bits_shows_what_it_showed(tmp_path: Path) -> None:
    torch.manual_seed(0)
    native.save(tmp_path / "16", {"places": (micro.field(SIZE), SIZE)}, half=True)
    for bits, most in ((8, 0.006), (6, 0.018)):
        net = field(tmp_path / str(bits), bits)
        sizes = [(tmp_path / kind / "places.safetensors").stat().st_size for kind in ("16", str(bits))]
        assert sizes[1] < (bits + 1) / 16 * sizes[0]
        back = native.load(tmp_path / str(bits), "places", PlaceField, PlaceFieldConfig)
        for name, x in net.state_dict().items():
            assert float((back.state_dict()[name] - x).abs().max()) <= most * float(x.abs().max()) + 1e-6, name


def test_a_file_that_was_written_before_there_were_6_bits_is_read(tmp_path: Path) -> None:
    """Without a word in its header; as those of float16 and of float32 are."""
    net = field(tmp_path, 8)
    file = tmp_path / "places.safetensors"
    with safe_open(file, "pt") as f:
        assert not f.metadata()
    before = native.read(file)
    for kind in (torch.float16, torch.float32):
        save_file({k: x.to(kind).contiguous() for k, x in net.state_dict().items()}, file)
        read = native.read(file)
        assert {x.dtype for x in read.values()} == {kind} and read.keys() == before.keys()


def test_a_network_that_is_written_again_stays_as_it_is(tmp_path: Path) -> None:
    """A world that is opened and exported loses nothing more: numbers that are steps of 8 bits are the same steps."""
    field(tmp_path, 8)
    once = native.load(tmp_path, "places", PlaceField, PlaceFieldConfig)
    native.save(tmp_path / "again", {"places": (once, SIZE)}, few={"places": 8})
    again = native.read(tmp_path / "again/places.safetensors")
    assert all(torch.equal(x, again[k]) for k, x in once.state_dict().items() if x.ndim > 3)


def test_a_small_world_opens_and_says_how_it_is_stored(tmp_path: Path) -> None:
    torch.manual_seed(0)
    world = micro.world()
    world.export(tmp_path / "whole")
    world.export(tmp_path / "small", small=True)
    wide = VAE(replace(micro.ENCODER, encoder=(64, 64, 64), decoder=(64, 64, 64)))
    native.save(tmp_path / "wide", {"vae": (wide, wide.config)}, few={"vae": 6})
    with safe_open(tmp_path / "wide/vae.safetensors", "pt") as f:
        said = json.loads(f.metadata()[few_bits.SHAPES])
    assert said and all(x.numel() >= 2**15 for k, x in wide.state_dict().items() if k in said)
    for name, tensors in ((n, native.read(tmp_path / f"small/{n}.safetensors")) for n in ("dit", "vae", "text")):
        whole = native.read(tmp_path / f"whole/{name}.safetensors")
        assert all(
            torch.allclose(x.float(), whole[k], rtol=1e-3, atol=0.005 * float(whole[k].abs().max())) for k, x in tensors.items()
        )
    again = World.open(tmp_path / "small")
    assert again.identity != World.open(tmp_path / "whole").identity
    assert again.reset(micro.picture(), "a park").shape == (1, 3, micro.SIZE, micro.SIZE)


def test_a_scale_or_a_shape_that_is_lost_or_odd_is_one_sentence(tmp_path: Path) -> None:
    for bits, end in ((8, few_bits.SCALE), (6, few_bits.SCALE_6)):
        field(tmp_path, bits)
        file = tmp_path / "places.safetensors"
        whole = load_file(file)
        with safe_open(file, "pt") as f:
            notes: dict[str, str] = f.metadata() or {}
        scale = next(name for name in whole if name.endswith(end))
        table = scale.removesuffix(end)
        shapes = json.loads(notes.get(few_bits.SHAPES, "{}"))
        cases = [
            ({k: x for k, x in whole.items() if k != scale}, notes, f"'{table}' is in {bits} bits, and its scale is not there"),
            ({**whole, table: whole[table].float()}, notes, f"is the scale of numbers in {bits} bits that are not there"),
            ({**whole, scale: whole[scale][:-1]}, notes, f"where '{table}' needs"),
            ({**whole, scale: whole[scale][:, None]}, notes, f"where '{table}' needs"),
            ({**whole, scale: whole[scale].int()}, notes, f"where '{table}' needs"),
        ]
        if bits == 6:
            odd = ([3, 3], [-1, *shapes[table]], "all", [2.5], [1] * 20, [2**40, 2**40])
            for shape in odd:
                said = {few_bits.SHAPES: json.dumps({**shapes, table: shape})}
                cases.append((whole, said, "numbers in 6 bits that are not there|must be an object of shapes by name"))
            cases.append((whole, {}, "numbers in 6 bits that are not there"))
            cases.append((whole, {few_bits.SHAPES: "[1"}, "places.safetensors: "))
        for tensors, said, why in cases:
            save_file(tensors, file, said or None)
            with pytest.raises(ValueError, match=why) as e:
                native.load(tmp_path, "places", PlaceField, PlaceFieldConfig)
            assert "\n" not in str(e.value)
