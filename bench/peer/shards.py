"""WebDataset tars to training batches, by webdataset, Pillow and torchvision. Settings: batch, side, buffer."""

from pathlib import Path

import webdataset
from serve import serve
from torchvision import transforms
from torchvision.transforms import InterpolationMode

NORMALIZE = transforms.Normalize((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


def prepare(settings: dict):
    batch, side, buffer = settings["batch"], settings["side"], settings["buffer"]
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(side, scale=(0.5, 1.0), interpolation=InterpolationMode.BICUBIC),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            NORMALIZE,
        ]
    )
    shards = sorted(str(file) for file in Path(settings["materials"], "shards").glob("*.tar"))
    dataset = webdataset.WebDataset(shards, shardshuffle=len(shards), empty_check=False).repeat().shuffle(buffer).decode("pil")
    samples = iter(dataset.to_tuple("jpg", "txt").map_tuple(transform, str).batched(batch))
    first = [next(samples)[0] for _ in range(8)]

    def run(count: int) -> int:
        for _ in range(count):
            next(samples)
        return count * batch

    values = sum(pixels.numel() for pixels in first)
    return run, {"mean": sum(pixels.double().sum().item() for pixels in first) / values, "values": values}


serve(prepare)
