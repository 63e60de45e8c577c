"""A JPEG file to a normalised tensor, by Pillow and numpy. Settings: picture, side."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from serve import serve

MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


def prepare(settings: dict):
    file, side = Path(settings["materials"]) / settings["picture"], settings["side"]

    def load() -> torch.Tensor:
        with Image.open(file) as image:
            resized = image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
        values = (np.asarray(resized) - 255 * MEAN) / (255 * STD)
        return torch.from_numpy(values.transpose(2, 0, 1)).contiguous()

    def run(count: int) -> None:
        for _ in range(count):
            load()

    return run, {"sum": load().double().sum().item(), "values": 3 * side * side}


serve(prepare)
