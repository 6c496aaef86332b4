"""Stage: distribution matching distillation of a causal student, on rollouts of its own, short or long.

A step trains the critic (fake score) on windows that the student has just made; every ``ratio``-th step trains the student first.
The student is rolled out as at play, chunk by chunk with its cache; of each chunk the pass at one exit step, the same in all
processes, has a gradient. Source: Self Forcing (arXiv 2506.08009); LongLive (arXiv 2509.22622) for sequences longer than a
window; DreamX-World 1.0, section 3.5.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Generator, Tensor

from dreamx.bounds import (
    FrameCount,
    InputFile,
    InputFolder,
    InputPath,
    NonNegativeFloat,
    OutputFolder,
    PositiveFloat,
    PositiveInt,
)
from dreamx.checkpoints.lane_transfer import insert_lane
from dreamx.config import LATER
from dreamx.frames import Frames
from dreamx.model.attention import Attend
from dreamx.model.causal_config import CausalConfig
from dreamx.model.masks import teacher_forced
from dreamx.rollout import Sampler
from dreamx.train.adversarial_head import (
    AdversarialConfig,
    AdversarialHead,
    fooling_loss,
    middle_features,
    real_features,
    separation_loss,
    with_gradient,
)
from dreamx.train.latents import LatentClips
from dreamx.train.outputs import StartFolder, claim
from dreamx.train.played_memory import open_memory
from dreamx.train.run import Run
from dreamx.train.run_config import RunConfig
from dreamx.train.sample_sheets import Samples, SamplesConfig
from dreamx.train.score_matching import ScoreConfig, StudentWindow, critic_loss, memory_loss, student_loss
from dreamx.train.student_stream import StreamConfig, StudentStream, check_stream
from dreamx.train.trained_networks import Networks, Predictor, load
from dreamx.train.window_pictures import open_pictures

_SHARED = 2**40  # a stream of random numbers that all processes share; their own are numbered from 0


@dataclass(frozen=True)
class DistillStage:
    """Distil a causal student by distribution matching, on its own rollouts."""

    run: RunConfig
    """Steps, seed, checkpoints: shared by all stages. A step is an update of the critic."""
    data: InputFile
    """File of latents: first frames, cameras, words and hints; what follows a first frame is only compared with."""
    start: StartFolder
    """Folder of the causal networks to go on from: those of consistency or causal."""
    out: OutputFolder
    """Folder of the student."""
    teacher: InputFolder | None = None
    """Folder of the bidirectional networks (camera stage) whose distribution is matched. None: the causal networks of START, that
    must not be distilled yet; they score each chunk given the student's chunks before it."""
    causal_teacher: bool = False
    """TEACHER is causal, too."""
    critic: InputFolder | None = None
    """Folder of a critic that knows START, as its run left it in ``run.folder``/critic; None: it begins as the teacher."""
    sampler: Sampler = Sampler()
    """Rollouts, as at play."""
    past: CausalConfig | None = None
    """Past of a chunk, as the world that plays the student has it (``world.past``), with frames that packed memory recalls; None:
    that of the sampler, in all lanes."""
    lane: InputFolder | None = None
    """Folder of networks, as TEACHER, whose camera lane is put into those of START, in place of theirs; None: START as it is."""
    vae: InputPath | None = None
    """Autoencoder of the latents, for a teacher that knows first frames as pictures: the last video frame of a window's first
    latent is encoded anew, alone, and given to teacher and critic. Sequences then begin where a clip does. None: the latent is
    given as it was made."""
    stream: StreamConfig = StreamConfig()
    """Sequences and windows."""
    score: ScoreConfig = ScoreConfig()
    """Comparison of teacher and critic."""
    keep: NonNegativeFloat = 0.0
    """Weight of the squared error to the clips where re-projected memory shows them, so that the student keeps to it; 0: none."""
    adversarial: AdversarialConfig = AdversarialConfig()
    """Head that tells the student's windows from true ones."""
    frames: FrameCount | None = None
    """Latent frames of a clip that are used; None uses all."""
    samples: SamplesConfig | None = None
    """Contact sheets of the first window: the truth, the student, its teacher in many steps; None makes none."""
    teacher_steps: PositiveInt = 16
    """Passes of the teacher for contact sheets; without guidance."""
    lr: PositiveFloat = 2e-6
    """Peak learning rate of the student."""
    critic_lr: PositiveFloat = 4e-7
    """Peak learning rate of the critic."""
    ratio: PositiveInt = 5
    """Updates of the critic for each of the student."""
    look_every: PositiveInt = 50
    """Updates of the student between looks at its diversity and motion."""
    more: tuple[InputFile, ...] = field(default=(), metadata=LATER)
    """Further files of latents, as long; a clip of any is as likely."""
    draws: PositiveInt = field(default=1, metadata=LATER)
    """Noise levels at which teacher and critic look at each window; a look costs less than a rollout."""
    shared: bool = field(default=False, metadata=LATER)
    """The critic learns from the window that the student was just trained on, where there is one: a rollout less."""
    world: InputFolder | None = field(default=None, metadata=LATER)
    """A world whose memory is played in rollouts: what the student makes is decoded, remembered and re-projected, with the
    settings of its ``memory``. Sequences then begin where a clip does, and nothing happens in them. None: rollouts are shown the
    hints of DATA."""

    def __post_init__(self) -> None:
        check_stream(self.stream, self.sampler, self.past)
        if self.lane is not None and self.teacher is None:
            raise ValueError("lane goes with teacher: one of START would not have it; give the networks that know cameras")
        if self.world is not None and self.sampler.chunk > 1:
            raise ValueError(
                f"world: memory is played with chunks of one latent; sampler.chunk must be 1, not {self.sampler.chunk}"
            )
        if self.world is not None and self.adversarial.weight:
            raise ValueError("adversarial.weight goes without world: of true windows memory shows other things; leave one out")
        if self.causal_teacher and self.teacher is None:
            raise ValueError("causal_teacher goes with teacher; without one the causal networks of START are the teacher")

    @property
    def visible(self) -> Tensor | None:
        """Mask of teacher forcing over a window for causal teachers and critics; None for bidirectional ones."""
        s = self.sampler
        return None if self._both_ways else teacher_forced(self.stream.window, s.chunk, s.window, s.sinks)

    @property
    def teacher_sampler(self) -> Sampler:
        """Sampling of the teacher for contact sheets: along the flow, a bidirectional one the whole window at once."""
        many, window = replace(self.sampler, steps=self.teacher_steps, stochastic=False), self.stream.window
        return replace(many, chunk=window, window=window, sinks=0, context_noise=0.0) if self._both_ways else many

    @property
    def _both_ways(self) -> bool:
        return self.teacher is not None and not self.causal_teacher


