"""What PyTorch prints for tensors of many shapes, dtypes and ranges: test/fixtures/tensor/print.json.

Each case holds the tensor's bytes (base64), dtype and shape, so that the other side prints the very same values.
"""

import base64
import json
import math

import torch
from _fixtures import FIXTURES

cases = []


def add(name, tensor, **how):
    plain = tensor.detach().cpu().contiguous() if tensor.device.type == "cpu" else None
    data = None
    if plain is not None and "step" not in how:
        raw = plain if plain.dim() > 0 else plain.reshape(1)
        data = base64.b64encode(bytes(raw.view(torch.uint8).flatten().tolist())).decode() if raw.numel() > 0 else ""
    cases.append(
        {"name": name, "dtype": str(tensor.dtype)[6:], "shape": list(tensor.shape), "data": data, "text": repr(tensor), **how}
    )


g = torch.Generator().manual_seed(1)
inf, nan = math.inf, math.nan

for shape in [(), (1,), (3,), (10,), (40,), (2, 3), (1, 1), (3, 20), (2, 3, 4), (2, 1, 2, 3), (1, 2, 1, 2, 2), (11, 91)]:
    add(f"randn {shape}", torch.randn(shape, generator=g))
    add(f"thousands {shape}", torch.randn(shape, generator=g) * 3000)
    add(f"whole {shape}", torch.randint(-50, 5000, shape, generator=g).float())
    add(f"int64 {shape}", torch.randint(-50, 5000, shape, generator=g))
    add(f"bool {shape}", torch.randint(0, 2, shape, generator=g).bool())
    add(f"float64 {shape}", torch.randn(shape, generator=g, dtype=torch.float64) * 1e-3)
for shape in [(1000,), (1001,), (7, 7, 30), (2, 600), (600, 2), (1002, 1), (3, 7, 8, 9), (10, 10, 11), (1, 2000)]:
    for step in [1, 0.5]:
        add(f"summary {shape}, {step}", torch.arange(math.prod(shape), dtype=torch.float32).reshape(shape) * step, step=step)
for dtype in [torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2]:
    add(f"{dtype}", (torch.randn(3, 5, generator=g) * 4).to(dtype))
for dtype in [torch.uint8, torch.int8, torch.int16, torch.int32, torch.uint16, torch.uint32, torch.uint64]:
    add(f"{dtype}", torch.arange(12).reshape(3, 4).to(dtype))
    add(f"{dtype}, one element", torch.tensor(7, dtype=dtype))
for values in [
    [0.0], [-0.0], [-0.0, 1.5], [inf], [nan], [-inf, inf, nan], [inf, 0.0], [1.0, inf], [1.5, nan, -inf], [1e9, -inf], [1e9, nan],
    [1e8], [100000001.0], [99999999.0, 1.0], [1e-4], [9.9e-5], [1e-10, 1.0], [1.0, 1000.0], [1.0, 1001.0], [1.0, 1000.5],
    [0.03125], [0.09375, 0.15625], [-0.03125, 2.0], [0.00005], [123456.7], [0.5, 1.5, 2.5], [1e38, 1e-38], [1e-45], [3.4e38],
    [100005.0, 1e9], [100015.0, 1e9], [-100005.0, 1e10], [999995.0, 1e10], [1.0, 2.0, 3e9], [7.0, 0.0, 1e-5], [-1.0, 10.0, 100.0],
]:
    add(f"{values}", torch.tensor(values))
    add(f"{values} as float64", torch.tensor(values, dtype=torch.float64))
add("float64 extremes", torch.tensor([1e300, -1e-300, 5e-324], dtype=torch.float64))
add("int64 extremes", torch.tensor([2**63 - 1, -(2**63), 0]))
add("complex", torch.tensor([1 + 2j, -1.5 - 2.25j, 0j]))
add("complex matrix", torch.randn(3, 4, dtype=torch.complex64, generator=g))
add("complex128, one", torch.tensor(1e6 - 1e-6j, dtype=torch.complex128))
for shape in [(0,), (0, 3), (3, 0), (2, 0, 4)]:
    for dtype in [torch.float32, torch.int64, torch.float16, torch.bool]:
        add(f"empty {shape} {dtype}", torch.empty(shape, dtype=dtype))
for shape in [(), (3,), (2, 3)]:
    for dtype in [torch.float32, torch.int64, torch.bfloat16]:
        add(f"meta {shape} {dtype}", torch.empty(shape, dtype=dtype, device="meta"), device="meta")
leaf = lambda *shape: torch.linspace(-1, 1, math.prod(shape)).reshape(shape).requires_grad_()
add("leaf", leaf(3), make="leaf")
add("leaf that fills its line", leaf(10), make="leaf")
add("leaf of float16", leaf(4).detach().half().requires_grad_(), make="leaf")
for make, result in {
    "add": leaf(3) + leaf(3),
    "mul": leaf(2, 2) * leaf(2, 2),
    "view": leaf(2, 2).view(4),
    "matmul": leaf(2, 2).matmul(leaf(2, 2)),
    "softmax": leaf(2, 5).softmax(-1),
    "sum": leaf(4).sum(),
    "select": leaf(2, 3)[0],
    "copySlices": (lambda x: (x[0].fill_(0), x)[1])(leaf(2, 3).clone()),
    "linear": torch.nn.functional.linear(leaf(1, 2), leaf(2, 2), leaf(2)),
    "long line": leaf(11).exp(),
}.items():
    add(f"grad_fn: {make}", result, make=make)

path = FIXTURES / "tensor" / "print.json"
path.parent.mkdir(parents=True, exist_ok=True)
path.write_text(json.dumps({"torch": torch.__version__.split("+")[0], "cases": cases}, indent=0) + "\n")
print(f"{path}: {len(cases)} cases, {path.stat().st_size:,} bytes")
