"""torch.nn.Dropout in training, drawn from the global generator after torch.manual_seed: outputs and gradients. They are those of every x86-64
processor; tensor_random.py says how that was seen.
"""

import torch
from _fixtures import save_tensors

tensors: dict[str, torch.Tensor] = {}
for seed, p, shape in ((0, 0.1, (6, 50)), (12345678901, 0.5, (4, 9))):
    x = torch.linspace(-2, 3, shape[0] * shape[1]).view(shape).requires_grad_()
    torch.manual_seed(seed)
    layer = torch.nn.Dropout(p)
    first, second = layer(x), layer(x)
    (grad,) = torch.autograd.grad(first, x, torch.ones_like(first))
    tensors |= {f"{seed}.x": x, f"{seed}.first": first, f"{seed}.second": second, f"{seed}.grad": grad}

save_tensors("nn/dropout", tensors)
