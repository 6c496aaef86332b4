"""Pruning of a decoder: bit-equal where nothing goes, equal where what goes was dead, and in the order of what pictures lose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from dreamx.model.memory_hint import PLANES
from dreamx.model.vae import VAE, VAEConfig
from dreamx.model.wan_vae import WanVAE, WanVAEConfig
from dreamx.train.channel_pruning import ChannelGroup, channel_groups, importance, prune, pruned_config

SMALL = VAEConfig(latent=4, encoder=(8, 8, 8), decoder=(32, 48, 64), blocks=(1, 2, 1), hint=True)
WAN = WanVAEConfig(encoder=4, decoder=8)


def random(config: VAEConfig | WanVAEConfig) -> VAE | WanVAE:
    """An autoencoder in float64 whose every weight is random: layers that begin at zero hide what is behind them."""
    torch.manual_seed(3)
    net = (VAE(config) if isinstance(config, VAEConfig) else WanVAE(config)).double().eval()
    for x in net.parameters():
        x.data.normal_(0, 0.4 * x[0].numel() ** -0.5 if x.ndim > 1 else 0.3)
    for name, x in net.named_parameters():
        if "gamma" in name or ("norm" in name and name.endswith("weight")):
            x.data.add_(1)
    return net


def pictures(net: VAE | WanVAE) -> Tensor:
    """What it decodes of three latents, as raw planes."""
    rng = torch.Generator().manual_seed(5)
    z = torch.randn(1, 3, net.config.latent, 3, 2, dtype=torch.float64, generator=rng)
    if isinstance(net, WanVAE):
        made, state = list[Tensor](), None
        for latent in z.unbind(1):
            weight = net.post_quant_conv.weight  # `planes` gives float32; the sums are to be seen
            x, state = net.planes(latent.to(weight.dtype), state)
            made.append(x)
        return torch.cat(made, 1)
    shape = (3, 4 * 6, net.config.shrink * 3, net.config.shrink * 2)
    grouped = torch.randn(shape, dtype=torch.float64, generator=rng)
    assert net.hint is not None
    assert PLANES == 6
    beside = net.hint(grouped)[::-1]
    x, _ = net.decoder(net.from_latent(z.flatten(0, 1)), 3, None, beside)
    return net.out(x)


def chance(groups: list[ChannelGroup]) -> list[Tensor]:
    rng = torch.Generator().manual_seed(9)
    return [torch.rand(group.units, generator=rng, dtype=torch.float64) for group in groups]


@pytest.mark.parametrize("config", [SMALL, WAN, replace(SMALL, hint=False, decoder=(16, 24, 40))])
def test_nothing_pruned_is_the_same_bit_for_bit(config: VAEConfig | WanVAEConfig) -> None:
    net = random(config)
    assert pruned_config(config, 0.0) == config
    groups = channel_groups(net)
    other = prune(net, config, groups, chance(groups)).double()
    want, got = net.state_dict(), other.state_dict()
    assert want.keys() == got.keys()
    assert all(torch.equal(want[k].float(), got[k].float()) for k in want)


@pytest.mark.parametrize(
    "config", [SMALL, WAN, replace(WAN, multiples=(1, 1, 2, 2), blocks=1), replace(WAN, multiples=(1, 1, 1), time=(False, True))]
)
@pytest.mark.parametrize("share", [0.5, 0.75])
def test_dead_channels_are_not_missed(config: VAEConfig | WanVAEConfig, share: float) -> None:
    """Dead: their weights are 0, everywhere. They are found to be worth nothing, and without them the pictures are the same."""
    net, small = random(config), pruned_config(config, share)
    groups = channel_groups(net)
    state = net.state_dict()
    for group, value in zip(groups, chance(groups), strict=True):
        left = max(1, round(group.units * (1 - share)))
        for axis in group.axes:
            state[axis.key].movedim(axis.dim, 0)[axis.at[value.argsort()[left:]].flatten()] = 0
    whole = pictures(net)
    worth = weighed(net, groups, lambda: pictures(net), 2)
    for group, value in zip(groups, worth, strict=True):
        assert int((value > 0).sum()) == max(1, round(group.units * (1 - share)))
    other = prune(net, small, groups, worth).double().eval()
    assert sum(x.numel() for x in other.parameters()) < 0.8 * sum(x.numel() for x in net.parameters())
    assert float((pictures(other) - whole).detach().abs().max()) < 2e-6 * float(whole.abs().max()), "weights are float32"


class Decoding(nn.Module):
    """An autoencoder of ours that decodes the same latents in every call."""

    def __init__(self, net: VAE, z: Tensor) -> None:
        super().__init__()
        self.net, self.z = net, z

    def forward(self) -> Tensor:
        return self.net._planes(self.z, None, None)[0]


def gradients(net: nn.Module, made: Tensor, signs: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A probe: the weights, and the gradients of ``made`` times ``signs``."""
    names = dict(net.named_parameters())
    each = torch.autograd.grad(made, list(names.values()), signs, allow_unused=True, retain_graph=True)
    return dict(names), {k: g for k, g in zip(names, each, strict=True) if g is not None}  # pyright: ignore[reportUnnecessaryComparison]


def weighed(net: nn.Module, groups: list[ChannelGroup], made: Callable[[], Tensor], probes: int) -> list[Tensor]:
    """Importance by so many backward passes with random signs."""
    rng, found = torch.Generator().manual_seed(1), list[tuple[dict[str, Tensor], dict[str, Tensor]]]()
    for _ in range(probes):
        shown = made()
        found.append(gradients(net, shown, torch.randint(2, shown.shape, generator=rng).to(shown) * 2 - 1))
    return [importance(group, found) for group in groups]


