"""LAVIS's vision towers, small: their weights as torch.save writes them, and what they make of pictures; checkpoints of both stages."""

import warnings
from functools import partial

warnings.filterwarnings("ignore")

import _lavis
import torch
from _fixtures import FIXTURES, save_tensors
from lavis.models import clip_vit, eva_vit
from safetensors.torch import load_file

OUT = FIXTURES / "lavis"
OUT.mkdir(parents=True, exist_ok=True)
WIDTH, HEADS, PATCH = 16, 2, 7
generator = torch.Generator().manual_seed(5)


def randomize(module: torch.nn.Module) -> torch.nn.Module:
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    return module.eval()


def eva(size: int, depth: int) -> torch.nn.Module:
    return eva_vit.VisionTransformer(
        img_size=size,
        patch_size=PATCH,
        use_mean_pooling=False,
        embed_dim=WIDTH,
        depth=depth,
        num_heads=HEADS,
        mlp_ratio=2.5,
        qkv_bias=True,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
    )


def clip(size: int, blocks: int) -> torch.nn.Module:
    # The class runs one block less than it is told.
    return clip_vit.VisionTransformer(
        input_resolution=size, patch_size=PATCH, width=WIDTH, layers=blocks + 1, heads=HEADS, use_grad_checkpointing=False
    )


golden = {}


def record(name: str, tower, interpolate, weights: dict[str, torch.Tensor]) -> None:
    """Loads the file's weights as LAVIS does into towers of two sizes, and runs them on a picture each."""
    for size in (21, 28):
        model = tower(size, 2)
        state = dict(weights)
        interpolate(model, state)
        result = model.load_state_dict(state, strict=False)
        assert not result.missing_keys, result
        pixels = torch.randn(2, 3, size, size, generator=generator)
        with torch.no_grad():
            golden[f"{name}.pixels.{size}"] = pixels
            golden[f"{name}.features.{size}"] = model.eval()(pixels)


# As EVA-CLIP's own file: one block more than BLIP-2 runs, and a head.
eva_weights = dict(randomize(eva(21, 3)).state_dict())
eva_weights |= {"norm.weight": torch.ones(WIDTH), "norm.bias": torch.zeros(WIDTH)}
eva_weights |= {"head.weight": torch.ones(4, WIDTH), "head.bias": torch.zeros(4)}
torch.save(eva_weights, OUT / "eva.pth")
record("eva", eva, eva_vit.interpolate_pos_embed, eva_weights)

clip_weights = dict(randomize(clip(21, 3)).state_dict())
clip_weights |= {"ln_post.weight": torch.ones(WIDTH), "ln_post.bias": torch.zeros(WIDTH), "proj": torch.ones(WIDTH, 8)}
torch.save(clip_weights, OUT / "clip.pth")
record("clip", clip, clip_vit.interpolate_pos_embed, clip_weights)
save_tensors("lavis/towers", golden)

# The names of LAVIS's first stage are those of its golden; the sizes are smaller here.
SIZES = {97: 23, 96: 20, 48: 12, 16: 4, 6: 3, 2: 2, 1: 1}


def smaller(name: str, shape: torch.Size) -> list[int]:
    if name.endswith("position_embeddings.weight"):
        return [10, 12]
    return [WIDTH if size == 40 else SIZES[size] for size in shape]


shapes = load_file(FIXTURES / "stage1-plain" / "weights.safetensors")
stage1 = {name: torch.randn(smaller(name, tensor.shape), generator=generator) for name, tensor in shapes.items()}
stage1["ln_vision.weight"] = torch.randn(WIDTH, generator=generator)
stage1["ln_vision.bias"] = torch.randn(WIDTH, generator=generator)
stage1["Qformer.bert.embeddings.position_ids"] = torch.arange(10).expand(1, -1)
stage1["Qformer.cls.predictions.decoder.weight"] = stage1["Qformer.bert.embeddings.word_embeddings.weight"]
stage1["Qformer.cls.predictions.decoder.bias"] = stage1["Qformer.cls.predictions.bias"]
optimizer = torch.optim.AdamW([torch.nn.Parameter(stage1["query_tokens"].clone())], lr=1e-4)
optimizer.param_groups[0]["params"][0].grad = torch.ones(1, 3, 12)
optimizer.step()


def checkpoint(model: dict[str, torch.Tensor], path: str) -> None:
    """What LAVIS's runner saves."""
    config = {"run": {"init_lr": 1e-4, "task": "image_text_pretrain"}, "model": {"arch": "blip2"}}
    saved = {"model": model, "optimizer": optimizer.state_dict(), "config": config, "scaler": None, "epoch": 9}
    torch.save(saved, OUT / path)


# Frozen parameters are left out: the vision tower, and in the second stage the language model.
checkpoint(stage1, "stage1.pth")
visual = {f"visual_encoder.{name}": tensor for name, tensor in eva(21, 2).state_dict().items()}
visual = {name: torch.randn(tensor.shape, generator=generator) for name, tensor in visual.items()}
checkpoint({**visual, **stage1}, "stage1-finetuned.pth")
text = (".intermediate.", ".output.dense", ".output.LayerNorm")
second = {
    name: tensor
    for name, tensor in stage1.items()
    if name.startswith(("query_tokens", "ln_vision", "Qformer.bert."))
    and "embeddings.word" not in name
    and "embeddings.position" not in name
    and not (any(part in name for part in text) and "attention" not in name)
}
second["opt_proj.weight"] = torch.randn(20, 12, generator=generator)
second["opt_proj.bias"] = torch.randn(20, generator=generator)
checkpoint(second, "stage2.pth")
