"""Tiny BLIP-2 checkpoints and what Hugging Face's transformers compute with them: test/fixtures/hf/opt, hf/t5 and hf/itm.

Each model gets a folder as save_pretrained writes it, io.safetensors (inputs, outputs, gradients) and golden.json (loss, decoding).
The models that write are trained for a moment, so that their decoding branches and ends. fp32, no dropout; T5's file holds bfloat16, which
its weights are rounded to before.
"""

import json

import torch
from _fixtures import FIXTURES
from safetensors.torch import save_file
from transformers import Blip2Config, Blip2ForConditionalGeneration, Blip2ForImageTextRetrieval

QUERIES, IMAGE, PAD, BOS, EOS, WORDS = 6, 131, 1, 2, 50, 50

VISION = dict(
    hidden_size=40, intermediate_size=72, num_hidden_layers=3, num_attention_heads=4, image_size=28, patch_size=7, initializer_range=0.1
)
QFORMER = dict(
    vocab_size=101,
    hidden_size=48,
    num_hidden_layers=4,
    num_attention_heads=4,
    intermediate_size=80,
    max_position_embeddings=40,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)
OPT = dict(
    model_type="opt",
    vocab_size=136,
    hidden_size=36,
    word_embed_proj_dim=36,
    num_hidden_layers=3,
    num_attention_heads=4,
    ffn_dim=88,
    max_position_embeddings=80,
    dropout=0.0,
    pad_token_id=PAD,
    bos_token_id=BOS,
    eos_token_id=EOS,
)

