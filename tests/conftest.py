"""One CPU thread: the tests are small, and several threads only wait for each other on a busy machine."""

import torch

torch.set_num_threads(1)
