"""A network in training: which of it is trained, how it is sharded, its optimiser and the running average of its weights."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from dreamx.model.thread_spin import adapt
from dreamx.train.muon import Muon


class Trainable:
    """A module with its AdamW (peak rate ``lr``) and, when ``average`` is asked for, a copy of its trained weights.

    ``muon``: the matrices inside of its blocks are trained by Muon instead, at the same rate.
    """

    def __init__(
        self,
        name: str,
        module: nn.Module,
        lr: float,
        betas: tuple[float, float],
        weight_decay: float,
        average: bool,
        muon: bool = False,
    ) -> None:
        self.name, self.module, self.lr = name, module, lr
        self._adding = False  # gradients of micro-batches of this step are there
        self.trained = {k: p for k, p in module.named_parameters() if p.requires_grad}
        self.average = {k: p.detach().clone() for k, p in self.trained.items()} if average else {}
        inner = {  # matrices of blocks; embeddings and the head keep AdamW, as Jordan et al. do
            k: p for k, p in self.trained.items() if muon and p.ndim == 2 and ".blocks." in f".{k}" and ".modulation" not in k
        }
        self.muon = Muon(dict(inner), weight_decay)
        outer = [p for k, p in self.trained.items() if k not in inner]
        groups = [
            {"params": [p for p in outer if p.ndim >= 2], "weight_decay": weight_decay},
            {"params": [p for p in outer if p.ndim < 2], "weight_decay": 0.0},  # gains and biases: decay would pull norms to 0
        ]
        # Fused: one kernel over all weights.
        self.optimiser = torch.optim.AdamW([g for g in groups if g["params"]], lr=lr, betas=betas, fused=True)
        for p in outer:  # what AdamW makes at its first step, made now so that it can be loaded in place
            zero = {"exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
            self.optimiser.state[p] = {"step": torch.zeros((), device=p.device), **zero}

    def tensors(self) -> dict[str, Tensor]:
        """Everything that changes while training, by name and in place. Frozen weights come from where they came from."""
        frozen = {k for k, p in self.module.named_parameters() if not p.requires_grad}
        state = {f"{self.name}/weights/{k}": t for k, t in self.module.state_dict().items() if k not in frozen}
        state |= {f"{self.name}/average/{k}": t for k, t in self.average.items()}
        state |= {f"{self.name}/momentum/{k}": t for k, t in self.muon.momentum.items()}
        for key, p in self.trained.items():
            if key not in self.muon.matrices:
                state |= {f"{self.name}/{kind}/{key}": t for kind, t in self.optimiser.state[p].items()}
        return state

    def add(self, loss: Tensor) -> None:
        """Add the gradient of a part of this step's loss to those of its parts before."""
        adapt()
        if not self._adding:
            self._forget()  # what other losses left here on their way to other modules
        self._adding = True
        loss.backward()

    def backward(self, loss: Tensor, clip: float | None) -> float:
        """Fill the gradients, of what was added too, scale them down to the norm ``clip`` and return the norm they had."""
        self.add(loss)
        self._adding = False
        for p in self.trained.values():
            if dist.is_initialized() and p.grad is not None and not isinstance(p.grad, DTensor):  # the module is whole everywhere
                dist.all_reduce(p.grad.div_(dist.get_world_size()))
        norm = nn.utils.clip_grad_norm_(self.trained.values(), clip or float("inf"))
        return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)

    @torch.no_grad()
    def apply(self, lr: float, decay: float) -> None:
        """Step along the gradients at the rate ``lr``; the average keeps the share ``decay`` of itself."""
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        self.optimiser.step()
        self.muon.step(lr)
        self._forget()
        for key, mean in self.average.items():
            _local(mean).lerp_(_local(self.trained[key]), 1 - decay)  # after the step, on this process's share alone

    def _forget(self) -> None:
        for p in self.trained.values():
            p.grad = None  # not zeros: a weight without a gradient is not touched by AdamW

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the module has its averaged weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for key, mean in self.average.items():
            p, mean = _local(self.trained[key]), _local(mean)
            kept = p.clone()  # swapped in place: the optimiser and FSDP hold these very tensors
            p.copy_(mean)
            mean.copy_(kept)


def freeze(module: nn.Module, train: Sequence[str] | None, name: str) -> None:
    """Keep gradients of those parameters alone that have a part of ``train`` in their dotted name."""
    found: set[str] = set()
    for key, p in module.named_parameters():
        parts = [t for t in train or () if f".{t}." in f".{key}."]  # whole parts of a name: "view" is not in "viewer"
        found.update(parts)
        p.requires_grad_(train is None or bool(parts))
    for part in train or ():
        if part not in found:
            children = ", ".join(k for k, _ in module.named_children()) or "none"
            raise ValueError(f"train: {name} has no part {part!r} with parameters; its parts are {children}")


def shard(module: nn.Module, mesh: DeviceMesh, methods: Sequence[str]) -> None:
    """FSDP2, block by block; the parts of a ``ModuleList`` one by one, since they are called one by one.

    Everything is sharded again after each forward pass, the root too (which FSDP2 would keep whole until a backward pass): where
    the averaged weights have been looked through, the next pass would else still see them.
    """
    # A velocity is a view; nobody writes into it.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    for p in module.parameters():
        p.data = p.data.contiguous()  # convolutions are channels_last, which FSDP2 refuses (torch 2.13)
    for part in module if isinstance(module, nn.ModuleList) else (module,):
        for block in getattr(part, "blocks", ()):
            fully_shard(block, mesh=mesh, reshard_after_forward=True)
        fully_shard(part, mesh=mesh, reshard_after_forward=True)
        for method in methods:
            register_fsdp_forward_method(part, method)


@torch.no_grad()
def share_buffers(module: nn.Module) -> None:
    """Average a module's buffers over the processes, such as the statistics of its latents: else each process has its own."""
    for buffer in module.buffers():
        if buffer.is_floating_point():
            dist.all_reduce(buffer.div_(dist.get_world_size()))


@torch.no_grad()
def move_towards(follower: nn.Module, leader: nn.Module, share: float) -> None:
    """Move the weights of ``follower`` by ``share`` of the way to those of ``leader``, a module of the same kind, sharded alike.

    1 copies them, bit for bit. Between updates, when FSDP2 has sharded both again.
    """
    for p, q in zip(follower.parameters(), leader.parameters(), strict=True):
        _local(p).lerp_(_local(q), share)


def _local(t: Tensor) -> Tensor:
    return t.to_local() if isinstance(t, DTensor) else t


def gathered(module: nn.Module, ends: tuple[str, ...] = ("",)) -> dict[str, Tensor]:
    """The state of a module, gathered from all processes, and if it is sharded put on the CPU, one tensor after another.

    ends: only what has a name that ends so.
    """
    state = {k: t for k, t in module.state_dict().items() if k.endswith(ends)}
    return {k: t.full_tensor().cpu() if isinstance(t, DTensor) else t for k, t in state.items()}
