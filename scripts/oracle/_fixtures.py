"""Where goldens go, and how a generator writes them."""

import gzip
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

FIXTURES = Path(__file__).resolve().parents[2] / "test" / "fixtures"


def save_tensors(
    name: str, tensors: dict[str, torch.Tensor], facts: dict[str, object] | None = None, compress: bool = False
) -> None:
    """Writes test/fixtures/<name>.safetensors, or with `compress` .safetensors.gz; `facts` go, as JSON, into its metadata under "facts"."""
    path = FIXTURES / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"torch": torch.__version__.split("+")[0]}
    if facts is not None:
        metadata["facts"] = json.dumps(facts)
    save_file({key: value.detach().contiguous().clone() for key, value in tensors.items()}, path, metadata=metadata)
    if compress:
        plain, path = path, path.with_name(f"{path.name}.gz")
        path.write_bytes(gzip.compress(plain.read_bytes(), 9, mtime=0))
        plain.unlink()
    print(f"{path.relative_to(FIXTURES.parents[1])}: {len(tensors)} tensors, {path.stat().st_size:,} bytes")
