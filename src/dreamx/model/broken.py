"""NaN and infinity in what a network makes: said in one sentence that names the weight to blame, if one is."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def refuse_broken(z: Tensor, where: str, net: nn.Module | None = None) -> None:
    """ValueError where what a network made is no number; it names the tensor of ``net`` that is to blame, if one is."""
    if bool(torch.isfinite(z).all()):
        return
    tensors = () if net is None else net.state_dict().items()
    broken = next((name for name, x in tensors if not bool(torch.isfinite(x).all())), None)
    if broken is not None:
        raise ValueError(
            f"{where} the network makes NaN or infinity, since its weight {broken!r} holds some; copy or convert it again"
        )
    raise ValueError(f"{where} the network makes NaN or infinity; try float32, and see what dreamx doctor says")
