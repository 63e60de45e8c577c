"""Losses and gradients of LAVIS's second stage: `Blip2OPT.forward` and `Blip2T5.forward` of tiny models, fp32, no dropout.

Writes test/fixtures/stage2/opt.safetensors and t5.safetensors: weights under LAVIS's names, the pictures' features before `ln_vision`, and of
every case `<case>.loss` and `<case>.grad.<parameter>`; the token ids of the cases are in the metadata, under "facts".
"""

import contextlib
import re

import _lavis_stage1
import torch
from _fixtures import save_tensors
from torch import nn

from lavis.models.blip2_models.blip2_opt import Blip2OPT
from lavis.models.blip2_models.blip2_t5 import Blip2T5
from lavis.models.blip2_models.modeling_opt import OPTConfig, OPTForCausalLM
from lavis.models.blip2_models.modeling_t5 import T5Config, T5ForConditionalGeneration
from lavis.models.blip2_models.Qformer import BertConfig, BertLMHeadModel

PAD, BOS, NEWLINE, WORDS = 1, 2, 4, 40
QUERIES, WIDTH, HIDDEN, FEATURES = 4, 16, 16, 20

OPT = OPTConfig(
    vocab_size=WORDS, hidden_size=WIDTH, word_embed_proj_dim=WIDTH, num_hidden_layers=2, num_attention_heads=2, ffn_dim=24,
    max_position_embeddings=32, dropout=0.0, attention_dropout=0.0, init_std=0.3, pad_token_id=PAD, bos_token_id=BOS, eos_token_id=BOS,
)  # fmt: skip
T5 = T5Config(
    vocab_size=WORDS, d_model=WIDTH, d_kv=6, d_ff=24, num_layers=2, num_heads=2, relative_attention_num_buckets=8,
    relative_attention_max_distance=16, dropout_rate=0.0, feed_forward_proj="gated-gelu", dense_act_fn="gelu", tie_word_embeddings=False,
    pad_token_id=0, eos_token_id=1, decoder_start_token_id=0,
)  # fmt: skip


class WordTokenizer:
    """Texts of numbers, which are the ids; pads on the right, and cuts as `transformers` does."""

    def __init__(self, pad, before, after):
        self.pad_token_id, self.before, self.after = pad, before, after

    def rows(self, texts, max_length=1000):
        ids = [[NEWLINE if word == "\n" else int(word) for word in text.replace("\n", " \n").split(" ") if word] for text in texts]
        most = max_length - len(self.before) - len(self.after)
        return [self.before + row[:most] + self.after for row in ids]

    def __call__(self, texts, padding=None, truncation=False, max_length=1000, return_tensors=None):
        rows = self.rows([texts] if isinstance(texts, str) else texts, max_length if truncation else 1000)
        longest = max(map(len, rows))
        return _lavis_stage1.Tokens(
            input_ids=torch.tensor([row + [self.pad_token_id] * (longest - len(row)) for row in rows]),
            attention_mask=torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows]),
        )


def parts(model):
    """What both kinds have before the language model."""
    nn.Module.__init__(model)
    config = BertConfig(
        vocab_size=8, hidden_size=HIDDEN, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, max_position_embeddings=8,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.3, encoder_width=FEATURES, add_cross_attention=True,
        cross_attention_freq=2, query_length=QUERIES,
    )  # fmt: skip
    model.Qformer = BertLMHeadModel(config)
    model.Qformer.cls = None
    model.Qformer.bert.embeddings.word_embeddings = None
    model.Qformer.bert.embeddings.position_embeddings = None
    for layer in model.Qformer.bert.encoder.layer:
        layer.output = None
        layer.intermediate = None
    model.query_tokens = nn.Parameter(torch.randn(1, QUERIES, HIDDEN))
    model.visual_encoder = nn.Identity()
    model.ln_vision = nn.LayerNorm(FEATURES)
    nn.init.normal_(model.ln_vision.weight, 1.0, 0.3)
    nn.init.normal_(model.ln_vision.bias, 0.0, 0.3)


class OptModel(Blip2OPT):
    device = property(lambda self: torch.device("cpu"))

    def __init__(self):
        parts(self)
        self.opt_model = OPTForCausalLM(OPT).requires_grad_(False)
        self.opt_proj = nn.Linear(HIDDEN, WIDTH)
        self.opt_tokenizer = WordTokenizer(PAD, [BOS], [])
        self.max_txt_len = 9

    def maybe_autocast(self, dtype=None):
        return contextlib.nullcontext()


class T5Model(Blip2T5):
    device = property(lambda self: torch.device("cpu"))

    def __init__(self):
        parts(self)
        self.t5_model = T5ForConditionalGeneration(T5).requires_grad_(False)
        self.t5_proj = nn.Linear(HIDDEN, WIDTH)
        self.t5_tokenizer = WordTokenizer(0, [], [1])
        self.max_txt_len = 7

    def maybe_autocast(self, dtype=None):
        return contextlib.nullcontext()


# Gradients of every case but the first, of which all are kept.
FEW = re.compile(r"^(query_tokens|ln_vision\..*|(opt|t5)_proj\..*|.*layer\.0\.crossattention\.self\.key\.weight)$")


def run(model, pictures, samples):
    model.zero_grad()
    loss = model(samples | {"image": pictures})["loss"]
    loss.backward()
    return loss, {name: p.grad for name, p in model.named_parameters() if p.requires_grad and p.grad is not None}


def record(name, model, cases):
    """Cases: name → (samples, facts)."""
    model.eval()
    pictures = torch.randn(3, 5, FEATURES) * 2 + 0.5
    golden, facts = {"features": pictures}, {}
    for case, (prepare, samples, about) in cases.items():
        prepare()
        loss, gradients = run(model, pictures, samples)
        golden[f"{case}.loss"] = loss
        kept = gradients if not facts else {key: value for key, value in gradients.items() if FEW.search(key)}
        golden |= {f"{case}.grad.{key}": value for key, value in kept.items()}
        facts[case] = about
    golden |= {key: value for key, value in model.state_dict().items() if not key.endswith(".position_ids")}
    save_tensors(f"stage2/{name}", golden, facts)


torch.manual_seed(21)
opt = OptModel()
# Of different lengths; the last is cut, and loses its end.
TEXTS = ["10 11 12", "10 11 13 20 21 22", "10 11 30 31 32 33 34 35 36 37"]


def prompted(prompt):
    def prepare():
        opt.prompt = prompt
        opt.prompt_length = opt.opt_tokenizer(prompt).attention_mask.sum(1)

    return prepare


ROWS = opt.opt_tokenizer.rows([text + "\n" for text in TEXTS], opt.max_txt_len)
record(
    "opt",
    opt,
    {
        "plain": (prompted(""), {"text_input": TEXTS}, {"prompt": 0, "rows": ROWS}),
        "prompted": (prompted("10 11"), {"text_input": TEXTS}, {"prompt": 3, "rows": ROWS}),
    },
)

t5 = T5Model()
INPUTS, OUTPUTS = ["10 11", "", "12 13 14 15 16 17 18 19"], ["20", "21 22 23", "24 25 26 27 28 29 30 31"]
SAME = ["", "", ""]


def pairs(inputs):
    rows = lambda texts: t5.t5_tokenizer.rows(texts, t5.max_txt_len)  # noqa: E731
    return lambda: None, {"text_input": inputs, "text_output": OUTPUTS}, {"inputs": rows(inputs), "outputs": rows(OUTPUTS)}


record("t5", t5, {"prefixed": pairs(INPUTS), "whole": pairs(SAME)})
