"""From nothing to a caption: import, load, decode the picture, generate. Settings: materials, picture, threads."""

import json
import sys
from pathlib import Path

import torch
from PIL import Image
from transformers import Blip2ForConditionalGeneration, Blip2Processor

settings = json.loads(sys.argv[1])
folder = Path(settings["materials"]) / "demo"
torch.set_num_threads(settings["threads"])
processor = Blip2Processor.from_pretrained(folder)
model = Blip2ForConditionalGeneration.from_pretrained(folder)
inputs = processor(images=Image.open(Path(settings["materials"]) / settings["picture"]), text="a photo of", return_tensors="pt")
ids = model.generate(**inputs, num_beams=5, max_new_tokens=12)
text = processor.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)[0].strip()
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(json.dumps({"caption": text, "peakKiB": peak}), flush=True)
