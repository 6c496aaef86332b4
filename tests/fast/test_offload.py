"""Low memory: weights on loan and weights of 16 bits say what the whole network says."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from dreamx.fast.offload import border, lend, offload
from dreamx.frames import Frames, clean
from dreamx.geometry.camera import level
from dreamx.geometry.controls import from_keys, walk
from dreamx.model import umt5, wan_vae
from dreamx.model.attention import MaskedAttention
from dreamx.model.dit import DiT, DiTConfig, ViewConfig
from dreamx.model.kv_cache import KVCache
from dreamx.model.umt5 import UMT5, UMT5Config
from dreamx.model.wan_vae import WanVAE, WanVAEConfig
from dreamx.rollout import Sampler, rollout

CONFIG = DiTConfig(4, 48, 2, 5, 96, 16, frequencies=32, view=ViewConfig(24, 3), hint=True)
CPU = torch.device("cpu")


def network(dtype: torch.dtype = torch.float32) -> DiT:
    torch.manual_seed(0)
    dit = DiT(CONFIG)
    for p in dit.parameters():
        nn.init.normal_(p, std=0.2)
    return dit.to(dtype).requires_grad_(False)


def frames(hint: bool = True) -> Frames:
    torch.manual_seed(1)
    camera = walk(level(), from_keys(["wj"] * 3)).map(lambda x: x[None])
    made = clean(torch.randn(1, 3, 4, 4, 6), camera)
    return replace(made, hint=torch.randn(1, 3, 5, 4, 6) if hint else None, sigma=torch.tensor([[0.0, 0.5, 1.0]]))


TEXT = torch.randn(1, 7, 16, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(("group", "ahead"), [(1, False), (2, False), (1, True), (2, True), (5, False), (9, True)])
@torch.inference_mode()
def test_blocks_on_loan_say_the_same_bit_for_bit(group: int, ahead: bool) -> None:
    """The weights rest in bfloat16 and compute in float32, so that a loan is a copy on a CPU, too."""
    dit = network(torch.bfloat16)
    whole = deepcopy(dit).float()
    largest = max(sum(2 * x.nbytes for x in b.parameters()) for b in dit.blocks)
    rest = [p.data_ptr() for p in dit.blocks.parameters()]
    loan = offload(dit, CPU, torch.float32, group, ahead)
    for _ in range(2):
        assert torch.equal(dit(frames(), TEXT, MaskedAttention()), whole(frames(), TEXT, MaskedAttention()))
    assert loan.most <= largest * min(5, group * (2 if ahead else 1))
    assert [p.data_ptr() for p in dit.blocks.parameters()] == rest  # as before, not copied back
    assert {p.dtype for p in dit.blocks.parameters()} == {torch.bfloat16}
    assert ahead or not loan.here
    loan.end()
    assert not loan.here


def test_the_same_device_and_dtype_costs_nothing() -> None:
    dit = network()
    loan = offload(dit, CPU)
    with torch.inference_mode():
        assert torch.equal(dit(frames(), TEXT, MaskedAttention()), network()(frames(), TEXT, MaskedAttention()))
        seen: list[int] = []
        dit.blocks[2].register_forward_pre_hook(lambda m, _: seen.append(next(m.parameters()).data_ptr()))
        dit(frames(), TEXT, MaskedAttention())
    assert seen == [next(dit.blocks[2].parameters()).data_ptr()]
    loan.end()


def test_a_pass_that_fails_leaves_nothing_on_loan() -> None:
    dit = network(torch.bfloat16)
    loan = offload(dit, CPU, torch.float32)

    class Fails(MaskedAttention):
        def __call__(self, *_: object) -> Tensor:
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"), torch.inference_mode():
        dit(frames(), TEXT, Fails())
    assert not loan.here
    assert {p.dtype for p in dit.blocks.parameters()} == {torch.bfloat16}
    with torch.inference_mode():
        assert torch.equal(
            dit(frames(), TEXT, MaskedAttention()), network(torch.bfloat16).float()(frames(), TEXT, MaskedAttention())
        )


@torch.inference_mode()
def test_a_rollout_on_16_bits_keeps_its_account_in_float32() -> None:
    dit, plain = network(torch.bfloat16), network(torch.bfloat16)
    border(dit)
    got = dit(frames(), TEXT, MaskedAttention())
    f = frames()
    assert f.hint is not None
    half = replace(f, z=f.z.bfloat16(), hint=f.hint.bfloat16())
    assert got.dtype == torch.float32
    assert torch.equal(got, plain(half, TEXT.bfloat16(), MaskedAttention()).float())
    border(dit)  # twice is once
    assert torch.equal(got, dit(frames(), TEXT, MaskedAttention()))
    full = network()(frames(), TEXT, MaskedAttention())
    assert 0 < float((got - full).norm() / full.norm()) < 0.05


@torch.inference_mode()
def test_a_rollout_on_loan_is_the_rollout() -> None:
    dit = network(torch.bfloat16)
    whole = deepcopy(dit).float()
    offload(dit, CPU, torch.float32, group=2)
    camera = walk(level(), from_keys(["wj"] * 9)).map(lambda x: x[None])
    noise, sampler = torch.randn(1, 9, 4, 4, 6), Sampler(steps=2, window=6, sinks=1)
    a, b = ([x.z for x in rollout(net, noise, camera, TEXT, sampler, torch.Generator().manual_seed(0))] for net in (dit, whole))
    assert len(a) == 3
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert isinstance(sampler.cache(), KVCache)


@torch.inference_mode()
def test_the_text_encoder_is_there_while_it_reads() -> None:
    torch.manual_seed(0)
    config = UMT5Config(rows=40, width=24, heads=3, head=4, mlp=36, layers=2, words=9)
    text = UMT5(config).bfloat16().requires_grad_(False).eval()
    whole = umt5.load({k: x.float() for k, x in text.state_dict().items()}, config, None)
    loan = lend([[text]], CPU, torch.float32)
    text.ids = lambda prompt: [len(prompt), 7, 1]
    assert torch.equal(text(["a", "bc"]), whole.encode([[1, 7, 1], [2, 7, 1]]))
    assert loan.most == 2 * sum(x.nbytes for x in text.parameters())
    assert not loan.here


@torch.inference_mode()
def test_the_autoencoder_is_there_a_level_at_a_time() -> None:
    config = WanVAEConfig(4, 4, 6, (1, 2, 4, 4), 1, mean=(0.0,) * 4, std=(1.0,) * 4)
    torch.manual_seed(0)
    vae = WanVAE(config).bfloat16().requires_grad_(False).eval()
    whole = wan_vae.load({k: x.float() for k, x in vae.state_dict().items()}, config)
    for part in (vae.post_quant_conv, vae.decoder.conv_in, vae.decoder.norm_out, vae.decoder.conv_out):
        part.float()
    levels = [[vae.decoder.mid_block], *([block] for block in vae.decoder.up_blocks)]
    loan = lend(levels, CPU, torch.float32)
    z = torch.randn(1, 3, 4, 2, 2)
    assert torch.equal(vae.decode(z).rgb, whole.decode(z).rgb)
    assert 0 < loan.most < 0.5 * sum(x.nbytes for x in whole.decoder.parameters())


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="group: must be 1"):
        offload(network(), CPU, group=0)
    with pytest.raises(ValueError, match="groups: there must be"):
        lend([[]], CPU)


@pytest.mark.gpu
@torch.inference_mode()
def test_on_a_gpu_it_is_what_the_gpu_says() -> None:
    cuda = torch.device("cuda")
    dit, whole = network(), network().to(cuda)
    border(whole)
    want = whole(frames(), TEXT, MaskedAttention())
    for ahead in (False, True):
        other = deepcopy(dit)
        loan = offload(other, cuda, ahead=ahead)
        for _ in range(3):
            assert torch.equal(other(frames(), TEXT, MaskedAttention()), want)
        assert loan.most < sum(x.nbytes for x in dit.blocks.parameters())
