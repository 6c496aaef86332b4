"""Fine-tune a released checkpoint, or a world of ours, on clips of one's own: all of it, its camera lane, or a LoRA.

A causal transformer learns by teacher forcing, with the chunk, window and sinks of its checkpoint; a bidirectional one by flow
matching on all frames at once (DreamX-World 1.0, sections 3.2 and 3.5). Weights that learn, and their optimiser, are float32
whatever the dtype of the products; the clips of a step are the same in any number of processes and micro-batches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from torch.utils.checkpoint import checkpoint

from dreamx.bounds import BatchSize, FrameCount, InputFile, InputPath, OutputFolder, PositiveFloat, Probability
from dreamx.model.dit import DiT
from dreamx.train import finetune_output
from dreamx.train.adapters import AdapterConfig, add_adapters, layers_to_adapt, lora_of
from dreamx.train.checkpoint import processes
from dreamx.train.finetune_batches import attention, one_clip, stack
from dreamx.train.finetune_subject import Subject, as_trained, embed, open_lesson, open_subject, without_window
from dreamx.train.outputs import claim
from dreamx.train.processes import join
from dreamx.train.run import Run
from dreamx.train.run_config import RunConfig
from dreamx.train.teacher_forcing import TeachingConfig
from dreamx.train.trainable import gathered

#: Parts of the network that are trained, by what ``train`` says; None is all of it.
_PARTS: dict[str, tuple[str, ...] | None] = {"full": None, "lane": ("view",), "lora": ("down", "up")}

#: Fields that may differ when a run goes on. A world is known by its weights, wherever it lies.
_FREE = ("world", "vae", "kind", "accumulate", "checkpoint_blocks")


@dataclass(frozen=True)
class FinetuneStage:
    """Fine-tune the transformer of a checkpoint on latents of its own autoencoder."""

    run: RunConfig
    """Steps, seed, checkpoints: shared by all stages."""
    world: Path
    """Released checkpoint in any layout, folder of a world of ours, or name of a shipped one."""
    data: InputFile
    """File of latents (`dreamx data encode`), with the embeddings of its captions beside it for a released checkpoint."""
    out: OutputFolder
    """Folder of the fine-tuned transformer, of the whole world if it is one of ours, or of the LoRA."""
    train: Literal["full", "lane", "lora"] = "full"
    """Parts to train: the whole transformer, its camera lane alone, or small matrices beside its layers."""
    lora: AdapterConfig = AdapterConfig()
    """The LoRA to train, with train lora alone."""
    vae: InputPath | None = None
    """Autoencoder of a released checkpoint, where it does not lie beside it; only looked at, to know whose the latents are."""
    kind: Literal["wan", "cam", "causal"] | None = None
    """Kind of a released checkpoint, where no config.json says it: Wan2.2-TI2V-5B, DreamX-World-5B-Cam or DreamX-World-5B."""
    layout: Literal["dreamx", "official", "diffusers"] = "dreamx"
    """Layout of a released transformer in ``out``: ours, as released, or that of diffusers."""
    frames: FrameCount | None = None
    """Latent frames of a clip that are used, whole chunks; None uses all that fit."""
    batch: BatchSize = 8
    """Clips in a step, of all processes and micro-batches together."""
    accumulate: BatchSize = 1
    """Micro-batches that a process makes of its share of a step, one after another: less memory, the same gradient."""
    checkpoint_blocks: bool = False
    """Keep only what goes into a block, and compute the block again on the way back: less memory, the same gradient."""
    lr: PositiveFloat = 1e-5
    """Peak learning rate. A LoRA wants ten times as much."""
    shift: PositiveFloat | None = None
    """Shift of the noise levels towards 1; None: that of the world's sampler, 5 for a released one."""
    history_noise: Probability | None = None
    """Highest sigma of the clean half of teacher forcing; None: the context noise of the world, 0 for a released one."""
    drop_text: Probability = 0.1
    """Probability of dropping the caption, a clip."""
    drop_first: Probability = 0.1
    """Probability of dropping the first frame, a clip."""
    drop_hint: Probability = 0.1
    """Probability of dropping what memory shows, a clip; of worlds with memory."""

    def __post_init__(self) -> None:
        if self.lora != AdapterConfig() and self.train != "lora":
            raise ValueError(
                f"lora: its fields go with train lora, and train is {self.train}; say --train lora, or leave them out"
            )
        if self.train == "lora" and self.layout != "dreamx":
            raise ValueError("layout: a LoRA is written apart, in the names of lora.names; leave layout out")