def exit_steps(run: Run, sampler: Sampler) -> list[int]:
    """The exit steps of student and critic in this step of the run: drawn alike in all processes."""
    return torch.randint(sampler.steps, (2,), generator=run.generator(run.step, _SHARED)).tolist()


def with_autocast(run: Run, nets: Networks) -> Predictor:
    """The networks with their products in the dtype of the run."""

    def velocity(frames: Frames, prompts: list[str], attend: Attend) -> Tensor:
        with run.autocast():
            return nets(frames, prompts, attend)

    return velocity


def main(cfg: DistillStage) -> None:
    """Train and write ``cfg.out``."""
    reads = [cfg.data, cfg.start, cfg.teacher, cfg.vae, cfg.lane, cfg.critic, cfg.world, *cfg.more]
    claim(cfg, "distill", ["dit", "text"], reads, free=("teacher", "look_every", "teacher_steps"))
    data, run = LatentClips(cfg.data, cfg.frames, cfg.more), Run(cfg.run)
    data.anywhere = cfg.vae is None and cfg.world is None  # of a clip the first latent alone is a picture
    played = None if cfg.world is None else open_memory(cfg.world, data.vae, data.eventful)
    pictures = None if cfg.vae is None else open_pictures(cfg.vae, data.vae, run.device)
    samples = Samples(cfg.samples, data, cfg.stream.window) if cfg.samples else None
    origin = cfg.start if cfg.teacher is None else cfg.teacher
    nets = load(cfg.start)
    if cfg.lane is not None:
        nets = Networks(insert_lane(nets.dit, load(cfg.lane).dit), nets.text)
    nets = run.own(nets, cfg.lr, name="student")
    fake = run.own(load(cfg.critic or origin), cfg.critic_lr, name="critic", average=False)
    teacher = run.hold(load(origin))
    _refuse(cfg, data, nets, fake)
    gan, head = cfg.adversarial, None
    if gan.weight:
        head = run.own(AdversarialHead(fake.dit.config.width, gan.width), gan.lr, name="head", whole=True, average=False)
    student, critic, real, visible = with_autocast(run, nets), with_autocast(run, fake), with_autocast(run, teacher), cfg.visible
    stream = StudentStream(cfg.stream, cfg.sampler, data, run.device, cfg.past, pictures, played)
    run.keep_own(stream.state, stream.restore)
    for rng in run.steps(run.generator):
        progress, (mine, its) = run.step / run.cfg.steps, exit_steps(run, cfg.sampler)
        window = None
        if run.step % cfg.ratio == 0:
            with nets.words_kept():
                made_once = stream.next(student, progress, rng, rng, mine)
            window = made_once.repeated(cfg.draws)
            noisy, _ = window.noised(cfg.score, rng)
            with torch.set_grad_enabled(head is not None), middle_features(fake.dit) as made:
                false = window.velocity(critic, noisy if head is None else with_gradient(window, noisy), visible)
            with torch.no_grad():
                true = window.velocity(real, noisy, visible, cfg.score.guidance)
            loss, said = student_loss(window, noisy, false.detach(), true)
            if cfg.keep:
                kept = memory_loss(made_once)
                loss, said = loss + cfg.keep * kept, said | {"memory": kept.detach()}
            if head is not None:
                fooling = fooling_loss(head(made[0][:, -len(noisy) :]), window.counted)
                if run.processes > 1:  # FSDP gathers weights when a gradient reaches what the whole network returned
                    fooling = fooling + 0.0 * false.sum()
                loss, said = loss + gan.weight * fooling, said | {"fooling": fooling}
            run.update(nets, loss, said | measure_collapse(cfg, run, data, student))
        if window is None or not cfg.shared:
            with torch.no_grad(), nets.words_kept():
                window = stream.next(student, progress, rng, rng, its).repeated(cfg.draws)
        noisy, target = window.noised(cfg.score, rng)
        with middle_features(fake.dit) as made:
            v = window.velocity(critic, noisy, visible)
        false = made[0][:, -len(noisy) :].detach()
        # Before the critic moves: both are looked at by the same one.
        true = None if head is None else real_features(window, data, critic, fake.dit, visible, cfg.score, rng)
        run.update(fake, critic_loss(v, target, window))
        if head is not None and true is not None:
            run.update(head, *separation_loss(head(true), head(false), window.counted))
        if samples:
            samples.draw(run, nets, real, cfg.teacher_sampler)
    run.export(cfg.run.folder / "critic", fake.parts())
    run.export(cfg.out, nets.parts())


