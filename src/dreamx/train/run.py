"""A training run: the optimiser, the average of the weights, checkpoints, resume and the log. A library: stages call it.

    run = Run(cfg.run)
    dit = run.own(DiT(cfg.dit), lr=1e-3)
    for clip in run.steps(batch):  # batch(step) is a pure function of the step and of run.rank
        run.update(dit, loss(dit, clip))
    run.export(folder, {"dit": (dit, cfg.dit)})

A run that is killed and started again goes on as if nothing had happened, bit for bit. Under ``torchrun`` modules are sharded.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh

from dreamx import atomic
from dreamx.checkpoints import native
from dreamx.config import to_json
from dreamx.interrupt import heard_by
from dreamx.train import checkpoint, rng_state
from dreamx.train.log import TrainingLog, sheet, tell
from dreamx.train.processes import join
from dreamx.train.run_config import RunConfig
from dreamx.train.trainable import Trainable, freeze, gathered, shard, share_buffers

T = TypeVar("T")
M = TypeVar("M", bound=nn.Module)


class Run:
    """See the top of the file. ``rank``, ``processes`` and ``device`` are this process's; ``step`` counts finished steps."""

    def __init__(self, cfg: RunConfig) -> None:
        self.cfg, self.step = cfg, 0
        if cfg.threads is not None:  # sums in another order are other bits, so that resume asks for the same number
            torch.set_num_threads(cfg.threads)
        cuda = torch.cuda.is_available()
        self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
        join()
        self.rank, self.processes = checkpoint.rank(), checkpoint.processes()
        self._mesh = init_device_mesh(self.device.type, (self.processes,)) if dist.is_initialized() else None
        cfg.folder.mkdir(parents=True, exist_ok=True)
        self._owned: list[Trainable] = []
        self._kept: dict[str, Tensor] = {}
        self._own_state: Callable[[], Any] = dict
        self._own_restore: Callable[[Any], None] | None = None
        self._values: dict[str, float] = {}
        self._parts = 0.0  # losses of this step's micro-batches before the last
        self._log: TrainingLog | None = None
        self._stop = 0  # the number of the signal that asked for it
        self._saved_step, self._saved_at = 0, time.monotonic()
        rng_state.seed(cfg.seed)  # the same in every process, so that all build the same networks

    def own(
        self,
        module: M,
        lr: float,
        train: Sequence[str] | None = None,
        name: str | None = None,
        methods: Sequence[str] = (),
        whole: bool = False,
        average: bool = True,
    ) -> M:
        """Train ``module`` with its own AdamW at the peak rate ``lr``; own everything before the first step.

        train:   names of parts, at any depth (``view``, ``blocks.3.mlp``); everything else is frozen. None trains all.
        name:    for the log and the checkpoint; the class's name by default.
        methods: methods that the stage calls besides ``forward`` (an autoencoder's ``encode``), which sharding must know.
        whole:   never shard it: its gradients are looked at by hand (``torch.autograd.grad``), which sharding does not know.
        average: keep a running average of its weights, where the run has one (``RunConfig.ema``).
        Modules that share one loss go in one ``nn.ModuleList``.
        """
        name = name or type(module).__name__.lower()
        if name in {o.name for o in self._owned}:
            raise ValueError(f"two owned modules are called {name!r}; give one of them another name")
        if self._log is not None:
            raise ValueError(f"own({name}) came after the first step; own every module before run.steps")
        if self._mesh is not None and self.cfg.muon:
            raise ValueError("run.muon: Muon needs whole matrices, and several processes shard them; use one process")
        freeze(module, train, name)
        module.to(self.device)
        if self._mesh is not None and not whole:
            shard(module, self._mesh, methods)
        cfg = self.cfg
        average = average and cfg.ema is not None
        self._owned.append(Trainable(name, module, lr, cfg.betas, cfg.weight_decay, average, cfg.muon))
        return module

    def hold(self, module: M) -> M:
        """Use ``module`` as it is, without gradients; sharded like those that are trained."""
        module.to(self.device).eval().requires_grad_(False)
        if self._mesh is not None:
            shard(module, self._mesh, ())
        return module

    def keep(self, tensors: Mapping[str, Tensor]) -> None:
        """Save tensors with the weights: those that a stage changes in place, alike in all processes. Before the first step.

        ``resume`` fills them.
        """
        self._kept |= tensors

    def keep_own(self, state: Callable[[], Any], restore: Callable[[Any], None]) -> None:
        """Save what each process has for itself (plain values, tensors of any size) with the weights. Before the first step.

        ``resume`` hands it back, unless a process was not there when it was saved: then all begin anew.
        """
        self._own_state, self._own_restore = state, restore

    def steps(self, batch: Callable[[int], T]) -> Iterator[T]:
        """``batch(step)`` for every step that is left, counted from 0; resumes, saves and logs in between.

        SIGINT, SIGTERM and SIGHUP finish the step, save, say how to go on and leave with SystemExit (130, 143 and 129).
        """
        self.resume()
        with heard_by(self._hear):
            while self.step < self.cfg.steps:
                yield batch(self.step)  # the stage calls `update` between this line and the next
                if self._log and self.rank == 0:
                    self._log.row(self.step, self._values)
                self._values = {}
                for owned in self._owned if self._mesh is not None else ():
                    share_buffers(owned.module)
                self.step += 1
                stop, save = self._agree()
                if stop or save or self.step == self.cfg.steps:
                    self.save()
                if stop and self.step < self.cfg.steps:
                    self.say(f"stopped and saved at step {self.step} of {self.cfg.steps}; run the same command again to go on")
                    raise SystemExit(128 + stop)
        if self._log:
            self._log.close()

    def autocast(self) -> AbstractContextManager[object]:
        """Around a forward pass: its products in the dtype of the run."""
        if self.cfg.dtype == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)  # weights and optimiser stay float32

    def accumulate(self, module: nn.Module, loss: Tensor) -> None:
        """Take in one part of the step's loss, a micro-batch's share of it; the last part goes to ``update``."""
        owned = self._of(module)
        assert owned is not None and owned.module is module, "own it first"
        self._parts += self.mean(loss)
        owned.add(loss)

    def update(self, module: nn.Module, loss: Tensor, scalars: Mapping[str, float | Tensor] | None = None) -> None:
        """One optimiser step of an owned module on a loss; ``scalars`` go to the log beside it.

        ValueError at a loss or a gradient that is not finite: the weights and the last checkpoint are as they were.
        """
        owned = self._of(module)
        if owned is None or owned.module is not module:
            raise ValueError(f"update({type(module).__name__}): this module is not owned by the run; own it first")
        lr = owned.lr * self.cfg.lr_share(self.step)
        value, self._parts = self._parts + self.mean(loss), 0.0
        self._check(owned, "loss", value)
        norm = owned.backward(loss, self.cfg.clip)
        self._check(owned, "gradient", norm)  # before `apply`: a NaN in one weight is in all of them a step later
        decay = min(self.cfg.ema or 0.0, (1 + self.step) / (10 + self.step))  # shorter at first: the random start lingers not
        owned.apply(lr, decay)
        values = {"loss": value, "grad": norm, "lr": lr} | {k: self.mean(v) for k, v in (scalars or {}).items()}
        self._values |= values if len(self._owned) == 1 else {f"{owned.name}.{k}": v for k, v in values.items()}

    def _check(self, owned: Trainable, what: str, value: float) -> None:
        if not isfinite(value):
            last = f"the checkpoint of step {self._saved_step} is intact" if self._saved_step else "nothing was saved yet"
            raise ValueError(
                f"step {self.step}: the {what} of {owned.name} is {value} and was not applied; {last}: look at this step's "
                "batch, or go on with a lower learning rate"
            )

    @contextmanager
    def ema(self, module: M) -> Iterator[M]:
        """Inside, an owned module (or a part of one) has the averaged weights; not between a forward and its backward."""
        owned = self._of(module)
        with owned.averaged() if owned else nullcontext():
            yield module

    def export(self, folder: Path, parts: Mapping[str, tuple[nn.Module, object]], few: Mapping[str, int] | None = None) -> None:
        """``native.save`` with the averaged weights of owned modules; modules that are not owned are written as they are. few:
        bits, as there."""
        with ExitStack() as stack:
            for owned in {id(o): o for m, _ in parts.values() if (o := self._of(m))}.values():
                stack.enter_context(self.ema(owned.module))
            # Every process takes part in gathering, one writes.
            whole = {name: (gathered(module), config) for name, (module, config) in parts.items()}
            if self.rank == 0:
                native.write(folder, whole, few=few)
        self.wait()  # the next stage reads it in every process

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self._mesh is not None:
            dist.barrier()

    def save(self) -> None:
        """Write a checkpoint of the finished steps."""
        if self.step == self._saved_step:
            return
        folder = self.cfg.folder / "checkpoints"
        own = rng_state.state() | {"kept": self._own_state()}
        checkpoint.write(folder, self.step, self._tensors(), own, to_json(self.cfg))
        self._saved_step, self._saved_at = self.step, time.monotonic()

    def resume(self) -> None:
        """Go to the newest whole checkpoint, if there is one; ``steps`` calls it."""
        found, said = checkpoint.newest(self.cfg.folder / "checkpoints")
        rng_state.seed(self.cfg.seed + self.rank)  # networks were built alike; from here on processes draw apart
        if found is not None:
            self.step, rng, about = checkpoint.read(found, self._tensors())
            if about["seed"] != self.cfg.seed:
                raise ValueError(
                    f"run.seed is {self.cfg.seed}, but {found} is of a run with seed {about['seed']}; "
                    "give that seed or another folder"
                )
            if rng is not None:
                rng_state.restore(rng)
            if self.mean(rng is not None) == 1 and rng is not None and self._own_restore is not None:
                self._own_restore(rng["kept"])
        self._saved_step, self._saved_at = self.step, time.monotonic()
        if self.rank == 0:
            self._log = TrainingLog(self.cfg.folder / "log.jsonl", self.step, self.cfg.steps, self.cfg.log_every)
        for words in said:
            self.say(words)
        if found is not None:
            self.say(f"going on from step {self.step} of {self.cfg.steps} in {self.cfg.folder}")

    def sheet(self, name: str, images: Tensor, columns: int = 8) -> None:
        """Write images ``[N, 3, H, W]`` (float -1..1 or uint8) side by side as ``<folder>/<name>.png``."""
        if self.rank == 0:
            file = self.cfg.folder / f"{name}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic.whole(file) as temporary:
                sheet(images, columns).save(temporary, "png")

    def generator(self, step: int, stream: int | None = None) -> torch.Generator:
        """Random numbers (on the CPU) that depend on the seed, the step and the process alone: for ``batch(step)``.

        stream: instead of the process, where the clips of a step are to be the same in any number of processes.
        """
        # Hashed, so that neighbouring steps and ranks have unrelated streams.
        state = np.random.SeedSequence((self.cfg.seed, step, self.rank if stream is None else stream)).generate_state(
            1, np.uint64
        )
        return torch.Generator().manual_seed(int(state[0]) >> 1)

    def say(self, words: str) -> None:
        """Print a line, from the first process only."""
        if self.rank == 0:
            tell(words)

    def _tensors(self) -> dict[str, Tensor]:
        return {k: t for owned in self._owned for k, t in owned.tensors().items()} | self._kept

    def _of(self, module: nn.Module) -> Trainable | None:
        return next((o for o in self._owned if any(m is module for m in o.module.modules())), None)

    def mean(self, value: float | Tensor) -> float:
        """Return the mean over the processes, the same in all of them."""
        if self._mesh is None:
            return float(torch.as_tensor(value).detach())
        total = torch.as_tensor(value).detach().double().to(self.device)
        dist.all_reduce(total)
        return float(total) / self.processes

    def _agree(self) -> tuple[int, bool]:
        """Stop (the number of the signal, 0: go on)? Save? One answer for all processes, or they would wait for each other."""
        cfg = self.cfg
        save = cfg.save_seconds is not None and time.monotonic() - self._saved_at >= cfg.save_seconds
        save = save or (cfg.save_steps is not None and self.step % cfg.save_steps == 0)
        if self._mesh is None:
            return self._stop, save
        both = torch.tensor([self._stop, save], dtype=torch.int32, device=self.device)
        dist.all_reduce(both, dist.ReduceOp.MAX)
        return int(both[0]), bool(both[1])

    def _hear(self, number: int) -> None:
        """A signal: the first lets the step end, another SIGINT does not."""
        if self._stop and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._stop = number
