"""Checkpoints both ways: what Hugging Face saves is loaded here, and what is saved here Hugging Face loads, with equal logits.

Records nothing: it prints what it found and fails where anything differs. Wants the compiled package (dist/).
"""

import subprocess
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import Blip2Config, Blip2ForConditionalGeneration, Blip2ForImageTextRetrieval

HERE = Path(__file__).resolve().parent
VISION = dict(hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, image_size=28, patch_size=14, initializer_range=0.05)
QFORMER = dict(vocab_size=120, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64, max_position_embeddings=30)
QUERIES, IMAGE = 5, 101


def opt(**other):
    return dict(
        model_type="opt", vocab_size=112, hidden_size=40, word_embed_proj_dim=40, num_hidden_layers=2, num_attention_heads=4, ffn_dim=72,
        max_position_embeddings=64, eos_token_id=50, **other,
    )  # fmt: skip


CASES = {
    "opt": (Blip2ForConditionalGeneration, dict(text_config=opt(), image_token_index=IMAGE), {}),
    "opt, post-norm": (Blip2ForConditionalGeneration, dict(text_config=opt(do_layer_norm_before=False), image_token_index=IMAGE), {}),
    "opt, in several files": (Blip2ForConditionalGeneration, dict(text_config=opt(), image_token_index=IMAGE), dict(max_shard_size="100KB")),
    "opt, its own output table": (
        Blip2ForConditionalGeneration, dict(text_config=opt(tie_word_embeddings=False), image_token_index=IMAGE), {},
    ),  # fmt: skip
    "itm": (Blip2ForImageTextRetrieval, dict(qformer_config=QFORMER | dict(use_qformer_text_input=True), image_text_hidden_size=24), {}),
    "itm, image tokens": (
        Blip2ForImageTextRetrieval,
        dict(qformer_config=QFORMER | dict(use_qformer_text_input=True), image_text_hidden_size=24, image_token_index=IMAGE), {},
    ),  # fmt: skip
}


def outputs(model, inputs):
    with torch.no_grad():
        if isinstance(model, Blip2ForConditionalGeneration):
            return dict(logits=model(**inputs).logits)
        matching = model(**inputs, use_image_text_matching_head=True)
        return dict(itc=model(**inputs).logits_per_image, itm=matching.logits_per_image)


def difference(a, b):
    return max((a[name] - b[name]).abs().max().item() for name in a)


def differences(ours, theirs, path=""):
    """Fields of two configurations that are not the same."""
    for field in ours.keys() | theirs.keys():
        a, b = ours.get(field), theirs.get(field)
        if isinstance(a, dict) and isinstance(b, dict):
            yield from differences(a, b, f"{path}{field}.")
        elif a != b and field not in ("_name_or_path", "dtype"):  # of where it was loaded from, and how
            yield path + field, (a, b)


def ours(*arguments):
    """Loads a folder in TypeScript, writes its outputs for io.safetensors, and saves the model again."""
    subprocess.run(["node", HERE / "checkpoint_roundtrip.mjs", *map(str, arguments)], check=True)


torch.manual_seed(30)
worst = 0.0
for name, (Model, fields, saving) in CASES.items():
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model = Model(Blip2Config(**(dict(vision_config=VISION, qformer_config=QFORMER, num_query_tokens=QUERIES) | fields))).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.05)
        ids = torch.randint(3, 100, (2, 7))
        images = torch.full((2, QUERIES if "image_token_index" in fields else 0), IMAGE)
        ids = torch.cat([images, ids], 1)
        inputs = dict(pixel_values=torch.randn(2, 3, 28, 28), input_ids=ids, attention_mask=torch.ones_like(ids))
        expected = outputs(model, inputs)

        model.save_pretrained(folder / "theirs", **saving)
        save_file(inputs, folder / "io.safetensors")
        ours(Model.__name__, folder / "theirs", folder / "io.safetensors", folder / "out.safetensors", folder / "ours")
        loaded = difference(expected, load_file(folder / "out.safetensors"))

        again, report = Model.from_pretrained(folder / "ours", output_loading_info=True, dtype="auto")
        problems = {key: value for key, value in report.items() if value}
        saved = difference(expected, outputs(again.eval(), inputs))
        other = dict(differences(model.config.to_dict(), again.config.to_dict()))
        print(f"{name}: loaded here {loaded:.1e}, saved here {saved:.1e}, HF's report {problems or 'clean'}, config {other or 'the same'}")
        assert not problems and loaded < 1e-5 and saved == 0.0 and not other, name
        worst = max(worst, loaded)
print(f"all {len(CASES)} both ways; greatest difference of a forward {worst:.1e}")