@torch.no_grad()
def measure_collapse(cfg: DistillStage, run: Run, data: LatentClips, student: Predictor) -> dict[str, Tensor]:
    """Signs of a collapse, now and then: the student's first window on the same path twice, from two seeds.

    diversity: mean difference of both; motion: mean change from a frame to the next; data_motion: the same of the clips.
    """
    if run.step // cfg.ratio % cfg.look_every:
        return {}
    seed, made = run.cfg.seed, list[StudentWindow]()
    for number in range(2):
        paths, noise = (Generator().manual_seed(n) for n in (seed + run.rank, _SHARED + number))
        stream = StudentStream(cfg.stream, cfg.sampler, data, run.device, cfg.past)
        made.append(stream.next(student, 0.0, paths, noise))
    known, _ = data.batch(cfg.stream.batch, Generator().manual_seed(seed + run.rank))  # the clips of that path
    first, second = (window.frames.z for window in made)
    both = min(len(known), cfg.stream.window)
    found = {
        "diversity": (first - second)[:, 1:],
        "motion": first[:, :both].diff(dim=1),
        "data_motion": known.z[:, :both].diff(dim=1),
    }
    return {name: x.abs().mean() for name, x in found.items()}


def _refuse(cfg: DistillStage, data: LatentClips, nets: Networks, scores: Networks) -> None:
    """ValueError where student, teacher and data do not go together."""
    data.refuse_other(nets.dit.config.channels)
    if scores.dit.config.channels != nets.dit.config.channels:
        name = "teacher" if cfg.critic is None else "critic"
        raise ValueError(
            f"{name}: its latents have {scores.dit.config.channels} channels, and those of START "
            f"{nets.dit.config.channels}; give a {name} of the same autoencoder"
        )
    if data.frames < 2:
        raise ValueError("frames: clips of one latent have no path to go; give 2 or more")
    if cfg.adversarial.weight and data.frames < cfg.stream.window:
        raise ValueError(
            f"adversarial.weight: the head compares windows of {cfg.stream.window} latents (stream.window), and clips have "
            f"{data.frames}; give longer clips, or 0"
        )
    data.words = min(nets.text.config.words, scores.text.config.words)
