"""The second stage as the rows about it run it: Hugging Face's Blip2ForConditionalGeneration behind cached features, with a frozen language model.

Run with a folder (after this file's own name), it makes what both sides work on: for "opt" and "t5" config.json and model.safetensors, and the
inputs. Weights are drawn; of the vision tower there is the last LayerNorm alone, which the second stage trains.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import Blip2Config, Blip2ForConditionalGeneration

BATCH, QUERIES = 32, 32
IMAGE = {"opt": 50265, "t5": 32100}
TEXT = {
    "opt": dict(model_type="opt", vocab_size=50304, dropout=0.1, eos_token_id=50118),  # the rest is OPT-125m's by default
    "t5": dict(model_type="t5", bos_token_id=1, decoder_start_token_id=0),  # T5-small's by default
}
VISION = dict(num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, image_size=28, patch_size=14)


class Features(nn.Module):
    """In the vision tower's place: gives the features that it is given, through the LayerNorm that is trained."""

    def __init__(self):
        super().__init__()
        self.post_layernorm = nn.LayerNorm(1408, eps=1e-5)
        self.features = None

    def forward(self, *_, **__):
        hidden = self.post_layernorm(self.features)
        return SimpleNamespace(last_hidden_state=hidden, pooler_output=hidden[:, 0], hidden_states=None, attentions=None)


def build(llm: str) -> Blip2ForConditionalGeneration:
    config = Blip2Config(
        vision_config=VISION, qformer_config={}, text_config=TEXT[llm], num_query_tokens=QUERIES, image_token_index=IMAGE[llm]
    )
    model = Blip2ForConditionalGeneration(config)
    model.vision_model = Features()
    model.language_model.requires_grad_(False)
    return model


def padded(rows: list[list[int]], value: int) -> torch.Tensor:
    longest = max(map(len, rows))
    return torch.tensor([row + [value] * (longest - len(row)) for row in rows])


def load(folder: Path, llm: str, batch: int, precision: str):
    """The model, its language model in a precision, and what its forward is given. No gradient goes to what is frozen."""
    model = build(llm)
    missing, unexpected = model.load_state_dict(load_file(folder / llm / "model.safetensors"), strict=False)
    assert not unexpected and all("embed_tokens" in name or "lm_head" in name for name in missing), (missing, unexpected)
    model.tie_weights()
    model.language_model.to(getattr(torch, precision))
    inputs = load_file(folder / "inputs.safetensors")
    model.vision_model.features = inputs["features"][:batch].clone()
    rows = lambda name: [[id for id in row if id >= 0] for row in inputs[f"{llm}.{name}"][:batch].tolist()]  # noqa: E731
    prompts, targets = rows("prompt"), rows("target")
    images = [IMAGE[llm]] * QUERIES
    ids = [images + prompt + (target if llm == "opt" else []) for prompt, target in zip(prompts, targets)]
    labels = [[-100] * (QUERIES + len(prompt)) + target if llm == "opt" else target for prompt, target in zip(prompts, targets)]
    samples = dict(
        pixel_values=torch.zeros(batch, 3, 28, 28),  # not looked at
        input_ids=padded(ids, 1 if llm == "opt" else 0),
        attention_mask=padded([[1] * len(row) for row in ids], 0),
        labels=padded(labels, -100),
    )
    return model, samples


def draw(llm: str, count: int) -> tuple[list[list[int]], list[list[int]]]:
    """Captions of 6 to 16 tokens. OPT: </s> in front and a line break behind, all to be learned. T5: divided, each half ends with </s>."""
    captions = [torch.randint(5, 32000, (int(torch.randint(6, 17, ())),)).tolist() for _ in range(count)]
    if llm == "opt":
        return [[] for _ in captions], [[2, *caption, 50118] for caption in captions]
    halves = [(caption[: (cut := int(torch.randint(1, len(caption), ())))], caption[cut:]) for caption in captions]
    return [[*prefix, 1] for prefix, _ in halves], [[*suffix, 1] for _, suffix in halves]


if __name__ == "__main__":
    folder = Path(sys.argv[-1])
    inputs = {}
    for llm in TEXT:
        torch.manual_seed(11)
        model = build(llm)
        nn.init.normal_(model.query_tokens, 0.0, 0.02)  # as drawn they are zeros, and stay equal
        (folder / llm).mkdir(parents=True, exist_ok=True)
        weights = {name: value.clone() for name, value in model.state_dict().items()}
        for name in ("language_model.lm_head.weight", "language_model.encoder.embed_tokens.weight", "language_model.decoder.embed_tokens.weight"):
            weights.pop(name, None)  # tied
        save_file(weights, folder / llm / "model.safetensors")
        (folder / llm / "config.json").write_text(json.dumps(model.config.to_dict()))
        for name, rows in zip(("prompt", "target"), draw(llm, BATCH)):
            inputs[f"{llm}.{name}"] = padded(rows, -1).long().reshape(BATCH, -1)
    inputs["features"] = torch.randn(BATCH, 257, 1408)
    save_file(inputs, folder / "inputs.safetensors")