# T5's is a size smaller, with an output table of its own, as Flan-T5 has it.
T5_PAD, T5_EOS, T5_IMAGE, T5_QUERIES = 0, 1, 70, 4
T5_VISION = VISION | dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=14)
T5_QFORMER = QFORMER | dict(vocab_size=30, hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
T5 = dict(
    model_type="t5",
    vocab_size=72,
    d_model=20,
    d_kv=6,
    d_ff=28,
    num_layers=3,
    num_decoder_layers=2,
    num_heads=4,
    dropout_rate=0.0,
    feed_forward_proj="gated-gelu",
    dense_act_fn="gelu",
    tie_word_embeddings=False,
    pad_token_id=T5_PAD,
    eos_token_id=T5_EOS,
    bos_token_id=T5_EOS,
    decoder_start_token_id=T5_PAD,
)

GRADIENTS = [
    "query_tokens",
    "language_projection.weight",
    "qformer.layernorm.weight",
    "qformer.encoder.layer.0.crossattention.attention.key.weight",
    "vision_model.encoder.layers.1.self_attn.qkv.weight",
]

DECODING = [
    dict(num_beams=1),
    dict(num_beams=3),
    dict(num_beams=5, length_penalty=-1.0),
    dict(num_beams=5, length_penalty=2.0, num_return_sequences=3),
    dict(num_beams=4, early_stopping=True, min_new_tokens=4),
    dict(num_beams=2, repetition_penalty=1.5),
    dict(num_beams=1, repetition_penalty=1.3),
    dict(num_beams=3, no_repeat_ngram_size=2),
    dict(num_beams=5, length_penalty=0.0, repetition_penalty=1.15, early_stopping="never"),
    dict(num_beams=1, no_repeat_ngram_size=1, min_new_tokens=6),
]


def shake(model):
    """Random values everywhere, also where Hugging Face starts from zeros, ones or nearly nothing."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            centre = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
            parameter.copy_(centre + torch.randn_like(parameter) * (0.5 if name == "query_tokens" else 0.1))


def opt(folder):
    torch.manual_seed(10)
    config = Blip2Config(
        vision_config=VISION, qformer_config=QFORMER, text_config=OPT, num_query_tokens=QUERIES, image_token_index=IMAGE
    )
    model = Blip2ForConditionalGeneration(config).eval()
    shake(model)

    pixels = torch.randn(3, 3, 28, 28)
    words = [torch.randint(3, WORDS, (n,)).tolist() for n in (6, 4, 3)]
    rows = [[BOS, *text] for text in words]
    length = max(map(len, rows))
    left = [[PAD] * (length - len(row)) + row for row in rows]
    ids = torch.tensor([[IMAGE] * QUERIES + row for row in left])
    mask = torch.tensor([[1] * QUERIES + [int(token != PAD) for token in row] for row in left])
    labels = ids.masked_fill((mask == 0) | (ids == IMAGE), -100)

    train(model, pixels, words)
    inputs = dict(pixel_values=pixels, input_ids=ids, attention_mask=mask, labels=labels)
    record(folder, model, inputs, torch.randn(1, 3, 42, 49))
    model.save_pretrained(folder)


def t5(folder):
    torch.manual_seed(12)
    config = Blip2Config(
        vision_config=T5_VISION, qformer_config=T5_QFORMER, text_config=T5, num_query_tokens=T5_QUERIES, image_token_index=T5_IMAGE
    )
    model = Blip2ForConditionalGeneration(config).eval()
    words = model.language_model.shared.weight
    model.language_model.lm_head.weight = torch.nn.Parameter(torch.empty_like(words))
    shake(model)

    pixels = torch.randn(3, 3, 14, 14)
    questions = [torch.randint(3, WORDS, (n,)).tolist() + [T5_EOS] for n in (6, 4, 2)]
    answers = [torch.randint(3, WORDS, (n,)).tolist() + [T5_EOS] for n in (5, 3, 4)]
    ids = torch.tensor([[T5_IMAGE] * T5_QUERIES + row for row in padded(questions, T5_PAD)])
    labels = torch.tensor(padded(answers, -100))

    train_t5(model, pixels, questions, answers)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16())
    record(folder, model, dict(pixel_values=pixels, input_ids=ids, attention_mask=ids.ne(T5_PAD).long(), labels=labels), torch.randn(1, 3, 21, 28))
    model.bfloat16().save_pretrained(folder)


def padded(rows, value):
    length = max(map(len, rows))
    return [row + [value] * (length - len(row)) for row in rows]


def train_t5(model, pixels, questions, answers):
    """As `train`: the answer depends on picture and question, and ends in several ways."""
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(400):
        row, asked = step % 3, int(torch.randint(0, 4, ()))
        question = questions[asked] if asked < 3 else [T5_EOS]
        tail = torch.randint(3, 9, (int(torch.randint(0, 5, ())),)).tolist()
        ids = torch.tensor([[T5_IMAGE] * T5_QUERIES + question])
        labels = torch.tensor([[*answers[row][:-1], *question[:-1][:2], *tail, T5_EOS]])
        optimizer.zero_grad()
        model(pixel_values=pixels[row : row + 1], input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
    optimizer.zero_grad()


def record(folder, model, inputs, big):
    """io.safetensors and golden.json of a model that writes."""
    output = model(**inputs)
    output.loss.backward()
    gradients = {f"grad.{name}": model.get_parameter(name).grad for name in GRADIENTS}
    vision, queries = output.vision_outputs, output.qformer_outputs.last_hidden_state
    io = dict(inputs)
    with torch.no_grad():
        io |= dict(
            logits=output.logits,
            loss=output.loss.reshape(1),
            vision_last_hidden_state=vision.last_hidden_state,
            vision_pooler_output=vision.pooler_output,
            qformer_last_hidden_state=queries,
            projected=model.language_projection(queries),
            big_pixel_values=big,
            big_vision_last_hidden_state=model.vision_model(big, interpolate_pos_encoding=True).last_hidden_state,
        )
    golden = dict(loss=output.loss.item())
    prompt = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    for name, given in dict(generate_with_prompt=prompt, generate_without_prompt={}).items():
        golden[name] = [decode(model, inputs["pixel_values"], given, options) for options in DECODING]
    write(folder, io | gradients, golden)


def train(model, pixels, words):
    """A moment of captioning with several endings to each picture, so that beams have something to choose between."""
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(120):
        row = step % len(words)
        tail = torch.randint(3, WORDS, (int(torch.randint(1, 5, ())),)).tolist()
        text = [BOS, *words[row], *tail, EOS]
        ids = torch.tensor([[IMAGE] * QUERIES + text])
        loss = model(pixel_values=pixels[row : row + 1], input_ids=ids, labels=ids.masked_fill(ids == IMAGE, -100)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    optimizer.zero_grad()


def decode(model, pixels, prompt, options):
    output = model.generate(
        pixel_values=pixels, **prompt, **options, max_new_tokens=12, output_scores=True, return_dict_in_generate=True
    )
    scores = getattr(output, "sequences_scores", None)
    return dict(
        options=options, sequences=output.sequences.tolist(), sequences_scores=None if scores is None else scores.tolist()
    )


def itm(folder):
    torch.manual_seed(11)
    config = Blip2Config(
        vision_config=VISION,
        qformer_config=QFORMER | dict(use_qformer_text_input=True),
        text_config=OPT,
        num_query_tokens=QUERIES,
        image_text_hidden_size=20,
    )
    model = Blip2ForImageTextRetrieval(config).eval()
    shake(model)
    lengths = torch.tensor([8, 6, 3])
    mask = (torch.arange(8) < lengths[:, None]).long()
    inputs = dict(pixel_values=torch.randn(3, 3, 28, 28), input_ids=torch.randint(5, 101, (3, 8)) * mask, attention_mask=mask)
    with torch.no_grad():
        contrast = model(**inputs)
        matching = model(**inputs, use_image_text_matching_head=True)
    io = inputs | dict(
        itc_logits_per_image=contrast.logits_per_image,
        image_embeds=contrast.image_embeds,
        text_embeds=contrast.text_embeds,
        itm_logits_per_image=matching.logits_per_image,
    )
    write(folder, io, {})
    model.save_pretrained(folder)


def write(folder, io, golden):
    save_file({name: tensor.detach().contiguous() for name, tensor in io.items()}, folder / "io.safetensors")
    (folder / "golden.json").write_text(json.dumps(golden, indent=0) + "\n")


for name, make in dict(opt=opt, t5=t5, itm=itm).items():
    folder = FIXTURES / "hf" / name
    folder.mkdir(parents=True, exist_ok=True)
    make(folder)
