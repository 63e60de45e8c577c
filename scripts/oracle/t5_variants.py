"""T5's parts, small, as transformers computes them: test/fixtures/t5.safetensors.

`norm.*`: T5LayerNorm in three dtypes. `buckets.*`: the bucket of every distance from -300 to 300. `<variant>.*`: weights, inputs and outputs
of T5ForConditionalGeneration with other feed-forward networks, output tables and scalings than Flan-T5's. `float16.*`: outputs whose sums
pass float16's range, `wo` in float32 as `from_pretrained` keeps it. The variants' configurations are in the metadata.
"""

import json

import torch
from _fixtures import FIXTURES
from safetensors.torch import save_file
from transformers import T5Config, T5ForConditionalGeneration
from transformers.models.t5.modeling_t5 import T5Attention, T5LayerNorm

SHAPE = dict(
    vocab_size=24, d_model=16, d_kv=4, d_ff=20, num_layers=2, num_decoder_layers=1, num_heads=3, dropout_rate=0.0,
    relative_attention_num_buckets=8, relative_attention_max_distance=20,
)  # fmt: skip
VARIANTS = {
    "first": dict(feed_forward_proj="relu"),
    "silu": dict(feed_forward_proj="gated-silu", tie_word_embeddings=False),
    "flan": dict(feed_forward_proj="gated-gelu", tie_word_embeddings=False),
    "float16": dict(feed_forward_proj="gated-gelu", tie_word_embeddings=False),
}
UNTIED = ("flan", "float16")

torch.manual_seed(21)
torch.set_num_threads(1)
made = {}

x = torch.randn(2, 3, 16) * 3
made["norm.x"] = x
for dtype in (torch.float32, torch.bfloat16, torch.float16):
    norm = T5LayerNorm(16).to(dtype)
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 2, 16))
    given = x.to(dtype, copy=True).requires_grad_()
    y = norm(given)
    (y.float() * torch.arange(16)).sum().backward()
    name = f"norm.{str(dtype).removeprefix('torch.')}"
    made |= {f"{name}.y": y.detach(), f"{name}.grad": given.grad, f"{name}.weight_grad": norm.weight.grad, f"{name}.weight": norm.weight}

distances = torch.arange(-300, 301)
made["distances"] = distances
for buckets, most in ((32, 128), (8, 20), (5, 11), (64, 1000)):
    for bidirectional in (True, False):
        bucket = T5Attention._relative_position_bucket(distances, bidirectional, buckets, most)
        made[f"buckets.{buckets}.{most}.{int(bidirectional)}"] = bucket.to(torch.uint8)

configurations = {}
for name, fields in VARIANTS.items():
    config = T5Config(**SHAPE, **fields)
    model = T5ForConditionalGeneration(config).eval()
    if name in UNTIED:
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.shared.weight))
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            parameter.copy_((torch.randn_like(parameter) * 0.3 + (1.0 if "norm" in key else 0.0)).bfloat16())
    if name == "float16":
        model.half()
        with torch.no_grad():
            # Sums beyond 65504: in the first sublayer, whose sum is float16, and behind wo, where it is float32.
            for stack in (model.encoder, model.decoder):
                stack.block[0].layer[0].SelfAttention.o.weight.mul_(32768)
                for block in stack.block:
                    block.layer[-1].DenseReluDense.wo.float()
                stack.block[0].layer[-1].DenseReluDense.wo.weight.mul_(65536)
    inputs = torch.randn(2, 7, 16).to(model.shared.weight.dtype)
    mask = torch.tensor([[1] * 7, [1, 1, 1, 0, 1, 0, 0]])
    decoder_ids = torch.tensor([[0, 5, 9, 11, 7], [0, 8, 3, 2, 6]])
    with torch.no_grad():
        encoded = model.encoder(inputs_embeds=inputs, attention_mask=mask).last_hidden_state
        logits = model(inputs_embeds=inputs, attention_mask=mask, decoder_input_ids=decoder_ids).logits
    assert torch.isfinite(encoded).all() and torch.isfinite(logits).all(), name
    state = {f"{name}.weights.{key}": value for key, value in model.state_dict().items() if "embed_tokens" not in key}
    if name not in UNTIED:
        del state[f"{name}.weights.lm_head.weight"]
    outcome = dict(inputs=inputs, mask=mask, decoder_ids=decoder_ids, encoded=encoded, logits=logits)
    made |= state | {f"{name}.{key}": value for key, value in outcome.items()}
    configurations[name] = config.to_dict()

made = {name: tensor.detach().contiguous() for name, tensor in made.items()}
# Their values fit into it.
made = {name: tensor.bfloat16() if ".weights." in name and tensor.dtype == torch.float32 else tensor for name, tensor in made.items()}
save_file(made, FIXTURES / "t5.safetensors", {"facts": json.dumps(configurations)})
print({name: tuple(tensor.shape) for name, tensor in made.items() if name.endswith("logits")}, made["float16.logits"].abs().max())
