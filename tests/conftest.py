"""One CPU thread: the tests are small, and several threads only wait for each other on a busy machine."""

import dreamx  # noqa: F401  (before torch: says how threads wait)

# isort: split
import torch

torch.set_num_threads(1)
