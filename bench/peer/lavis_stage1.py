"""LAVIS's first-stage model, whose own `forward` runs: without its package's start-up, its downloads, and a vision tower of its own.

`lavis_stage1.py <folder>` writes weights and inputs for both sides. LAVIS wants an old transformers, which lies, with it, in a folder apart.
"""

import contextlib
import sys
import types
from pathlib import Path

import numpy  # noqa: F401  these two are the environment's own: imported before the folder is looked at
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import nn

SITE = Path(__file__).resolve().parents[2] / ".peers" / "lavis-stage1"
sys.path.insert(0, str(SITE))


def module(name: str, **members: object) -> types.ModuleType:
    made = types.ModuleType(name)
    made.__dict__.update(members)
    sys.modules[name] = made
    return made


# Importing these packages would import all of LAVIS and what that wants; empty ones leave their modules importable.
for name in ["lavis", "lavis.models", "lavis.models.blip2_models", "lavis.models.blip_models", "lavis.common"]:
    module(name, __path__=[str(SITE / name.replace(".", "/"))])
module("omegaconf", OmegaConf=None)
module("lavis.common.utils", is_url=None, get_abs_path=None)
module("lavis.common.logger", MetricLogger=None)
module("lavis.common.dist_utils", download_cached_file=None, is_dist_avail_and_initialized=lambda: True)
module("lavis.models.eva_vit", create_eva_vit_g=None)
module("lavis.models.clip_vit", create_clip_vit_L=None)

import lavis.models.base_model as base_model  # noqa: E402

sys.modules["lavis.models"].BaseModel = base_model.BaseModel

from lavis.models.blip2_models.blip2 import LayerNorm  # noqa: E402
from lavis.models.blip2_models.blip2_qformer import Blip2Qformer  # noqa: E402
from lavis.models.blip2_models.Qformer import BertConfig, BertLMHeadModel  # noqa: E402
from transformers import ViTConfig, ViTModel  # noqa: E402

VOCABULARY, QUERIES, EMBED, TEXT = 30523, 32, 256, 32
BATCH, TOKENS, VIT = 32, 257, dict(image_size=224, patch_size=14, layer_norm_eps=1e-6)
WIDTHS = {"features": 1408, "encoder": 768}


class Stage1(Blip2Qformer):
    """Of the width of the pictures' features, which are given or come from the tower."""

    device = property(lambda self: torch.device("cpu"))

    def __init__(self, width: int, tower: nn.Module | None = None):
        nn.Module.__init__(self)
        config = BertConfig(
            vocab_size=VOCABULARY,
            encoder_width=width,
            add_cross_attention=True,
            cross_attention_freq=2,
            query_length=QUERIES,
        )
        self.Qformer = BertLMHeadModel(config)
        self.query_tokens = nn.Parameter(torch.randn(1, QUERIES, config.hidden_size) * 0.02)
        self.visual_encoder = tower or nn.Identity()
        self.ln_vision = LayerNorm(width)
        self.vision_proj = nn.Linear(config.hidden_size, EMBED)
        self.text_proj = nn.Linear(config.hidden_size, EMBED)
        self.itm_head = nn.Linear(config.hidden_size, 2)
        self.temp = nn.Parameter(0.07 * torch.ones([]))
        self.max_txt_len = TEXT

    def maybe_autocast(self, dtype: torch.dtype = torch.float16):
        return contextlib.nullcontext()


class Tower(nn.Module):
    """Hugging Face's ViT of the size of ViT-B with patches of 14 pixels, frozen, up to its last LayerNorm."""

    def __init__(self):
        super().__init__()
        self.vit = ViTModel(ViTConfig(**VIT), add_pooling_layer=False)
        self.vit.layernorm = nn.Identity()
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> "Tower":
        return super().train(False)

    @torch.no_grad()
    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", enabled=False):
            return self.vit(pixels.to(self.vit.embeddings.cls_token.dtype)).last_hidden_state


class Tokens(dict):
    """The captions' ids, made already, as LAVIS's tokenizer gives them."""

    __getattr__ = dict.__getitem__
    pad_token_id, bos_token_id = 0, VOCABULARY - 1

    def to(self, _: torch.device) -> "Tokens":
        return self

    def __call__(self, *_: object, **__: object) -> "Tokens":
        return self


def load(folder: Path, kind: str, batch: int) -> tuple[Stage1, dict[str, object]]:
    """The model with its weights, and what its `forward` takes."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    tower = None
    if kind == "encoder":
        tower = Tower().eval()
        tower.vit.load_state_dict(load_file(folder / "vit.safetensors"))
    model = Stage1(WIDTHS[kind], tower)
    model.load_state_dict(load_file(folder / f"{kind}.safetensors"), strict=False)
    inputs = {name: rows[:batch].clone() for name, rows in load_file(folder / "inputs.safetensors").items()}
    model.tokenizer = Tokens(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
    image = inputs["features" if kind == "features" else "pixel_values"]
    return model, {"image": image, "text_input": [""] * batch}


def caption_ids() -> dict[str, torch.Tensor]:
    """Captions of 8 to 20 tokens, as a loader pads them to 32."""
    lengths = [8 + 7 * i % 13 for i in range(BATCH)]
    ids = torch.zeros(BATCH, TEXT, dtype=torch.long)
    for row, length in zip(ids, lengths, strict=True):
        row[:length] = torch.randint(1000, 30000, (length,))
        row[0], row[length - 1] = 101, 102
    return {"input_ids": ids, "attention_mask": (ids != 0).long()}


def blip2_names(vit: ViTModel) -> dict[str, torch.Tensor]:
    """The tower's weights under BLIP-2's names, where queries, keys and values are one projection."""
    state = vit.state_dict()
    named = {
        "embeddings.class_embedding": state["embeddings.cls_token"],
        "embeddings.position_embedding": state["embeddings.position_embeddings"],
    }
    for kind in ("weight", "bias"):
        named[f"embeddings.patch_embedding.{kind}"] = state[f"embeddings.patch_embeddings.projection.{kind}"]
        for i in range(vit.config.num_hidden_layers):
            theirs, ours = f"encoder.layer.{i}.", f"encoder.layers.{i}."
            parts = [state[f"{theirs}attention.attention.{part}.{kind}"] for part in ("query", "key", "value")]
            named[f"{ours}self_attn.qkv.{kind}"] = torch.cat(parts)
            for old, new in (
                ("attention.output.dense", "self_attn.projection"),
                ("layernorm_before", "layer_norm1"),
                ("layernorm_after", "layer_norm2"),
                ("intermediate.dense", "mlp.fc1"),
                ("output.dense", "mlp.fc2"),
            ):
                named[f"{ours}{new}.{kind}"] = state[f"{theirs}{old}.{kind}"]
    return named


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    tower = Tower()
    save_file(tower.vit.state_dict(), folder / "vit.safetensors")
    save_file(blip2_names(tower.vit), folder / "tower.safetensors")
    for kind, width in WIDTHS.items():
        weights = {name: value.detach().clone() for name, value in Stage1(width).named_parameters()}
        save_file(weights, folder / f"{kind}.safetensors")
    pictures = {"features": torch.randn(BATCH, TOKENS, WIDTHS["features"]), "pixel_values": torch.randn(BATCH, 3, 224, 224)}
    save_file({**caption_ids(), **pictures}, folder / "inputs.safetensors")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
