"""LAVIS's first stage, whose own `forward` and `generate` run: without its package's start-up, downloads and vision tower.

LAVIS wants an old transformers. The two lie in `.peers/lavis-stage1`, apart from the environment's own, and are installed when they are missing.
"""

import contextlib
import subprocess
import sys
import types
import warnings
from pathlib import Path

import numpy  # noqa: F401  what both folders could give is the environment's: imported before the other one is looked at
import torch
import torch.distributed as dist
from torch import nn

warnings.filterwarnings("ignore")

SITE = Path(__file__).resolve().parents[2] / ".peers" / "lavis-stage1"
PACKAGES = ["salesforce-lavis==1.0.2", "transformers==4.33.2", "tokenizers==0.13.3", "huggingface-hub==0.17.3"]
REQUESTS = ["requests", "urllib3", "idna", "certifi", "charset-normalizer"]

if not all((SITE / name).is_dir() for name in ("lavis", "transformers", "requests")):
    subprocess.run([sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(SITE), *PACKAGES, *REQUESTS], check=True)
sys.path.insert(0, str(SITE))


def module(name: str, **members: object) -> None:
    made = types.ModuleType(name)
    made.__dict__.update(members)
    sys.modules[name] = made


# Importing these packages would import all of LAVIS and what that wants; empty ones leave their modules importable.
for name in ["lavis", "lavis.models", "lavis.models.blip2_models", "lavis.models.blip_models", "lavis.common"]:
    module(name, __path__=[str(SITE / name.replace(".", "/"))])
module("omegaconf", OmegaConf=None)
module("lavis.common.utils", is_url=None, get_abs_path=None)
module("lavis.common.logger", MetricLogger=None)
module(
    "lavis.common.dist_utils",
    download_cached_file=None,
    is_dist_avail_and_initialized=dist.is_initialized,
    is_main_process=lambda: True,
)
module("lavis.models.eva_vit", create_eva_vit_g=None)
module("lavis.models.clip_vit", create_clip_vit_L=None)

import lavis.models.base_model as base_model  # noqa: E402

sys.modules["lavis.models"].BaseModel = base_model.BaseModel

from lavis.models.blip2_models.blip2_qformer import Blip2Qformer  # noqa: E402
from lavis.models.blip2_models.Qformer import BertConfig, BertLMHeadModel  # noqa: E402


class Tokens(dict):
    """Ids instead of texts: what is asked to tokenize gives them, what is to be decoded stays as it is."""

    __getattr__ = dict.__getitem__

    def to(self, _: torch.device) -> "Tokens":
        return self

    def __call__(self, *_: object, **__: object) -> "Tokens":
        return self

    def batch_decode(self, ids: torch.Tensor, **_: object) -> torch.Tensor:
        return ids


class Stage1(Blip2Qformer):
    """LAVIS's model of a golden's shape, without dropout. Pictures are features that come normalised."""

    device = property(lambda self: torch.device("cpu"))

    def __init__(self, config: dict[str, int]):
        nn.Module.__init__(self)
        self.Qformer = BertLMHeadModel(
            BertConfig(
                vocab_size=config["vocab"],
                hidden_size=config["hidden"],
                num_hidden_layers=config["layers"],
                num_attention_heads=config["heads"],
                intermediate_size=config["ffn"],
                max_position_embeddings=config["maxpos"],
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
                encoder_width=config["vis"],
                add_cross_attention=True,
                cross_attention_freq=2,
                query_length=config["nq"],
            )
        )
        self.query_tokens = nn.Parameter(torch.zeros(1, config["nq"], config["hidden"]))
        self.visual_encoder = nn.Identity()
        self.ln_vision = nn.Identity()
        self.vision_proj = nn.Linear(config["hidden"], config["embed"])
        self.text_proj = nn.Linear(config["hidden"], config["embed"])
        self.itm_head = nn.Linear(config["hidden"], 2)
        self.temp = nn.Parameter(0.07 * torch.ones([]))
        self.max_txt_len = config.get("L", 32)
        self.tokenizer = Tokens(
            pad_token_id=config["pad_token_id"], bos_token_id=config["dec_token_id"], sep_token_id=config["sep_token_id"]
        )

    def maybe_autocast(self, dtype: torch.dtype = torch.float16):
        return contextlib.nullcontext()

    def load(self, weights: dict[str, torch.Tensor]) -> "Stage1":
        """Weights by LAVIS's names; what is tied is in the file once."""
        result = self.load_state_dict(weights, strict=False)
        missing = [name for name in result.missing_keys if "predictions.decoder" not in name and "position_ids" not in name]
        assert not missing and not result.unexpected_keys, result
        head = self.Qformer.cls.predictions
        head.decoder.weight = self.Qformer.bert.embeddings.word_embeddings.weight
        head.decoder.bias = head.bias
        return self


def of_one() -> None:
    """Starts the process group of one process that LAVIS's `forward` wants."""
    if not dist.is_initialized():
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