def test_every_channel_of_a_decoder_is_in_a_group() -> None:
    """But those of latents and pictures; at 0.75 a quarter of the channels is left, and 7 % of the numbers of Wan2.2's."""
    for config in (SMALL, WAN):
        net = random(config)
        groups, held = channel_groups(net), set[tuple[str, int]]()
        for group in groups:
            held |= {(axis.key, axis.dim) for axis in group.axes}
        for key, x in net.state_dict().items():
            if not key.startswith(("decoder.", "hint.", "from_latent.", "out.")):
                continue
            free = {("from_latent.weight", 1), ("out.weight", 1), ("hint.into.weight", 1), ("decoder.conv_in.weight", 1)}
            free |= {("decoder.conv_out.weight", 0), ("decoder.conv_out.bias", 0), ("out.bias", 0)}
            want = {(key, d) for d in range(min(2, x.ndim)) if x.shape[d] > 1} - free
            assert want <= held, key
    assert pruned_config(WanVAEConfig(), 0.75) == WanVAEConfig(decoder=64)
    assert pruned_config(VAEConfig(decoder=(64, 112, 160)), 0.75) == VAEConfig(decoder=(16, 32, 32)), "norm groups of 16 go whole"
    assert pruned_config(VAEConfig(decoder=(16, 24, 28)), 0.75) == VAEConfig(decoder=(4, 6, 7)), "a norm over all: one by one"
    with torch.device("meta"):
        sizes = [sum(x.numel() for x in WanVAE(WanVAEConfig(decoder=w)).decoder.parameters()) for w in (256, 64)]
    assert sizes[1] / sizes[0] == pytest.approx(0.0627, abs=1e-3)


def test_importance_is_the_second_order_change_of_the_pictures() -> None:
    """Over all signs that are 0 but for one, what is summed is |J w|^2 exactly; held against a derivative along w."""
    config = VAEConfig(latent=2, encoder=(4,), decoder=(6,), blocks=(1,))
    torch.manual_seed(0)
    net = VAE(config).double().eval()
    for x in net.parameters():
        x.data.normal_(0, 0.5)
    groups, names = channel_groups(net), dict(net.named_parameters())
    z = torch.randn(1, 1, 2, 2, 1, dtype=torch.float64)

    decoding = Decoding(net, z)

    def made(weights: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(decoding, {f"net.{k}": w for k, w in weights.items()}, ())

    out = decoding().flatten()
    probes = [gradients(net, out, one) for one in torch.eye(len(out), dtype=torch.float64)]
    for group in groups:
        got = importance(group, probes)
        for u in range(group.units):
            along = {k: torch.zeros_like(p) for k, p in names.items()}
            for axis in group.axes:
                at = axis.at[u]
                along[axis.key].movedim(axis.dim, 0)[at] = names[axis.key].detach().movedim(axis.dim, 0)[at]
            near = [made({k: p.detach() + h * along[k] for k, p in names.items()}) for h in (1e-5, -1e-5)]
            change = (near[0] - near[1]) / 2e-5
            assert float(got[u]) == pytest.approx(float(change.square().sum()), rel=1e-6)


def test_what_matters_least_goes_first() -> None:
    """Channels of a block are planted: ever less is read of them, and ever larger is what writes them, which misleads a sum of
    squared weights. The order is the planted one, it is the order of what the pictures lose, and so those that stay are right."""
    net = random(replace(SMALL, hint=False))
    assert isinstance(net, VAE)
    block = net.decoder.levels[1][0]  # pyright: ignore[reportIndexIssue]
    order = torch.randperm(48, generator=torch.Generator().manual_seed(2))  # of channels, the most important first
    scale = torch.empty(48, dtype=torch.float64)
    scale[order] = 1.6 ** -torch.arange(48, dtype=torch.float64)
    second = block.second.weight.data
    second.mul_((scale / second.transpose(0, 1).flatten(1).norm(dim=1))[None, :, None, None])
    for layer in (block.first, block.message):
        layer.weight.data.mul_((3 - scale).div(layer.weight.data.flatten(1).norm(dim=1))[:, None, None, None])

    read = Decoding(net, torch.randn(2, 2, 4, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(4)))
    group = next(g for g in channel_groups(net) if g.axes[0].key == "decoder.levels.1.0.first.weight")
    worth = weighed(net, [group], read, 24)[0]
    found, rank = worth.argsort(descending=True), torch.empty(48)
    rank[order] = torch.arange(48.0)
    assert float((rank[found] - torch.arange(48.0)).abs().max()) <= 6, "neighbours may change places: other weights are random"
    assert set(found[:12].tolist()) <= set(order[:16].tolist())

    lost = torch.empty(48, dtype=torch.float64)
    with torch.no_grad():
        whole = read()
        for c in range(48):
            kept = second[:, c].clone()
            second[:, c] = 0
            lost[c] = (read() - whole).square().mean()
            second[:, c] = kept
    assert correlation(worth, lost) > 0.98
    sizes = sum(x.data.transpose(0, d).flatten(1).square().sum(1) for x, d in ((block.first.weight, 0), (block.second.weight, 1)))
    assert isinstance(sizes, Tensor)
    assert correlation(sizes, lost) < 0, "what is written by large weights is read by small ones here"


def correlation(a: Tensor, b: Tensor) -> float:
    """Of ranks."""
    return float(torch.corrcoef(torch.stack([x.argsort().argsort().double() for x in (a, b)]))[0, 1])
