"""Rows of the ablation for several processes that share each frame: the transformer by sequence, the decoder by height, and both.

The bench starts the processes itself: gloo on a CPU, each with its share of the threads; NCCL on GPUs, one each. All of them make
what ``dreamx bench engine`` times, chunks of a full window without memory; so does one process, with all threads, for the row
that they are compared with.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import start_processes

from dreamx.bench import stopwatch
from dreamx.bench.ablation import AblationRow, row_of
from dreamx.bench.same_walk import PLAIN, WalkMade, walk_plan
from dreamx.budget.plan import Plan
from dreamx.fast.height_decoder import HeightDecoder
from dreamx.fast.row_slabs import Slabs
from dreamx.fast.ulysses import sequence_parallel
from dreamx.model.attention_backends import TORCH
from dreamx.model.dit import DiT
from dreamx.rollout import Network


def must_share(plan: Plan, device: torch.device, processes: int) -> None:
    """ValueError unless so many processes can share the frames of a plan here."""
    rows = plan.latent[0] // plan.dit.patch
    if not 2 <= processes <= rows:
        raise ValueError(f"processes: {processes} cannot share {rows} rows of tokens; give 2 to {rows}")
    if device.type == "cuda" and torch.cuda.device_count() < processes:
        raise ValueError(f"processes: {processes} want a GPU each, and {torch.cuda.device_count()} are here; give fewer")
    with torch.device("meta"):
        sequence_parallel(DiT(plan.dit), Slabs())  # refuses a lane that pools


def shared_rows(plan: Plan, device: torch.device, chunks: int, processes: int, random: bool) -> list[AblationRow]:
    """Rows of one process and of so many: the transformer shared, the decoder, both."""
    nets = stopwatch.networks(plan, device, random)
    plain = walk_plan(plan, nets, device, PLAIN, chunks)
    rows = [row_of("one process", plain, plain)]
    kinds = [("sequence", True, False), *([("decoder", False, True), ("both", True, True)] if nets[1] is not None else [])]
    for name, sequence, decoder in kinds:
        with TemporaryDirectory() as folder:
            given = (processes, folder, plan, device.type, chunks, random, torch.get_num_threads(), sequence, decoder)
            start_processes(_share, given, nprocs=processes, start_method="spawn")
            found = torch.load(Path(folder) / "made.pt")
        made = WalkMade(nets[0], plain.frames, **found)
        rows.append(row_of(f"{processes} share {name}", made, plain))
    return rows


def _share(
    rank: int,
    processes: int,
    folder: str,
    plan: Plan,
    kind: str,
    chunks: int,
    random: bool,
    threads: int,
    sequence: bool,
    decoder: bool,
) -> None:
    """One process; the first writes what it made to ``folder``."""
    torch.set_num_threads(max(1, threads // processes))
    device = torch.device(f"cuda:{rank}" if kind == "cuda" else kind)
    if kind == "cuda":
        torch.cuda.set_device(device)
    meet = f"file://{folder}/meet"
    dist.init_process_group("nccl" if kind == "cuda" else "gloo", init_method=meet, rank=rank, world_size=processes)
    slabs, (dit, vae) = Slabs(), stopwatch.networks(plan, device, random)
    shown: list[torch.Tensor] = []

    def through(dit: DiT) -> Network:
        return sequence_parallel(dit, slabs) if sequence else dit

    with torch.inference_mode():
        halves = HeightDecoder(vae, slabs) if decoder and vae is not None else vae
        times = stopwatch.run(plan, dit, halves, device, chunks, TORCH, shown, through)
    spent = torch.tensor(times.cpu, dtype=torch.float64)  # seconds of all processes, as one process has those of its threads
    if kind != "cuda":
        dist.all_reduce(spent)
    if rank == 0:
        decoded = sum(times.decodings) / max(1, len(times.chunks))
        cpu = None if kind == "cuda" else float(spent)
        whole = [chunk + decoded for chunk in times.chunks]
        torch.save({"passes": times.passes, "chunks": whole, "shown": shown, "cpu": cpu}, Path(folder) / "made.pt")
    dist.barrier()
    dist.destroy_process_group()
