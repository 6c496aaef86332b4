"""Sum of two trainings from one start: the change that the one made to the weights is added to those of the other.

Weather is learned in many steps, drawing in two; neither has to be learned again for the other's sake. Source: task arithmetic
(Ilharco et al. 2022, arXiv 2212.04089).
"""

from __future__ import annotations

from dataclasses import dataclass

from dreamx.bounds import InputFolder, OutputFolder
from dreamx.checkpoints import native
from dreamx.train.trained_networks import load


@dataclass(frozen=True)
class WeightSum:
    """Networks of equal sizes: those of ``base``, and what ``more`` learned since ``less``."""

    base: InputFolder
    """Folder of networks that were trained from LESS."""
    more: InputFolder
    """Folder of other networks that were trained from LESS."""
    less: InputFolder
    """Folder of the networks that both began with."""
    out: OutputFolder
    """Folder of ``base + more - less``."""


def add_training(cfg: WeightSum) -> None:
    """Write ``cfg.out``. ValueError where sizes differ."""
    base, more, less = (load(folder) for folder in (cfg.base, cfg.more, cfg.less))
    for name, other in (("more", more), ("less", less)):
        if (other.dit.config, other.text.config) != (base.dit.config, base.text.config):
            raise ValueError(
                f"{name}: its networks are of other sizes than those of base ({cfg.base}); give some of the same sizes"
            )
    learned, before = more.state_dict(), less.state_dict()
    base.load_state_dict({name: value + learned[name] - before[name] for name, value in base.state_dict().items()})
    native.save(cfg.out, base.parts())
