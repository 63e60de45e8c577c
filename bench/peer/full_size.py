"""A model of several billion weights, once: loading it, a first caption and a second, and the most memory that all of it takes above what
the process had before. Settings: materials, threads, beams, newTokens."""

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import Blip2ForConditionalGeneration


def memory(name: str) -> int:
    return int(re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def timed(work: Callable) -> tuple:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


settings = json.loads(sys.argv[1])
folder, length = Path(settings["materials"]), settings["newTokens"]
torch.set_num_threads(settings["threads"])
pixels = load_file(folder / "inputs.safetensors")["pixel_values"].bfloat16()
Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
start = memory("VmRSS")
model, load_seconds = timed(lambda: Blip2ForConditionalGeneration.from_pretrained(folder, dtype=torch.bfloat16))
model.eval()
config = model.config
prompt = torch.tensor([[config.image_token_index] * config.num_query_tokens + [config.text_config.bos_token_id]])
options = dict(num_beams=settings["beams"], min_new_tokens=length, max_new_tokens=length, return_dict_in_generate=True, output_scores=True)
caption = lambda: timed(lambda: model.generate(pixel_values=pixels, input_ids=prompt, attention_mask=torch.ones_like(prompt), **options))  # noqa: E731
first, first_seconds = caption()
_, caption_seconds = caption()
answer = {
    "parameters": sum(p.numel() for p in model.parameters()),
    "loadSeconds": load_seconds,
    "firstSeconds": first_seconds,
    "captionSeconds": caption_seconds,
    "peakKiB": memory("VmHWM") - start,
    "score": first.sequences_scores.item(),
}
print(json.dumps(answer), flush=True)
