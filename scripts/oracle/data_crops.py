"""torchvision's RandomResizedCrop and RandomHorizontalFlip, as LAVIS's blip2_image_train has them, with the random numbers that they used.

The numbers are drawn here, and torch's functions that transforms draw with are replaced by ones that take the next of them: uniform_ scales it to
its range in float32, as torch does; randint takes the floor of its share of the range; rand gives it as it is.
"""

import json
import random
from unittest import mock

import numpy as np
import torch
from _fixtures import FIXTURES, save_tensors
from PIL import Image
from torchvision import transforms
from torchvision.transforms import InterpolationMode

rng = random.Random(20)
used: list[float] = []


def draw() -> np.float32:
    used.append(rng.getrandbits(24) / 2**24)
    return np.float32(used[-1])


def uniform_(self, low=0.0, high=1.0):
    low, high = np.float32(float(low)), np.float32(float(high))
    return self.fill_(float(low + draw() * (high - low)))


def randint(low, high, size):
    return torch.full(size, low + int(float(draw()) * (high - low)))


def drawing(run):
    used.clear()
    with (
        mock.patch.object(torch.Tensor, "uniform_", uniform_),
        mock.patch.object(torch, "randint", randint),
        mock.patch.object(torch, "rand", lambda n: torch.full((n,), float(draw()))),
    ):
        return run(), list(used)


SIZES = [(480, 640), (640, 480), (427, 640), (224, 224), (1, 1), (3, 2), (1000, 100), (100, 1000), (37, 41), (2048, 1365)]
SETTINGS = [((0.5, 1.0), (3 / 4, 4 / 3)), ((0.08, 1.0), (3 / 4, 4 / 3)), ((0.9, 1.0), (0.5, 2.0)), ((1.0, 1.0), (2.0, 3.0))]
cases = []
for i in range(400):
    height, width = SIZES[i % len(SIZES)] if i < 200 else (rng.randint(1, 1200), rng.randint(1, 1200))
    scale, ratio = SETTINGS[0] if i % 2 == 0 else SETTINGS[rng.randrange(len(SETTINGS))]
    image = torch.empty((3, height, width), device="meta")
    (top, left, h, w), numbers = drawing(lambda: transforms.RandomResizedCrop.get_params(image, list(scale), list(ratio)))
    cases.append({"height": height, "width": width, "scale": scale, "ratio": ratio, "numbers": numbers, "region": {"left": left, "top": top, "width": w, "height": h}})

(FIXTURES / "data").mkdir(exist_ok=True)
(FIXTURES / "data/crops.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")

train = transforms.Compose(
    [
        transforms.RandomResizedCrop(128, scale=(0.5, 1.0), interpolation=InterpolationMode.BICUBIC),
        transforms.RandomHorizontalFlip(),
        transforms.PILToTensor(),
    ]
)
tensors, numbers = {}, {}
for name in ("rocket.jpg", "coffee.png", "chelsea.png"):
    photo = Image.open(FIXTURES / "photos" / name).convert("RGB")
    for k in range(2):
        tensors[f"{name}.{k}"], numbers[f"{name}.{k}"] = drawing(lambda: train(photo))
save_tensors("data/crops", tensors, {"numbers": numbers})
