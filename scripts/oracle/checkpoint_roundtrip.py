"""Checkpoints both ways: what Hugging Face saves is loaded here, and what is saved here Hugging Face loads, with equal logits. Plain language
models, in safetensors and in `.bin`, are loaded as what BLIP-2 freezes.

Records nothing: it prints what it found and fails where anything differs. Wants the compiled package (dist/).
"""

import subprocess
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2ForImageTextRetrieval,
    OPTConfig,
    OPTForCausalLM,
    OPTModel,
    T5Config,
    T5ForConditionalGeneration,
)

HERE = Path(__file__).resolve().parent
VISION = dict(hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, image_size=28, patch_size=14, initializer_range=0.05)
QFORMER = dict(vocab_size=120, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64, max_position_embeddings=30)
QUERIES, IMAGE = 5, 101


def opt(**other):
    return dict(
        model_type="opt", vocab_size=112, hidden_size=40, word_embed_proj_dim=40, num_hidden_layers=2, num_attention_heads=4, ffn_dim=72,
        max_position_embeddings=64, eos_token_id=50, **other,
    )  # fmt: skip


def t5(**other):
    return dict(
        model_type="t5", vocab_size=112, d_model=24, d_kv=6, d_ff=40, num_layers=2, num_decoder_layers=3, num_heads=4, bos_token_id=1,
        decoder_start_token_id=0, **other,
    )  # fmt: skip


def untie(model):
    """Gives a T5 an output table of its own, which its configuration cannot ask for."""
    language = getattr(model, "language_model", model)
    language.lm_head.weight = torch.nn.Parameter(torch.randn_like(language.lm_head.weight))


FLAN = dict(feed_forward_proj="gated-gelu", dense_act_fn="gelu", tie_word_embeddings=False)
CASES = {
    "opt": (Blip2ForConditionalGeneration, dict(text_config=opt(), image_token_index=IMAGE), {}),
    "opt, post-norm": (Blip2ForConditionalGeneration, dict(text_config=opt(do_layer_norm_before=False), image_token_index=IMAGE), {}),
    "opt, in several files": (Blip2ForConditionalGeneration, dict(text_config=opt(), image_token_index=IMAGE), dict(max_shard_size="100KB")),
    "opt, its own output table": (
        Blip2ForConditionalGeneration, dict(text_config=opt(tie_word_embeddings=False), image_token_index=IMAGE), {},
    ),  # fmt: skip
    "t5, as Flan-T5": (Blip2ForConditionalGeneration, dict(text_config=t5(**FLAN), image_token_index=IMAGE), {}, untie),
    "t5, in several files": (
        Blip2ForConditionalGeneration, dict(text_config=t5(**FLAN), image_token_index=IMAGE), dict(max_shard_size="50KB"), untie,
    ),  # fmt: skip
    "t5, its words as the output table": (Blip2ForConditionalGeneration, dict(text_config=t5(**FLAN), image_token_index=IMAGE), {}),
    "t5, the first": (Blip2ForConditionalGeneration, dict(text_config=t5(), image_token_index=IMAGE), {}),
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
for name, (Model, fields, saving, *prepare) in CASES.items():
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model = Model(Blip2Config(**(dict(vision_config=VISION, qformer_config=QFORMER, num_query_tokens=QUERIES) | fields))).eval()
        for change in prepare:
            change(model)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.05)
        ids = torch.randint(3, 100, (2, 7))
        images = torch.full((2, QUERIES if "image_token_index" in fields else 0), IMAGE)
        ids = torch.cat([images, ids], 1)
        inputs = dict(pixel_values=torch.randn(2, 3, 28, 28), input_ids=ids, attention_mask=torch.ones_like(ids))
        if fields.get("text_config", {}).get("model_type") == "t5":
            inputs["decoder_input_ids"] = torch.randint(0, 100, (2, 4))
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

# Language models alone.
LANGUAGE = {
    "OPTForCausalLM": (OPTForCausalLM, OPTConfig(**opt()), []),
    "OPTForCausalLM, its own output table": (OPTForCausalLM, OPTConfig(**opt(tie_word_embeddings=False)), []),
    "OPTModel": (OPTModel, OPTConfig(**opt()), []),
    "T5, as Flan-T5": (T5ForConditionalGeneration, T5Config(**t5(**FLAN)), [untie]),
    "T5, the first": (T5ForConditionalGeneration, T5Config(**t5()), []),
}


def hidden_of(model, ids):
    """What comes before the output table, as OPTModel has none."""
    with torch.no_grad():
        if isinstance(model, T5ForConditionalGeneration):
            return dict(logits=model(input_ids=ids, decoder_input_ids=ids[:, :3]).logits)
        return dict(logits=model(ids).last_hidden_state if isinstance(model, OPTModel) else model(ids).logits)


for name, (Model, config, prepare) in LANGUAGE.items():
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model = Model(config).eval()
        for change in prepare:
            change(model)
        ids = torch.randint(3, 100, (2, 7))
        expected = hidden_of(model, ids)
        save_file(dict(input_ids=ids), folder / "io.safetensors")
        model.save_pretrained(folder / "safetensors")
        model.save_pretrained(folder / "shards", max_shard_size="20KB")
        (folder / "bin").mkdir()
        model.config.save_pretrained(folder / "bin")
        torch.save(model.state_dict(), folder / "bin" / "pytorch_model.bin")
        found = []
        for form in ("safetensors", "shards", "bin"):
            ours(Model.__name__, folder / form, folder / "io.safetensors", folder / "out.safetensors")
            found.append(difference(expected, load_file(folder / "out.safetensors")))
        print(f"{name}: in safetensors, several files and .bin {max(found):.1e}")
        assert max(found) < 1e-5, name
