"""What Pillow and Hugging Face's BlipImageProcessor make of pictures.

test/fixtures/photos holds photographs and drawings (public domain or CC0). Beside each goes what Pillow makes of it, resized, and what
the processor makes of it at a small size. The pictures in `kinds/` are made here: alpha, palettes, orientation, animation.
"""

import numpy as np
import torch
from _fixtures import FIXTURES, save_tensors
from PIL import Image, ImageDraw, ImageOps
from transformers import BlipImageProcessor
from transformers.image_utils import load_image

PHOTOS = FIXTURES / "photos"


def planes(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


for photo in sorted(PHOTOS.glob("*.*")):
    if photo.suffix not in (".png", ".jpg"):
        continue
    image = Image.open(photo).convert("RGB")
    small = BlipImageProcessor(size={"height": 40, "width": 56})
    save_tensors(
        f"photos/{photo.stem}",
        {
            "224": planes(image.resize((224, 224), Image.Resampling.BICUBIC)),
            "364": planes(image.resize((364, 364), Image.Resampling.BICUBIC)),
            "processed": small(load_image(str(photo)), return_tensors="pt").pixel_values[0],
        },
        compress=True,
    )

# Every kind of picture, by name; what load_image makes of it.
KINDS = PHOTOS / "kinds"
KINDS.mkdir(exist_ok=True)
rng = np.random.default_rng(7)
drawing = Image.new("RGBA", (24, 16), (200, 30, 60, 0))
ImageDraw.Draw(drawing).ellipse((3, 2, 19, 13), fill=(20, 90, 220, 120))
drawing.putpixel((0, 0), (255, 255, 0, 1))
colour = drawing.convert("RGB")
other = ImageOps.invert(colour)

exif = Image.Exif()
exif[0x0112] = 6  # turn by 90 degrees clockwise
drawing.save(KINDS / "alpha.png")
drawing.convert("LA").save(KINDS / "grey-alpha.png")
colour.convert("L").save(KINDS / "grey.png")
colour.convert("1").save(KINDS / "bilevel.png")
colour.quantize(5).save(KINDS / "palette.png")
colour.quantize(5).save(KINDS / "palette-transparent.png", transparency=0)
colour.save(KINDS / "orientation.jpg", exif=exif, quality=90)
colour.convert("L").save(KINDS / "grey.jpg", quality=90)
colour.save(KINDS / "progressive.jpg", progressive=True, quality=90)
colour.save(KINDS / "lossless.webp", lossless=True)
colour.save(KINDS / "plain.tiff")
colour.save(KINDS / "animated.gif", save_all=True, append_images=[other], duration=100)
colour.save(KINDS / "animated.webp", save_all=True, append_images=[other], duration=100, lossless=True)
Image.fromarray(rng.integers(0, 256, (1, 1, 3), dtype=np.uint8)).save(KINDS / "one-pixel.png")

save_tensors("photos/kinds", {file.name: planes(load_image(str(file))) for file in sorted(KINDS.iterdir())})
