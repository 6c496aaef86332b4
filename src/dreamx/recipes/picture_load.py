"""Loads of stages that train other networks than a transformer, for a dry run: counted by the networks' own forward passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

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
from dreamx.train.autoencoder import AutoencoderStage
from dreamx.train.classifier import ClassifierStage
from dreamx.train.decoder import PARTS, Critic, DecoderStage
from dreamx.train.depth import DepthStage
from dreamx.train.features import FeatureStage
from dreamx.train.known_places import PlacesStage
from dreamx.train.pose import PoseStage
from dreamx.train.trainable import freeze


def picture_loader(name: str, cfg: Any, size: tuple[int, int], vae_config: VAEConfig) -> Callable[[int | None, bool], StageLoad]:
    """Return the load of a stage, on pictures of ``size``, in float32: both passes, without the sums of its loss."""
    with META:
        nets, forward = _built(cfg, size, vae_config)
    whole = isinstance(cfg, DecoderStage | PlacesStage)
    every = nn.ModuleList(nets)

    def load(batch: int | None, checkpointed: bool) -> StageLoad:
        _ = checkpointed  # there are no blocks of a transformer
        clips = batch or cfg.batch
        cost = count_step(lambda: forward(clips), every.parameters())
        counts = (count_parameters(every), count_parameters(every, trained=True), max(map(count_parameters, every)))
        return StageLoad(
            name, *counts, cost, cfg.run.steps, clips, product_dtype(cfg), average=cfg.run.ema is not None, whole=whole
        )

    return load


def _built(cfg: Any, size: tuple[int, int], vae_config: VAEConfig) -> tuple[list[nn.Module], Callable[[int], Tensor]]:
    """The networks of a stage, and its forward pass for a batch of so many."""

    def pictures(*shape: int) -> Tensor:
        return torch.empty(*shape, *size, device=META)

    if isinstance(cfg, AutoencoderStage | DecoderStage):
        sharpen = isinstance(cfg, DecoderStage)
        # A decoder goes on from the autoencoder of an earlier step.
        vae, critic = VAE(vae_config), Critic(cfg.critic) if sharpen else None
        if sharpen:
            freeze(vae, [p for p in PARTS if getattr(vae, p) is not None], "vae")
        return [vae, *([] if critic is None else [critic])], _autoencoder(cfg, size, pictures, vae, critic)
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


def _autoencoder(
    cfg: AutoencoderStage | DecoderStage, size: tuple[int, int], pictures: Callable[..., Tensor], vae: VAE, critic: Critic | None
) -> Callable[[int], Tensor]:
    """The forward pass of an autoencoder, under its critic where there is one: a look at what was made, two at both."""

    def forward(batch: int) -> Tensor:
        c, f = vae.config, cfg.frames
        noise = torch.empty(batch, latent_count(f), c.latent, size[0] // c.shrink, size[1] // c.shrink, device=META)
        hint = View(pictures(batch, f, 3), pictures(batch, f), pictures(batch, f)) if c.hint else None
        planes, _ = vae(pictures(batch, f, 3), noise, hint)
        if critic is None:
            return planes.mean()
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
