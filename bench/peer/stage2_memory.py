"""The most memory that a few steps of the second stage take, above what the process has once its model is there.

Settings: llm, precision, batch, steps.
"""

import json
import re
import sys
from pathlib import Path

import stage2_model
import torch
from stage2 import trainer


def memory(name: str) -> int:
    return int(re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())[1])


settings = json.loads(sys.argv[1])
torch.set_num_threads(settings["threads"])
precision = settings["precision"]
model, samples = stage2_model.load(Path(settings["materials"]), settings["llm"], settings["batch"], precision)
step = trainer(model, samples, precision)
Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
start = memory("VmRSS")
for _ in range(settings["steps"]):
    step()
parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
print(json.dumps({"aboveStartKiB": memory("VmHWM") - start, "startKiB": start, "parameters": parameters}), flush=True)