def main(cfg: FinetuneStage) -> None:
    """Fine-tune and write ``cfg.out``. ValueError, one sentence, before anything is written."""
    join()
    subject = open_subject(cfg.world, cfg.vae, cfg.kind)
    lesson = open_lesson(subject, cfg.data, cfg.frames)
    adapter = _refuse(cfg, subject)
    parts, more = finetune_output.files(subject, cfg.layout, cfg.train == "lora")
    claim(cfg, "finetune", parts, [cfg.data, subject.place, cfg.vae], more, {"weights": subject.weights}, _FREE)
    run = Run(cfg.run)
    dit = subject.dit
    as_trained(dit, _PARTS[cfg.train], cfg.run.dtype == "bfloat16", run.device)
    if adapter is not None:
        add_adapters(dit, adapter)
    if cfg.checkpoint_blocks:
        recompute_blocks(dit)
    run.own(dit, cfg.lr, _PARTS[cfg.train], "dit")
    if subject.text is not None:
        subject.text.to(run.device)
    frames = lesson.clips.frames
    teaching = teaching_of(cfg, subject, frames)
    share = cfg.batch // (run.processes * cfg.accumulate)  # clips of a micro-batch
    for step in run.steps(int):
        for part in range(cfg.accumulate):
            first = (run.rank * cfg.accumulate + part) * share
            rngs = [run.generator(step, i) for i in range(first, first + share)]
            batch = stack([one_clip(teaching, subject.past, lesson.clips, rng) for rng in rngs]).to(run.device)
            with run.autocast():
                words = embed(subject, lesson.words, batch.prompts, run.device)
                v = dit(batch.frames, words, attention(subject.past, frames))
            (run.update if part == cfg.accumulate - 1 else run.accumulate)(dit, batch.loss(v) / cfg.accumulate)
    _export(cfg, run, subject, adapter)


def teaching_of(cfg: FinetuneStage, subject: Subject, frames: int) -> TeachingConfig:
    """Settings of a batch: chunk, window and sinks of the checkpoint, and what ``cfg`` says."""
    shift = subject.shift if cfg.shift is None else cfg.shift
    noise = subject.history_noise if cfg.history_noise is None else cfg.history_noise
    plain = TeachingConfig(
        1, shift, history_noise=noise, drop_text=cfg.drop_text, drop_first=cfg.drop_first, drop_hint=cfg.drop_hint
    )
    if subject.past is None:
        return plain
    past = without_window(subject.past, frames)
    assert past.window is not None
    return replace(plain, chunk=past.chunk, windows=((past.window, past.sinks),))


def recompute_blocks(dit: DiT) -> None:
    """Make every block forget what it computed and compute it again on the way back; in place."""
    for block in dit.blocks:
        # The method of this one block, inside the hooks of whatever wraps it: names of weights stay as they are.
        block.forward = partial(checkpoint, block.forward, use_reentrant=False, preserve_rng_state=False)


def _refuse(cfg: FinetuneStage, subject: Subject) -> AdapterConfig | None:
    """ValueError where fields do not fit the checkpoint or the number of processes; the LoRA to train."""
    if (many := processes() * cfg.accumulate) and cfg.batch % many:
        raise ValueError(
            f"batch: {cfg.batch} clips do not divide over {processes()} processes of {cfg.accumulate} micro-batches; "
            f"take a multiple of {many}"
        )
    if cfg.train == "lane" and subject.dit.config.view is None:
        raise ValueError(f"train: the transformer of {subject.place} has no camera lane; train full, or lora")
    if subject.checkpoint is None and cfg.layout != "dreamx":
        raise ValueError("layout: a world of ours is written as a world of ours; leave layout out")
    if cfg.train != "lora":
        return None
    layers_to_adapt(subject.dit.config, cfg.lora.layers)
    return cfg.lora


def _export(cfg: FinetuneStage, run: Run, subject: Subject, adapter: AdapterConfig | None) -> None:
    """Write the averaged weights, by the first process alone."""
    with run.ema(subject.dit):
        state = gathered(subject.dit, ("",) if adapter is None else (".down", ".up"))  # every process takes part
        if run.rank == 0 and adapter is None:
            finetune_output.write(cfg.out, subject, state, cfg.layout)
        elif run.rank == 0 and adapter is not None:
            finetune_output.write_lora(cfg.out, subject, lora_of(state, adapter), adapter.names)
    run.wait()
