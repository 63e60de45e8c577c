"""Captions and answers by beam search, a batch of pictures at a time, from pixel values to ids. Settings as in ours/answers.mjs."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from serve import serve
from transformers import Blip2ForConditionalGeneration

NAMES = {"numBeams": "num_beams", "maxNewTokens": "max_new_tokens", "minNewTokens": "min_new_tokens", "lengthPenalty": "length_penalty"}


def prepare(settings: dict):
    folder = Path(settings["materials"]) / settings["model"]
    model = Blip2ForConditionalGeneration.from_pretrained(folder).eval()
    batch, words = settings["batch"], settings.get("words")
    pixels = load_file(folder / "inputs.safetensors")["pixel_values"][:batch]
    config, text = model.config, model.config.text_config

    def question(row: int) -> list[int]:
        return [words[0] + (row * 37 + t * 11) % words[1] for t in range(6 + row)] if words else []

    texts = [[text.bos_token_id, *question(row)] for row in range(batch)]
    longest = max(map(len, texts))
    ids = torch.tensor([[config.image_token_index] * config.num_query_tokens + [text.pad_token_id] * (longest - len(t)) + t for t in texts])
    mask = torch.tensor([[1] * config.num_query_tokens + [0] * (longest - len(t)) + [1] * len(t) for t in texts])
    options = {NAMES[name]: value for name, value in settings["options"].items()}

    def write() -> list[list[int]]:
        made = model.generate(pixel_values=pixels, input_ids=ids, attention_mask=mask, **options)
        return made[:, ids.shape[1] :].tolist()

    def run(count: int) -> int:
        return sum(len(row) for _ in range(count) for row in write())

    return run, {"ids": write()}


serve(prepare)
