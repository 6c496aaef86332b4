"""Reinforcement in the processes that torchrun starts: ``reward_ranks.py FOLDER``. Writes what each process drew and made."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from dreamx.interrupt import leave
from dreamx.train import reward
from dreamx.train.reward import history_length
from dreamx.train.run import Run
from reward_stage import stage


def main(root: Path) -> None:
    cfg = stage(root / "draws", 1)
    run = Run(cfg.run)
    lengths = list[int]()
    for run.step in range(20):
        lengths.append(history_length(run, cfg))
    own = torch.rand(3, generator=run.generator(0)).tolist()
    (root / f"rank-{run.rank}.json").write_text(json.dumps({"lengths": lengths, "own": own}))
    reward.main(stage(root / "whole", 4))
    left, loss = [6], reward.nft_loss

    def dying(*given: object) -> object:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return loss(*given)  # pyright: ignore[reportArgumentType]

    reward.nft_loss = dying  # pyright: ignore[reportAttributeAccessIssue]
    try:
        reward.main(stage(root / "parts", 4))
    except KeyboardInterrupt:
        reward.nft_loss = loss
        reward.main(stage(root / "parts", 4))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    leave(0)
