"""A second stage trained and exported here: Hugging Face loads the folder, without a word missing, and writes the same tokens.

Records nothing: it prints what it found and fails where anything differs. Wants the compiled package (dist/).
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

import torch
from _fixtures import FIXTURES
from safetensors.torch import load_file
from transformers import (
    AutoTokenizer,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    OPTConfig,
    OPTForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

HERE = Path(__file__).resolve().parent


def opt(words):
    fields = dict(hidden_size=40, word_embed_proj_dim=40, num_hidden_layers=2, num_attention_heads=4, ffn_dim=72, max_position_embeddings=64)
    return OPTForCausalLM(OPTConfig(vocab_size=words, init_std=0.2, **fields))


def t5(words):
    fields = dict(d_model=40, d_kv=10, d_ff=72, num_layers=2, num_heads=4, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
    return T5ForConditionalGeneration(T5Config(vocab_size=words, **fields))


for kind, build in {"opt": opt, "t5": t5}.items():
    torch.manual_seed(40)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        shutil.copytree(FIXTURES / "text" / kind, folder / "llm")
        words = len(AutoTokenizer.from_pretrained(folder / "llm"))
        build(words + 8).save_pretrained(folder / "llm")
        subprocess.run(["node", HERE / "stage2_export.mjs", folder / "llm", folder], check=True)

        model, report = Blip2ForConditionalGeneration.from_pretrained(folder / "exported", output_loading_info=True, dtype=torch.float32)
        problems = {key: value for key, value in report.items() if value}
        processor = Blip2Processor.from_pretrained(folder / "exported")
        assert processor.num_query_tokens == 5 and model.config.image_token_index == processor.tokenizer.convert_tokens_to_ids("<image>")
        io = load_file(folder / "io.safetensors")
        pictures = dict(pixel_values=io["pixel_values"])
        prompt = {name: io[name] for name in ("input_ids", "attention_mask")}
        found = {}
        for name, inputs in {"plain": pictures, "prompted": pictures | prompt}.items():
            for beams in (1, 3):
                theirs = model.eval().generate(**inputs, max_new_tokens=8, num_beams=beams)
                ours = io[f"{name}.{beams}"]
                # What Hugging Face gives of OPT begins with the prompt, and so does ours; of T5 with the start token.
                assert theirs.shape == ours.shape and bool((theirs == ours).all()), (kind, name, beams, theirs, ours)
                found[f"{name}, {beams} beams"] = len(set(map(tuple, theirs.tolist())))
        print(f"{kind}: HF's report {problems or 'clean'}; the same ids; different texts of 4 pictures: {found}")
        assert not problems, problems
