"""What torch.Generator draws: numbers and states. Exponential and Bernoulli draws (so multinomial without replacement, and dropout, too) come
from Intel's library on Intel processors and from libtorch's own generator on all others: those files bear the name of the kind.
"""

import platform
from pathlib import Path

import torch
from _fixtures import save_tensors


def kind() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    intel = platform.machine() == "x86_64" and cpuinfo.exists() and "GenuineIntel" in cpuinfo.read_text()
    return "intel" if intel else "other"


SEEDS = [0, 1, 42, 2**63 + 12345]
weights = torch.tensor([[0.0, 1.0, 2.0, 3.0, 4.0, 0.5, 0.25], [5.0, 1.0, 0.0, 1.0, 1.0, 1.0, 9.0]])
everywhere: dict[str, torch.Tensor] = {"weights": weights}
here: dict[str, torch.Tensor] = {"weights": weights}

for seed in SEEDS:
    g = torch.Generator().manual_seed(seed)
    key = f"{seed}."
    # One after the other from one stream, so that each also shows that the one before it drew as much as it should.
    everywhere[key + "state.0"] = g.get_state()
    for size in [1, 3, 15, 16, 17, 100, 1000]:
        everywhere[f"{key}randn.{size}"] = torch.randn(size, generator=g)
        everywhere[f"{key}randn64.{size}"] = torch.randn(size, generator=g, dtype=torch.float64)
    everywhere[key + "randn.bfloat16"] = torch.randn(5, 7, generator=g, dtype=torch.bfloat16)
    everywhere[key + "state.1"] = g.get_state()
    everywhere[key + "rand"] = torch.rand(3, 7, generator=g)
    everywhere[key + "rand64"] = torch.rand(3, 7, generator=g, dtype=torch.float64)
    for n in [1, 2, 10, 1000]:
        everywhere[f"{key}randperm.{n}"] = torch.randperm(n, generator=g)
    everywhere[key + "randint"] = torch.randint(-5, 1000, (4, 5), generator=g)
    everywhere[key + "randint.wide"] = torch.randint(-(2**40), 2**40, (9,), generator=g)
    everywhere[key + "multinomial.replacement"] = torch.multinomial(weights, 12, True, generator=g)
    everywhere[key + "normal"] = torch.empty(33).normal_(2.0, 0.5, generator=g)
    everywhere[key + "normal.small"] = torch.empty(5).normal_(-1.0, 3.0, generator=g)
    everywhere[key + "uniform"] = torch.empty(20).uniform_(-2.0, 3.0, generator=g)
    everywhere[key + "state.2"] = g.get_state()

    g = torch.Generator().manual_seed(seed)
    here[key + "multinomial"] = torch.multinomial(weights, 4, False, generator=g)
    here[key + "multinomial.one"] = torch.multinomial(weights, 1, generator=g)
    here[key + "bernoulli"] = torch.bernoulli(torch.linspace(0, 1, 40), generator=g)
    here[key + "exponential"] = torch.empty(30).exponential_(1.5, generator=g)
    here[key + "exponential64"] = torch.empty(30, dtype=torch.float64).exponential_(generator=g)
    here[key + "state"] = g.get_state()
    torch.manual_seed(seed)
    here[key + "dropout"] = torch.nn.functional.dropout(torch.ones(8, 9), 0.3, True)
    here[key + "global.randn"] = torch.randn(20)

save_tensors("tensor/random", everywhere)
save_tensors(f"tensor/random-{kind()}", here)
