"""What Python's safetensors makes of every dtype, and of a checkpoint in shards."""

import torch
from _fixtures import FIXTURES
from huggingface_hub import save_torch_state_dict
from safetensors.torch import save_file

OUT = FIXTURES / "safetensors"
OUT.mkdir(parents=True, exist_ok=True)

WHOLE = ["uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
FLOATS = ["float16", "bfloat16", "float32", "float64"]
SMALL = ["float8_e5m2", "float8_e4m3fn", "float8_e8m0fnu", "float8_e5m2fnuz", "float8_e4m3fnuz"]

base = torch.tensor([[0, 1, 2], [3, 64, 127]])
tensors = {name: base.to(getattr(torch, name)) for name in WHOLE}
tensors |= {name: (base / 8 - 1).to(getattr(torch, name)) for name in FLOATS}
tensors |= {name: torch.tensor([0.5, 1, 2, 4]).to(getattr(torch, name)) for name in SMALL}
tensors["bool"] = base > 2
tensors["complex64"] = torch.complex(base.float(), -base.float())
tensors["float4_e2m1fn_x2"] = torch.tensor([[0x10, 0x32, 0x7F], [0x80, 0x9A, 0x05]], dtype=torch.uint8).view(torch.float4_e2m1fn_x2)
tensors["scalar"] = torch.tensor(3.25)
tensors["empty"] = torch.zeros(0, 4)
tensors['name "quoted" \\ with é, 日本, 🚢 and\ttab'] = torch.tensor([1.0, 2.0])
save_file(tensors, OUT / "every-dtype.safetensors", metadata={"format": "pt"})

generator = torch.Generator().manual_seed(1)
state = {f"layer.{i}.weight": torch.randn(8, 16, generator=generator) for i in range(12)}
(OUT / "shards").mkdir(exist_ok=True)
save_torch_state_dict(state, OUT / "shards", max_shard_size=2048)
