"""What both sides work on: checkpoints with random weights, inputs, pictures. `materials.py <models.json> <folder>`."""

import json
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    Blip2QFormerConfig,
    Blip2QFormerModel,
    BlipImageProcessor,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

logging.disable_progress_bar()

QUERIES, TOKENS = 32, 257


def checkpoint(folder: Path, settings: dict) -> Blip2Config:
    torch.manual_seed(0)
    config = Blip2Config(**settings)
    Blip2ForConditionalGeneration(config).eval().save_pretrained(folder)
    return config


def demo_inputs(config: Blip2Config, batch: int = 64) -> dict[str, torch.Tensor]:
    """A batch as the demo makes it: queries, `</s> a photo of`, a caption of 9 to 11 words and `</s>`, then padding."""
    generator = torch.Generator().manual_seed(1)
    queries, text = config.num_query_tokens, config.text_config
    ids = torch.full((batch, queries + 16), text.pad_token_id)
    labels = torch.full_like(ids, -100)
    for row in range(batch):
        words = 9 + row % 3
        said = torch.cat([torch.randint(8, text.vocab_size, (words,), generator=generator), torch.tensor([text.eos_token_id])])
        start = queries + 4
        ids[row, :queries] = config.image_token_index
        ids[row, queries:start] = torch.tensor([text.bos_token_id, 5, 6, 7])
        ids[row, start : start + len(said)] = labels[row, start : start + len(said)] = said
    side = config.vision_config.image_size
    pixels = torch.randn(batch, 3, side, side, generator=generator)
    return {"pixel_values": pixels, "input_ids": ids, "attention_mask": (ids != text.pad_token_id).long(), "labels": labels}


def processor(folder: Path, config: Blip2Config) -> None:
    """A tokenizer of whole words, and the pictures' size, for the row that starts from a file and ends with text."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<image>"]
    words = special + ["a", "photo", "of"] + [f"word{i}" for i in range(8, config.text_config.vocab_size)]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="</s> $A", pair="</s> $A $B", special_tokens=[("</s>", config.text_config.bos_token_id)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="</s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        padding_side="left",
        additional_special_tokens=["<image>"],
    )
    side = config.vision_config.image_size
    images = BlipImageProcessor(size={"height": side, "width": side})
    Blip2Processor(images, fast, num_query_tokens=config.num_query_tokens).save_pretrained(folder)


def picture(file: Path | BytesIO, width: int, height: int, seed: int | None = None) -> None:
    """A picture whose spectrum falls like a photograph's, with some grain, as JPEG of quality 90."""
    rng = np.random.default_rng(width if seed is None else seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    frequency[0, 0] = 1
    planes = []
    for _ in range(3):
        noise = np.fft.rfft2(rng.standard_normal((height, width))) / frequency**1.3
        plane = np.fft.irfft2(noise, s=(height, width))
        planes.append((plane - plane.mean()) / plane.std())
    brightness = planes[0]
    colours = np.stack([brightness + 0.35 * p for p in planes], -1)
    pixels = 118 + 52 * colours + 3 * rng.standard_normal((height, width, 1))
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)


def shards(folder: Path, count: int, size: int) -> None:
    """WebDataset tars with pictures of 640 x 480 and captions; sixteen pictures, again and again."""
    pictures = [BytesIO() for _ in range(16)]
    for seed, buffer in enumerate(pictures):
        picture(buffer, 640, 480, seed)
    folder.mkdir()
    for shard in range(count):
        with tarfile.open(folder / f"{shard:04}.tar", "w") as tar:
            for i in range(shard * size, (shard + 1) * size):
                for ending, content in (("jpg", pictures[i % 16].getvalue()), ("txt", f"A picture, number {i}.".encode())):
                    member = tarfile.TarInfo(f"{i:06}.{ending}")
                    member.size = len(content)
                    tar.addfile(member, BytesIO(content))


def main(models_file: str, target: str) -> None:
    settings, folder = json.loads(Path(models_file).read_text()), Path(target)
    for name in ("demo", "opt-125m"):
        config = checkpoint(folder / name, settings[name])
        if name == "demo":
            processor(folder / name, config)
            save_file(demo_inputs(config), folder / name / "inputs.safetensors")
        else:
            generator = torch.Generator().manual_seed(2)
            save_file({"pixel_values": torch.randn(8, 3, 224, 224, generator=generator)}, folder / name / "inputs.safetensors")
    torch.manual_seed(0)
    config = Blip2QFormerConfig(**settings["qformer"])
    Blip2QFormerModel(config).eval().save_pretrained(folder / "qformer")
    features = torch.randn(64, TOKENS, config.encoder_hidden_size)
    queries = 0.02 * torch.randn(1, QUERIES, config.hidden_size)
    save_file({"features": features, "query_tokens": queries}, folder / "qformer" / "inputs.safetensors")
    picture(folder / "640x480.jpg", 640, 480)
    picture(folder / "2048x1365.jpg", 2048, 1365)
    shards(folder / "shards", 4, 64)


main(*sys.argv[1:])
