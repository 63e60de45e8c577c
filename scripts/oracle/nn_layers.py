"""Layers of torch.nn: outputs, and gradients of sum(output * upstream), for inputs and parameters alike; fp32 and bf16.

Keys are `<case>.in.<name>`, `<case>.out` and `<case>.grad.<name>`, with `.bf16` after the case for the second dtype.
"""

import torch
import torch.nn.functional as F
from _fixtures import save_tensors

torch.manual_seed(20230130)
tensors: dict[str, torch.Tensor] = {}


def record(case: str, run, inputs: dict[str, torch.Tensor], constants: dict[str, torch.Tensor] | None = None) -> None:
    """Runs one case in both dtypes from the same inputs, rounded for bf16; constants (ids, boolean masks) stay as they are."""
    constants = constants or {}
    for dtype, name in ((torch.float32, case), (torch.bfloat16, f"{case}.bf16")):
        leaves = {key: value.to(dtype).requires_grad_() for key, value in inputs.items()}
        out = run(**leaves, **constants)
        upstream = torch.randn(out.shape).to(dtype)
        grads = torch.autograd.grad(out, list(leaves.values()), upstream)
        for key, value in {**leaves, **constants, "upstream": upstream}.items():
            tensors[f"{name}.in.{key}"] = value
        tensors[f"{name}.out"] = out
        for key, value in zip(leaves, grads, strict=True):
            tensors[f"{name}.grad.{key}"] = value


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(shape)


record("linear", lambda x, weight, bias: F.linear(x, weight, bias), {"x": randn(3, 5, 12), "weight": randn(7, 12), "bias": randn(7)})
record("linear_no_bias", lambda x, weight: F.linear(x, weight), {"x": randn(4, 12), "weight": randn(7, 12)})
record(
    "layer_norm",
    lambda x, weight, bias: F.layer_norm(x, (16,), weight, bias, 1e-12),
    {"x": 3 * randn(2, 5, 16) + 1, "weight": randn(16), "bias": randn(16)},
)
record("layer_norm_plain", lambda x: F.layer_norm(x, (16,), None, None, 1e-5), {"x": randn(2, 5, 16)})
record(
    "embedding",
    lambda weight, ids: F.embedding(ids, weight),
    {"weight": randn(11, 6)},
    {"ids": torch.tensor([[0, 3, 3, 10], [7, 3, 0, 1]])},
)
for name, activation in {
    "gelu": F.gelu,
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "relu": F.relu,
    "silu": F.silu,
}.items():
    record(name, lambda x, f=activation: f(x), {"x": 3 * randn(4, 9)})


def heads(q: int, k: int, batch: int = 2, count: int = 3, size: int = 8) -> dict[str, torch.Tensor]:
    return {"q": randn(batch, count, q, size), "k": randn(batch, count, k, size), "v": randn(batch, count, k, size)}


attention = F.scaled_dot_product_attention
record("attention", lambda q, k, v: attention(q, k, v), heads(5, 9))
record("attention_scale", lambda q, k, v: attention(q, k, v, scale=0.21), heads(5, 9))
record("attention_causal", lambda q, k, v: attention(q, k, v, is_causal=True), heads(7, 7))
# A mask of padding, as the language model has it: causal, and the first positions of the second row are padding. Every row sees something.
allowed = torch.ones(6, 6, dtype=torch.bool).tril().expand(2, 1, 6, 6).clone()
allowed[1, :, :, :2] = False
allowed[1, :, 0, 0] = allowed[1, :, 1, 1] = True
record("attention_allowed", lambda q, k, v, mask: attention(q, k, v, attn_mask=mask), heads(6, 6), {"mask": allowed})
record("attention_padding", lambda q, k, v, mask: attention(q, k, v, attn_mask=mask), heads(4, 6), {"mask": allowed[:, :, -1:, :]})
# A row that may see nothing gives zeros, and no gradient.
blind = allowed.clone()
blind[1, :, 2] = False
record("attention_blind", lambda q, k, v, mask: attention(q, k, v, attn_mask=mask), heads(6, 6), {"mask": blind})
record("attention_added", lambda q, k, v, mask: attention(q, k, v, attn_mask=mask), {**heads(5, 7), "mask": randn(2, 1, 5, 7)})

save_tensors("nn/layers", tensors)
