"""A checkpoint of blip2-opt-2.7b's shapes with random weights in bfloat16, in several files. `full_size_model.py … <folder>`.

Weights are drawn one after the other, and no more than a file of them is in memory.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import Blip2Config, Blip2ForConditionalGeneration

SHARD_BYTES = 2**30
TEXT = dict(
    model_type="opt",
    vocab_size=50304,
    hidden_size=2560,
    ffn_dim=10240,
    num_hidden_layers=32,
    num_attention_heads=32,
    word_embed_proj_dim=2560,
    eos_token_id=50118,
)


def drawn(name: str, shape: torch.Size) -> torch.Tensor:
    if name.endswith("bias"):
        return torch.zeros(shape, dtype=torch.bfloat16)
    if len(shape) == 1:
        return torch.ones(shape, dtype=torch.bfloat16)
    return torch.empty(shape, dtype=torch.bfloat16).normal_(0, 0.02)


def write(config: Blip2Config, folder: Path) -> None:
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in Blip2ForConditionalGeneration(config).state_dict().items()}
    shapes.pop("language_model.lm_head.weight")  # tied
    shards: list[list[str]] = [[]]
    room = SHARD_BYTES
    for name, shape in shapes.items():
        if room < 2 * shape.numel() and shards[-1]:
            shards.append([])
            room = SHARD_BYTES
        shards[-1].append(name)
        room -= 2 * shape.numel()
    places = {}
    for i, names in enumerate(shards, 1):
        file = f"model-{i:05}-of-{len(shards):05}.safetensors"
        save_file({name: drawn(name, shapes[name]) for name in names}, folder / file, metadata={"format": "pt"})
        places.update(dict.fromkeys(names, file))
    total = sum(2 * shape.numel() for shape in shapes.values())
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))
    (folder / "config.json").write_text(json.dumps({**config.to_dict(), "dtype": "bfloat16"}, indent=2))


if __name__ == "__main__":
    torch.manual_seed(5)
    folder = Path(sys.argv[-1])
    settings = dict(image_size=224, patch_size=14)
    write(Blip2Config(vision_config=settings, qformer_config={}, text_config=TEXT, num_query_tokens=32, image_token_index=50265), folder)
    pixels = torch.randn(1, 3, 224, 224)
    save_file({"pixel_values": pixels}, folder / "inputs.safetensors")
