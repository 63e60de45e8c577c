"""Captions by beam search, one picture at a time, from pixel values to ids. Settings: model, beams, newTokens."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from serve import serve
from transformers import Blip2ForConditionalGeneration


def prepare(settings: dict):
    folder = Path(settings["materials"]) / settings["model"]
    model = Blip2ForConditionalGeneration.from_pretrained(folder).eval()
    pixels = load_file(folder / "inputs.safetensors")["pixel_values"][:8]
    config = model.config
    prompt = torch.tensor([[config.image_token_index] * config.num_query_tokens + [config.text_config.bos_token_id]])
    mask = torch.ones_like(prompt)

    def caption(i: int) -> list[int]:
        ids = model.generate(
            pixel_values=pixels[i : i + 1],
            input_ids=prompt,
            attention_mask=mask,
            num_beams=settings["beams"],
            max_new_tokens=settings["newTokens"],
        )
        return ids[0, prompt.shape[1] :].tolist()

    def run(count: int) -> int:
        return sum(len(caption(n % len(pixels))) for n in range(count))

    return run, {"ids": [caption(i) for i in range(settings["check"])]}


serve(prepare)
