"""A tiny CLIP vision tower and its features before the last block: test/fixtures/hf/clip.

BLIP-2 reads the output of the second last block, without the last LayerNorm. fp32.
"""

import torch
from _fixtures import FIXTURES
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModel

torch.manual_seed(20)
folder = FIXTURES / "hf" / "clip"
folder.mkdir(parents=True, exist_ok=True)
model = CLIPVisionModel(
    CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4, image_size=28, patch_size=7, projection_dim=16
    )
).eval()
with torch.no_grad():
    for name, parameter in model.named_parameters():
        centre = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        parameter.copy_(centre + torch.randn_like(parameter) * 0.2)
    pixels, big = torch.randn(2, 3, 28, 28), torch.randn(1, 3, 42, 49)
    states = model(pixels, output_hidden_states=True).hidden_states
    larger = model(big, output_hidden_states=True, interpolate_pos_encoding=True).hidden_states
model.save_pretrained(folder)
io = dict(pixel_values=pixels, features=states[-2], first=states[0], big_pixel_values=big, big_features=larger[-2])
save_file({name: tensor.contiguous() for name, tensor in io.items()}, folder / "io.safetensors")
