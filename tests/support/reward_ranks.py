"""Reinforcement in the processes that torchrun starts: ``reward_ranks.py FOLDER``. Writes what each process drew and made."""

from __future__ import annotations

import sys
from pathlib import Path

from dreamx.interrupt import leave
from dreamx.train import reward
from dreamx.train.reward import history_length
from dreamx.train.run import Run
from reward_stage import stage
from two_processes import killed_and_resumed, write_draws


def main(root: Path) -> None:
    cfg = stage(root / "draws", 1)
    run = Run(cfg.run)
    write_draws(run, root, "lengths", lambda: history_length(run, cfg))
    reward.main(stage(root / "whole", 4))
    killed_and_resumed(reward, "nft_loss", 6, stage(root / "parts", 4))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    leave(0)
