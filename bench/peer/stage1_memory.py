"""The most memory that a few steps of the first stage take, above what the process has once its model is there. 

Settings: kind, precision, batch, steps.
"""

import json
import re
import sys
from pathlib import Path

import lavis_stage1
import torch
from stage1 import trainer


def memory(name: str) -> int:
    return int(re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())[1])


settings = json.loads(sys.argv[1])
torch.set_num_threads(settings["threads"])
model, samples = lavis_stage1.load(Path(settings["materials"]), settings["kind"], settings["batch"])
step = trainer(model.train(), samples, settings["precision"])
Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
start = memory("VmRSS")
for _ in range(settings["steps"]):
    step()
parameters = sum(p.numel() for p in model.parameters())
print(json.dumps({"aboveStartKiB": memory("VmHWM") - start, "startKiB": start, "parameters": parameters}), flush=True)
