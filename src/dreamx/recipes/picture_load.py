"""Loads of stages that train other networks than a transformer, for a dry run: counted by the networks' own forward passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dreamx.budget.plan import decoder_of
from dreamx.budget.training_cost import META, count_step
from dreamx.budget.training_fit import StageLoad
from dreamx.clip import latent_count
from dreamx.eval.estimators.events.event_classifier import Classifier
from dreamx.eval.estimators.events.window import FRAMES as WINDOW
from dreamx.eval.estimators.events.window import SIZE as WINDOW_SIDE
from dreamx.eval.estimators.features.net import FeatureNet
from dreamx.geometry.reproject import View
from dreamx.model.depth_net import Depth
from dreamx.model.place_field import PlaceField
from dreamx.model.vae import VAE, VAEConfig
from dreamx.model.wan_vae import WanVAE, WanVAEConfig
from dreamx.train.autoencoder import AutoencoderStage
from dreamx.train.channel_pruning import pruned_config
from dreamx.train.classifier import ClassifierStage
from dreamx.train.decoder import PARTS, WAN_PARTS, Critic, DecoderStage
from dreamx.train.depth import DepthStage
from dreamx.train.features import FeatureStage
from dreamx.train.known_places import PlacesStage
from dreamx.train.pose import PoseStage
from dreamx.train.trainable import freeze


def picture_loader(
    name: str, cfg: Any, size: tuple[int, int], vae_config: VAEConfig | WanVAEConfig
) -> Callable[[int | None, bool], StageLoad]:
    """Return the load of a stage, on pictures of ``size``, in float32: both passes, without the sums of its loss."""
    with META:
        nets, forward = _built(cfg, size, vae_config)
        taught = isinstance(cfg, DecoderStage) and cfg.prune > 0  # by the whole decoder, which lies beside
        beside = count_parameters(decoder_of(vae_config)) if taught else 0
    whole = isinstance(cfg, DecoderStage | PlacesStage)
    every = nn.ModuleList(nets)

    def load(batch: int | None, checkpointed: bool) -> StageLoad:
        _ = checkpointed  # there are no blocks of a transformer
        clips = batch or cfg.batch
        cost = count_step(lambda: forward(clips), every.parameters())
        counts = (count_parameters(every), count_parameters(every, trained=True), max(map(count_parameters, every)))
        dtype, average = product_dtype(cfg), cfg.run.ema is not None
        return StageLoad(name, *counts, cost, cfg.run.steps, clips, dtype, beside, average=average, whole=whole)

    return load


def _built(
    cfg: Any, size: tuple[int, int], vae_config: VAEConfig | WanVAEConfig
) -> tuple[list[nn.Module], Callable[[int], Tensor]]:
    """The networks of a stage, and its forward pass for a batch of so many."""

    def pictures(*shape: int) -> Tensor:
        return torch.empty(*shape, *size, device=META)

    if isinstance(cfg, AutoencoderStage):
        vae = decoder_of(vae_config)
        return [vae], lambda batch: _planes(cfg, size, vae, batch).mean()
    if isinstance(cfg, DecoderStage):  # goes on from the autoencoder of an earlier step
        net, critic = decoder_of(pruned_config(vae_config, cfg.prune)), Critic(cfg.critic)
        freeze(net, WAN_PARTS if isinstance(net, WanVAE) else [p for p in PARTS if getattr(net, p) is not None], "vae")
        return [net, critic], _decoder(cfg, size, net, critic, decoder_of(vae_config) if cfg.prune else None)
    if isinstance(cfg, DepthStage | PoseStage):
        depth = Depth(cfg.depth)
        return [depth], lambda batch: depth(pictures(batch, 3)).mean()
    if isinstance(cfg, ClassifierStage):
        judge = Classifier(cfg.classifier)
        return [judge], lambda batch: judge(torch.empty(3 * batch, WINDOW, 4, WINDOW_SIDE, WINDOW_SIDE, device=META)).mean()
    if isinstance(cfg, FeatureStage):
        net = FeatureNet(cfg.features)
        return [net], lambda batch: net(pictures(batch, 3)).depth.mean()
    if isinstance(cfg, PlacesStage):
        field = PlaceField(cfg.places)
        return [field], _field(cfg, field)
    raise ValueError(f"dry_run: the stage of {type(cfg).__name__} cannot be counted yet")


def _planes(cfg: AutoencoderStage | DecoderStage, size: tuple[int, int], vae: VAE | WanVAE, batch: int) -> Tensor:
    """Raw planes ``[B, F, 3 or 4, H, W]`` of an autoencoder: of clips, or of pieces of latents for that of Wan2.2."""
    f, c = cfg.frames, vae.config
    rows, cols = (side // c.shrink for side in size)
    if isinstance(vae, WanVAE):
        assert isinstance(cfg, DecoderStage), "the autoencoder of Wan2.2 is not trained"
        made, state = list[Tensor](), None
        for _ in range(latent_count(f)):
            x, state = vae.planes(torch.empty(batch, c.latent, min(cfg.crop, rows), min(cfg.crop, cols), device=META), state)
            made.append(x)
        return torch.cat(made, 1)
    video, depth = torch.empty(batch, f, 3, *size, device=META), torch.empty(batch, f, *size, device=META)
    hint = View(torch.empty_like(video), depth, torch.empty_like(depth)) if vae.config.hint else None
    return vae(video, torch.empty(batch, latent_count(f), c.latent, rows, cols, device=META), hint)[0]


def _decoder(
    cfg: DecoderStage, size: tuple[int, int], net: VAE | WanVAE, critic: Critic, whole: VAE | WanVAE | None
) -> Callable[[int], Tensor]:
    """The forward pass of a decoder under its critic: a look at what was made, two at both; ``whole``: what teaches it."""

    def forward(batch: int) -> Tensor:
        with torch.no_grad():
            if whole is not None:
                _planes(cfg, size, whole, batch)
        planes = _planes(cfg, size, net, batch)
        made = torch.cat([planes[:, :-1, :3], planes[:, 1:, :3]], 2).flatten(0, 1)  # pairs of neighbouring frames
        with torch.no_grad():
            critic(made)
        return (
            planes.mean() + critic(made)[-1].mean() + critic(made.detach())[-1].mean() + critic(torch.empty_like(made))[-1].mean()
        )

    return forward


def _field(cfg: PlacesStage, net: PlaceField) -> Callable[[int], Tensor]:
    """The forward pass of a field: densities along some of the rays, colours of all."""

    def forward(batch: int) -> Tensor:
        origin, ray = torch.empty(batch, 3, device=META), torch.empty(batch, 3, device=META)
        some = min(batch, cfg.shaped)
        depth = net.samples(ray).expand(some, -1) * torch.ones(some, 1, device=META)
        light = net.reaches(0, origin[:some], ray[:some], depth)
        return light.mean() + net.colour(0, origin, ray, torch.empty(batch, device=META)).mean()

    return forward


def count_parameters(module: nn.Module, trained: bool = False) -> int:
    """Count all parameters, or those alone that are trained."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trained)


def product_dtype(cfg: Any) -> torch.dtype:
    """Return the dtype of a stage's products."""
    return torch.bfloat16 if cfg.run.dtype == "bfloat16" else torch.float32
