"""What torch.save makes of every dtype, of views and shared memory, of nested values, of shards, and of what must not be read."""

import json
import os
import shutil
import warnings
from collections import Counter, OrderedDict, defaultdict

import torch
from _fixtures import FIXTURES, save_tensors
from huggingface_hub import save_torch_state_dict

OUT = FIXTURES / "torch"
shutil.rmtree(OUT, ignore_errors=True)
OUT.mkdir(parents=True)
warnings.filterwarnings("ignore")

WHOLE = ["uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
FLOATS = ["float16", "bfloat16", "float32", "float64"]
SMALL = ["float8_e5m2", "float8_e4m3fn", "float8_e8m0fnu", "float8_e5m2fnuz", "float8_e4m3fnuz"]

base = torch.tensor([[0, 1, 2], [3, 64, 127]])
every = {name: base.to(getattr(torch, name)) for name in WHOLE}
every |= {name: (base / 8 - 1).to(getattr(torch, name)) for name in FLOATS}
every |= {name: torch.tensor([0.5, 1, 2, 4]).to(getattr(torch, name)) for name in SMALL}
every["bool"] = base > 2
every["complex64"] = torch.complex(base.float(), -base.float())
every["complex128"] = torch.complex(base.double(), -base.double())
every["scalar"] = torch.tensor(3.25)
every["empty"] = torch.zeros(0, 4)
every["parameter"] = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
every["with attributes"] = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
every["with attributes"].note = "text"
every['name "quoted" \\ with é, 日本, 🚢 and\ttab'] = torch.tensor([1.0, 2.0])

memory = torch.arange(24, dtype=torch.float32)
grid = memory.view(4, 6)
views = OrderedDict(
    memory=memory,
    grid=grid,
    transposed=grid.t(),
    columns=grid[:, 1:3],
    every_second=memory[1::2],
    row=grid[2],
    diagonal=grid.diagonal(),
    cube=memory.view(2, 3, 4).permute(2, 0, 1),
    expanded=memory[5:6].expand(3, 4),
    windows=memory.unfold(0, 6, 3),
    nothing=grid[4:, 2:],
    one=grid[3:4, 5:6].t(),
    twin=memory,
    other=torch.arange(24, dtype=torch.float32).view(6, 4).t(),
)

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4), torch.nn.Linear(4, 2))
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
for _ in range(2):
    optimizer.zero_grad()
    model(torch.randn(5, 3)).square().mean().backward()
    optimizer.step()
lists = defaultdict(list)
lists["seen"].append(torch.tensor([7, 8]))
nested = {
    "model": model.state_dict(),
    "optimizer": optimizer.state_dict(),
    "scaler": {},
    "epoch": 3,
    "best": -1.5,
    "done": False,
    "nothing": None,
    "wide": 2**40,
    "wider": 2**70,
    "negative": -(2**33),
    "text": "é, 日本 and 🚢",
    "bytes": b"\x00\xff",
    "shape": torch.Size([2, 3]),
    "device": torch.device("cpu"),
    "dtype": torch.bfloat16,
    "tuple": (1, 2, (3, 4, 5, 6)),
    "set": {5},
    "counter": Counter("aab"),
    "lists": lists,
    7: [{"x": torch.tensor([9.0])}, [torch.tensor(True)]],
    "same list twice": [[1]] * 2,
}

torch.save(every, OUT / "every-dtype.pth")
torch.save(views, OUT / "views.pth")
torch.save(views, OUT / "views.legacy.pth", _use_new_zipfile_serialization=False)
torch.save(nested, OUT / "nested.pth")
torch.save(nested, OUT / "nested.legacy.pth", _use_new_zipfile_serialization=False)
for protocol in (3, 4, 5):
    torch.save(nested, OUT / f"nested.protocol{protocol}.pth", pickle_protocol=protocol)
torch.save(memory, OUT / "lone.pt")


class Attack:
    """What a pickle of anybody's can do to a reader that runs it."""

    def __reduce__(self):
        return os.system, ("touch attacked",)


torch.save({"model": views, "payload": Attack()}, OUT / "attack.pth")
torch.save({"model": views, "payload": Attack()}, OUT / "attack.legacy.pth", _use_new_zipfile_serialization=False)
torch.save(model, OUT / "module.pth")
torch.save({"x": torch.tensor([1 + 2j]).conj()}, OUT / "conjugated.pth")
torch.save({"x": torch.eye(2).to_sparse()}, OUT / "sparse.pth")
torch.jit.script(torch.nn.Linear(2, 2)).save(str(OUT / "script.pt"))

(OUT / "shards").mkdir()
shards = {f"layer.{i}.weight": torch.randn(8, 16).bfloat16() for i in range(6)}
shards |= {"tied.weight": shards["layer.0.weight"]}
save_torch_state_dict(shards, OUT / "shards", max_shard_size=700, safe_serialization=False)


def flat(value, name=""):
    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, (dict, list, tuple)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from flat(inner, f"{name}.{key}" if name else str(key))


expected = {}
for file, value in [("every-dtype", every), ("views", views), ("nested", nested), ("shards", shards)]:
    for name, tensor in flat(value):
        expected[f"{file}:{name}"] = torch.view_as_real(tensor) if tensor.dtype == torch.complex128 else tensor
strides = {name: list(view.stride()) for name, view in views.items()}
save_tensors("torch/expected", expected, {"strides": strides})
print(json.dumps({path.name: path.stat().st_size for path in sorted(OUT.rglob("*")) if path.is_file()}, indent=1))
