"""Stage: reinforcement learning of a distilled student, by rewards for the camera and for the quality of its clips.

From one long history of the student's own, made once, a group of candidates goes on; these short clips alone are decoded, scored
and learned from. The loss is DiffusionNFT's (``diffusion_nft``); samples are of the old policy, which follows softly, and the
distilled student is the reference that the policy is held near. Source: DreamX-World 1.0, reinforcement learning; Astrolabe.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dreamx import flow
from dreamx.bounds import FrameCount, InputFile, InputFolder, OutputFolder, PositiveFloat, PositiveInt
from dreamx.checkpoints import native
from dreamx.model.vae import VAE, VAEConfig
from dreamx.rollout import Sampler
from dreamx.train.candidates import CandidatesConfig, check_candidates, make_candidates, noise_chunk
from dreamx.train.clip_rewards import GroupJudge, RewardConfig, true_frames
from dreamx.train.diffusion_nft import (
    NFTConfig,
    OldPolicyConfig,
    ReferenceConfig,
    advantages,
    nft_loss,
    optimality,
    squared_difference,
)
from dreamx.train.distill import with_autocast
from dreamx.train.latents import LatentClips
from dreamx.train.outputs import StartFolder, claim
from dreamx.train.run import Run
from dreamx.train.run_config import RunConfig
from dreamx.train.trainable import move_towards
from dreamx.train.trained_networks import Networks, load

_SHARED = 2**40  # a stream of random numbers that all processes share; their own are numbered from 0
_SHOWN = 8  # candidates in a contact sheet
_COLUMNS = 11
_RECENT = 0.1  # of this update in the average of the drift


@dataclass(frozen=True)
class RewardStage:
    """Train a distilled student by rewards, on rollouts of its own."""

    run: RunConfig
    """Steps, seed, checkpoints: shared by all stages. A step is an update of the policy, by one group or some."""
    data: InputFile
    """File of latents: first frames, cameras, words and hints, and true frames for the reward of quality."""
    start: StartFolder
    """Folder of the causal networks to go on from, best those of distill."""
    vae: InputFolder
    """Folder of the autoencoder that decodes clips for the rewards."""
    out: OutputFolder
    """Folder of the policy."""
    sampler: Sampler = Sampler()
    """Rollouts, as at play; its steps are the noise levels of the loss."""
    candidates: CandidatesConfig = CandidatesConfig()
    """Histories and candidates."""
    reward: RewardConfig = RewardConfig()
    """Weights of the rewards."""
    nft: NFTConfig = NFTConfig()
    """Loss."""
    old: OldPolicyConfig = OldPolicyConfig()
    """Soft update of the policy that draws the samples."""
    reference: ReferenceConfig = ReferenceConfig()
    """Reset of the policy that is stayed near."""
    pose: InputFolder | None = None
    """Folder of the network that reads cameras, of dreamx train pose (or depth). None: the one for rewards of dreamx."""
    features: InputFolder | None = None
    """Folder of the network that describes pictures, of dreamx train features. None: the one for rewards of dreamx."""
    frames: FrameCount | None = None
    """Latent frames of a clip of DATA that are used; None uses all."""
    lr: PositiveFloat = 1e-5
    """Peak learning rate."""
    draws: PositiveInt = 1
    """Times that each candidate is noised and learned from in an update."""
    look_every: PositiveInt = 20
    """Updates between looks at the same clips by the networks that tables use, which nothing is learned from."""
    sheet_every: PositiveInt = 50
    """Updates between contact sheets, sheet.png: candidates of one history, the best first."""

    def __post_init__(self) -> None:
        check_candidates(self.candidates, self.sampler)


def history_length(run: Run, cfg: RewardStage) -> int:
    """Draw the latent frames of this step's histories, whole chunks, alike in all processes: they compute side by side."""
    chunk = cfg.sampler.chunk
    return chunk * (1 + int(torch.randint(cfg.candidates.longest // chunk, (1,), generator=run.generator(run.step, _SHARED))))


def main(cfg: RewardStage) -> None:
    """Train and write ``cfg.out``."""
    reads = [cfg.data, cfg.start, cfg.vae, cfg.pose, cfg.features]
    claim(cfg, "reward", ["dit", "text"], reads, free=("vae", "pose", "features", "look_every"))
    data, run = LatentClips(cfg.data, cfg.frames), Run(cfg.run)
    nets = run.own(load(cfg.start), cfg.lr, name="policy")
    old, reference = run.hold(load(cfg.start)), run.hold(load(cfg.start))
    vae = native.load(cfg.vae, "vae", VAE, VAEConfig).to(run.device).eval().requires_grad_(False)
    _refuse(data, nets, vae)
    drift = torch.zeros(2, dtype=torch.float64)  # its average, and updates since the reference was reset
    run.keep({**_weights(old, "old"), **_weights(reference, "reference"), "drift": drift})
    policy, drawing, held = with_autocast(run, nets), with_autocast(run, old), with_autocast(run, reference)
    true, motion = true_frames(vae, data, cfg.reward.references, run.generator(0, _SHARED + 1), run.device)
    judge = GroupJudge(cfg.reward, true, motion, data.rows[0].fps, cfg.pose, cfg.features)
    weights = torch.tensor(list(cfg.reward.weights.values()), dtype=torch.float64)
    levels = torch.tensor(flow.schedule(cfg.sampler.steps, cfg.sampler.shift)[:-1])
    for rng in run.steps(run.generator):
        length = history_length(run, cfg)
        group = make_candidates(cfg.candidates, cfg.sampler, data, drawing, length, rng, run.device)
        videos = group.decode(vae)  # [B, 1 + 4 T, 3, H, W]
        rewards, said = judge.judge(group, videos, run.step % cfg.look_every == 0)
        good = optimality(advantages(rewards, weights), cfg.nft.most).flatten()  # [B], 0 to 1
        if (run.step + 1) % cfg.sheet_every == 0 or run.step + 1 == run.cfg.steps:
            draw_sheet(run, videos[: group.group], good[: group.group])

        parts = [part for _ in range(cfg.draws) for part in group.chunks]
        far = 0.0
        for number, (past, made) in enumerate(parts):  # chunk by chunk: no gradient crosses them, and memory is that of one
            noisy, target = noise_chunk(made, levels, rng)
            with torch.no_grad():
                before, kept = (group.velocity(net, past, noisy) for net in (drawing, held))
            v = group.velocity(policy, past, noisy)
            away = squared_difference(v, kept)
            loss = nft_loss(v, before, target, good, noisy.sigma, cfg.nft.beta, cfg.nft.adaptive) + cfg.nft.kl * away
            far += run.mean(away) / len(parts)
            if number + 1 < len(parts):
                run.accumulate(nets, loss / len(parts))
            else:
                run.update(nets, loss / len(parts), said | {"kl": far, "history": length})
        move_towards(old, nets, 1 - cfg.old.kept(run.step))
        update_reference(cfg.reference, run, reference, nets, drift, far)
    run.export(cfg.out, nets.parts())


def update_reference(cfg: ReferenceConfig, run: Run, reference: Networks, nets: Networks, drift: Tensor, far: float) -> None:
    """Count this update's distance ``far`` into ``drift [2]``, and make the policy the reference where the rule says so."""
    drift[0] += _RECENT * (far - drift[0])
    drift[1] += 1
    strayed = cfg.drift is not None and float(drift[0]) > cfg.drift
    if strayed or (cfg.every is not None and int(drift[1]) >= cfg.every):
        run.say(f"step {run.step}: the policy is the reference now; they differed by {float(drift[0]):.3g}")
        move_towards(reference, nets, 1.0)
        drift.zero_()


def draw_sheet(run: Run, videos: Tensor, good: Tensor) -> None:
    """Write ``sheet.png``: up to 8 of a group's candidates ``[G, F, 3, H, W]``, a row each, from the best to the worst."""
    order = good.argsort(descending=True)
    rows = order[torch.linspace(0, len(order) - 1, min(_SHOWN, len(order))).round().long()]
    shown = torch.linspace(0, videos.shape[1] - 1, min(_COLUMNS, videos.shape[1])).round().long()
    run.sheet("sheet", videos[rows][:, shown].flatten(0, 1), columns=len(shown))


def _weights(module: nn.Module, name: str) -> dict[str, Tensor]:
    return {f"{name}/{key}": t for key, t in module.state_dict().items()}


def _refuse(data: LatentClips, nets: Networks, vae: VAE) -> None:
    """ValueError where student, autoencoder and data do not go together."""
    data.refuse_other(nets.dit.config.channels)
    if vae.config.latent != nets.dit.config.channels:
        raise ValueError(
            f"vae: its latents have {vae.config.latent} channels, and those of START {nets.dit.config.channels}; "
            "give the autoencoder that DATA was encoded by"
        )
    if data.frames < 2:
        raise ValueError("frames: clips of one latent have no path to go; give 2 or more")
    data.words = nets.text.config.words
