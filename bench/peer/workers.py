"""What ours/workers.mjs writes, by the model over the pictures' pixel values: captions and answers of a batch."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from serve import serve
from transformers import Blip2ForConditionalGeneration, Blip2Processor

NAMES = {"numBeams": "num_beams", "maxNewTokens": "max_new_tokens", "minNewTokens": "min_new_tokens", "lengthPenalty": "length_penalty"}


def prepare(settings: dict):
    folder = Path(settings["materials"]) / settings["model"]
    model = Blip2ForConditionalGeneration.from_pretrained(folder).eval()
    processor = Blip2Processor.from_pretrained(folder)
    batch, words = settings["batch"], settings.get("words")
    values = load_file(folder / "inputs.safetensors")["pixel_values"][:batch]
    pictures = list(values.mul(52).add(118).round().clamp(0, 255).to(torch.uint8))

    def question(row: int) -> str:
        return " ".join(f"word{words[0] + (row * 37 + t * 11) % words[1]}" for t in range(6 + row)) if words else ""

    texts = [question(row) for row in range(batch)]
    inputs = processor(images=pictures, text=texts, padding=True, return_tensors="pt")
    options = {NAMES[name]: value for name, value in settings["options"].items()}

    def write() -> list[list[int]]:
        return model.generate(**inputs, **options)[:, inputs["input_ids"].shape[1] :].tolist()

    def run(count: int) -> int:
        return sum(len(row) for _ in range(count) for row in write())

    ids = write()
    said = [text.strip() for text in processor.batch_decode(ids, skip_special_tokens=True)]
    return run, {"ids": ids, "texts": said}


serve(prepare)
