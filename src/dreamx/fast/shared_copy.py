"""A second network around the same tensors, so that a transform changes it and leaves the first as it is."""

from __future__ import annotations

from copy import deepcopy
from itertools import chain
from typing import TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)


def shared_copy(module: M) -> M:
    """The same network, module by module, with the parameters and buffers of ``module``, not copies of them."""
    return deepcopy(module, {id(x): x for x in chain(module.parameters(), module.buffers())})
