"""torch.nn.Dropout in training, drawn from the global generator after torch.manual_seed: outputs and gradients.

libtorch draws with Intel's library on Intel processors and with its own generator on all others, and the two give different numbers.
So each file bears the name of the kind of processor that it was made on; run this on both kinds.
"""

import platform
from pathlib import Path

import torch
from _fixtures import save_tensors


def intel() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    return platform.machine() == "x86_64" and cpuinfo.exists() and "GenuineIntel" in cpuinfo.read_text()


tensors: dict[str, torch.Tensor] = {}
for seed, p, shape in ((0, 0.1, (6, 50)), (12345678901, 0.5, (4, 9))):
    x = torch.linspace(-2, 3, shape[0] * shape[1]).view(shape).requires_grad_()
    torch.manual_seed(seed)
    layer = torch.nn.Dropout(p)
    first, second = layer(x), layer(x)
    (grad,) = torch.autograd.grad(first, x, torch.ones_like(first))
    tensors |= {f"{seed}.x": x, f"{seed}.first": first, f"{seed}.second": second, f"{seed}.grad": grad}

save_tensors(f"nn/dropout-{'intel' if intel() else 'other'}", tensors)
