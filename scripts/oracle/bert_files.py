"""A small BERT as transformers saves it, the same as old files have it, and what it makes of text."""

import json

import torch
from _fixtures import FIXTURES, save_tensors
from transformers import BertConfig, BertForMaskedLM

torch.manual_seed(12)
CONFIG = BertConfig(
    vocab_size=61, hidden_size=24, num_hidden_layers=3, num_attention_heads=3, intermediate_size=48, max_position_embeddings=20
)
model = BertForMaskedLM(CONFIG).eval()
with torch.no_grad():
    for parameter in model.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.2)
    # The Q-Former has no kinds of segments, so BERT must do without them here.
    model.bert.embeddings.token_type_embeddings.weight.zero_()

out = FIXTURES / "bert"
model.save_pretrained(out / "new")

# As in 2018: other names of LayerNorm's parameters, the format of torch.save before 1.6, and here also no prefix.
old = {name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor.clone()
       for name, tensor in model.bert.state_dict().items()}  # fmt: skip
old["pooler.dense.weight"], old["pooler.dense.bias"] = torch.zeros(24, 24), torch.zeros(24)
(out / "old").mkdir(exist_ok=True)
torch.save(old, out / "old" / "pytorch_model.bin", _use_new_zipfile_serialization=False)
CONFIG.save_pretrained(out / "old")

ids = torch.randint(0, 61, (3, 11))
mask = (torch.arange(11) < torch.tensor([[11], [7], [4]])).long()
with torch.no_grad():
    result = model(ids, attention_mask=mask, output_hidden_states=True)
save_tensors("bert/io", {"ids": ids, "mask": mask, "hidden": result.hidden_states[-1], "logits": result.logits})
print(json.dumps({str(path.relative_to(out)): path.stat().st_size for path in sorted(out.rglob("*.*"))}))
