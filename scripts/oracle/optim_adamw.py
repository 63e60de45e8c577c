"""torch.optim.AdamW(fused=True): 50 steps of a small network with two groups of parameters, clipping and a changing learning rate.

Every step draws its batch from `batches.<step % 5>`. The forward is y = w2 @ gelu(w1 @ x + b1) + b2, the loss the mean square error, so that
whoever repeats the run needs nothing but linear, gelu and AdamW. One parameter gets its first gradient at step 10.
"""

import math

import torch
import torch.nn.functional as F
from _fixtures import save_tensors

torch.manual_seed(7)
torch.set_num_threads(1)
STEPS, PEAK, BETAS, EPS, DECAY, CLIP = 50, 3e-2, (0.9, 0.98), 1e-8, 0.05, 0.5

parameters = {
    "w1": 0.4 * torch.randn(16, 8),
    "b1": torch.zeros(16),
    "w2": 0.4 * torch.randn(3, 16),
    "b2": torch.zeros(3),
    "late": 0.1 * torch.randn(3),
}
batches = [(torch.randn(12, 8), torch.randn(12, 3)) for _ in range(5)]
tensors = {f"first.{name}": value.clone() for name, value in parameters.items()}
for i, (x, y) in enumerate(batches):
    tensors |= {f"batches.{i}.x": x, f"batches.{i}.y": y}

for value in parameters.values():
    value.requires_grad_()
optimizer = torch.optim.AdamW(
    [
        {"params": [parameters["w1"], parameters["w2"]], "weight_decay": DECAY},
        {"params": [parameters["b1"], parameters["b2"], parameters["late"]], "weight_decay": 0.0, "lr": PEAK / 2},
    ],
    lr=PEAK,
    betas=BETAS,
    eps=EPS,
    fused=True,
)

losses, norms, rates = [], [], []
for step in range(STEPS):
    x, y = batches[step % len(batches)]
    rate = PEAK * (step + 1) / 5 if step < 5 else PEAK * 0.5 * (1 + math.cos(math.pi * (step - 5) / (STEPS - 5)))
    optimizer.param_groups[0]["lr"], optimizer.param_groups[1]["lr"] = rate, rate / 2
    out = F.linear(F.gelu(F.linear(x, parameters["w1"], parameters["b1"])), parameters["w2"], parameters["b2"])
    if step >= 10:
        out = out + parameters["late"]
    loss = (out - y).square().mean()
    optimizer.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(list(parameters.values()), CLIP)
    if step in (0, 10, 25):
        tensors |= {f"clipped.{step}.{name}": value.grad for name, value in parameters.items() if value.grad is not None}
    optimizer.step()
    losses.append(loss.item())
    norms.append(norm.item())
    rates.append(rate)
    if step in (0, 9, 24, 49):
        tensors |= {f"after.{step}.{name}": value.detach().clone() for name, value in parameters.items()}

for name, value in parameters.items():
    state = optimizer.state[value]
    tensors |= {f"state.{name}.exp_avg": state["exp_avg"], f"state.{name}.exp_avg_sq": state["exp_avg_sq"], f"state.{name}.step": state["step"]}

save_tensors(
    "optim/adamw",
    tensors,
    {"steps": STEPS, "betas": BETAS, "eps": EPS, "weightDecay": DECAY, "clip": CLIP, "losses": losses, "norms": norms, "rates": rates},
)
print(f"loss {losses[0]:.4f} -> {losses[-1]:.4f}; clipped in {sum(n > CLIP for n in norms)} of {STEPS} steps")
