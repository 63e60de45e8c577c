"""What torch.Generator draws: numbers and states. With libtorch 2.13 they do not depend on the maker of the processor: this script wrote the same bytes on
an AMD EPYC and, by qemu-x86_64 -cpu Haswell-noTSX and -cpu Skylake-Client, on a processor that libtorch takes for one of Intel's.
"""

import torch
from _fixtures import save_tensors

SEEDS = [0, 1, 42, 2**63 + 12345]
weights = torch.tensor([[0.0, 1.0, 2.0, 3.0, 4.0, 0.5, 0.25], [5.0, 1.0, 0.0, 1.0, 1.0, 1.0, 9.0]])
drawn: dict[str, torch.Tensor] = {"weights": weights}

for seed in SEEDS:
    g = torch.Generator().manual_seed(seed)
    key = f"{seed}."
    # One after the other from one stream, so that each also shows that the one before it drew as much as it should.
    drawn[key + "state.0"] = g.get_state()
    for size in [1, 3, 15, 16, 17, 100, 1000]:
        drawn[f"{key}randn.{size}"] = torch.randn(size, generator=g)
        drawn[f"{key}randn64.{size}"] = torch.randn(size, generator=g, dtype=torch.float64)
    drawn[key + "randn.bfloat16"] = torch.randn(5, 7, generator=g, dtype=torch.bfloat16)
    drawn[key + "state.1"] = g.get_state()
    drawn[key + "rand"] = torch.rand(3, 7, generator=g)
    drawn[key + "rand64"] = torch.rand(3, 7, generator=g, dtype=torch.float64)
    for n in [1, 2, 10, 1000]:
        drawn[f"{key}randperm.{n}"] = torch.randperm(n, generator=g)
    drawn[key + "randint"] = torch.randint(-5, 1000, (4, 5), generator=g)
    drawn[key + "randint.wide"] = torch.randint(-(2**40), 2**40, (9,), generator=g)
    drawn[key + "multinomial.replacement"] = torch.multinomial(weights, 12, True, generator=g)
    drawn[key + "normal"] = torch.empty(33).normal_(2.0, 0.5, generator=g)
    drawn[key + "normal.small"] = torch.empty(5).normal_(-1.0, 3.0, generator=g)
    drawn[key + "uniform"] = torch.empty(20).uniform_(-2.0, 3.0, generator=g)
    drawn[key + "state.2"] = g.get_state()

    g = torch.Generator().manual_seed(seed)
    drawn[key + "multinomial"] = torch.multinomial(weights, 4, False, generator=g)
    drawn[key + "multinomial.one"] = torch.multinomial(weights, 1, generator=g)
    drawn[key + "bernoulli"] = torch.bernoulli(torch.linspace(0, 1, 40), generator=g)
    drawn[key + "exponential"] = torch.empty(30).exponential_(1.5, generator=g)
    drawn[key + "exponential64"] = torch.empty(30, dtype=torch.float64).exponential_(generator=g)
    drawn[key + "state.others"] = g.get_state()
    torch.manual_seed(seed)
    drawn[key + "dropout"] = torch.nn.functional.dropout(torch.ones(8, 9), 0.3, True)
    drawn[key + "global.randn"] = torch.randn(20)

save_tensors("tensor/random", drawn)
