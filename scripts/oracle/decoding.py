"""Goldens of decoding: what Hugging Face's `generate` gives for a language model that is a table.

The model's logits are table[before, last] + position[length]: they depend on the last two tokens and on how many there are, so that a
mistake in following beams shows. The tables come from seeded uniform numbers scaled by powers of two, so they are the same to the bit
wherever PyTorch's generator runs. Writes test/fixtures/decoding.json.
"""

import json
import logging
import random
import warnings

import torch
from _fixtures import FIXTURES
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

VOCABULARY = 24
POSITIONS = 64
CASES = 600
PROCESSED = 120


class TableConfig(PretrainedConfig):
    model_type = "table"


class TableModel(PreTrainedModel, GenerationMixin):
    config_class = TableConfig

    def __init__(self, seed: int, scale: float, bonus: float, ends: list[int]):
        super().__init__(TableConfig(vocab_size=VOCABULARY, is_decoder=True, bos_token_id=None, eos_token_id=None, pad_token_id=None))
        generator = torch.Generator().manual_seed(seed)
        table = torch.rand(VOCABULARY, VOCABULARY, VOCABULARY, generator=generator) * scale
        position = torch.rand(POSITIONS, VOCABULARY, generator=generator) * 2
        position[:, ends] += bonus
        self.register_buffer("table", table)
        self.register_buffer("position", position)
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, input_ids, attention_mask=None, **_):
        last = input_ids[:, -1]
        before = input_ids[:, -2] if input_ids.shape[1] > 1 else last
        logits = self.table[before, last] + self.position[input_ids.shape[1]]
        return CausalLMOutput(logits=logits[:, None, :])


def model_settings(rng: random.Random) -> dict:
    return {"seed": rng.randrange(5), "scale": rng.choice([2, 4, 8]), "bonus": rng.choice([0, 1, 2])}


def prompts(rng: random.Random, pad: int) -> list[list[int]]:
    batch, length = rng.randint(1, 4), rng.randint(1, 6)
    rows = []
    for _ in range(batch):
        padding = rng.randrange(length) if rng.random() < 0.5 else 0
        rows.append([pad] * padding + [rng.randrange(VOCABULARY) for _ in range(length - padding)])
    return rows


def options_of(rng: random.Random, length: int) -> dict:
    options: dict = {}
    beams = rng.choice([1, 1, 2, 3, 4, 5, 6])
    if beams > 1:
        options["num_beams"] = beams
        if rng.random() < 0.5:
            options["num_return_sequences"] = rng.randint(1, beams)
        if rng.random() < 0.7:
            options["length_penalty"] = rng.choice([-1.0, 0.0, 0.5, 2.0])
        if rng.random() < 0.7:
            options["early_stopping"] = rng.choice([True, False, "never"])
    most = rng.randint(1, 14)
    kind = rng.random()
    if kind < 0.6:
        options["max_new_tokens"] = most
    elif kind < 0.8:
        options["max_length"] = length + most
    elif kind < 0.9:
        options["max_new_tokens"], options["max_length"] = most, length + rng.randint(1, 14)
    else:
        most = 20
    kind = rng.random()
    if kind < 0.2:
        options["min_new_tokens"] = rng.randint(0, most)
    elif kind < 0.4:
        options["min_length"] = rng.randint(0, length + most)
    elif kind < 0.5:
        options["min_new_tokens"], options["min_length"] = rng.randint(0, most), rng.randint(0, length + most)
    if rng.random() < 0.4:
        options["repetition_penalty"] = rng.choice([0.8, 1.15, 1.5, 2.5])
    if rng.random() < 0.4:
        options["no_repeat_ngram_size"] = rng.choice([1, 2, 2, 3, 4])
    if rng.random() < 0.95:
        ends = rng.sample(range(VOCABULARY), rng.choice([1, 1, 1, 2, 3]))
        options["eos_token_id"] = ends[0] if len(ends) == 1 else ends
    if rng.random() < 0.7:
        options["pad_token_id"] = rng.choice([0, 1, 2])
    return options


def list_of(value) -> list[int]:
    return [] if value is None else value if isinstance(value, list) else [value]


def golden(rng: random.Random) -> dict:
    settings = model_settings(rng)
    prompt = prompts(rng, 1)
    options = options_of(rng, len(prompt[0]))
    model = TableModel(**settings, ends=list_of(options.get("eos_token_id"))).eval()
    ids = torch.tensor(prompt)
    out = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, return_dict_in_generate=True, output_scores=True, **options
    )
    case = {"model": settings, "prompt": prompt, "options": options, "new": out.sequences[:, ids.shape[1] :].tolist()}
    scores = getattr(out, "sequences_scores", None)
    if scores is not None:
        case["scores"] = [float(f"{score:.7g}") if score > -torch.inf else None for score in scores.tolist()]
    return case


def processed(rng: random.Random, index: int) -> dict:
    """Probabilities after all processors, sampling's included. Some logits are multiples of ½, so that equals occur, but not under top_p, whose
    unstable sort orders them differently from processor to processor."""
    prompt = prompts(rng, 1)
    options = {name: value for name, value in options_of(rng, len(prompt[0])).items() if name != "num_return_sequences"}
    options["do_sample"] = True
    if rng.random() < 0.6:
        options["temperature"] = rng.choice([0.5, 0.7, 1.3, 2.0])
    if rng.random() < 0.7:
        options["top_k"] = rng.choice([0, 1, 2, 5, 10, 100])
    if rng.random() < 0.7:
        options["top_p"] = rng.choice([0.0, 0.1, 0.5, 0.8, 0.95, 1.0])
    model = TableModel(0, 1, 0, [])
    ids = torch.tensor(prompt)
    config, _ = model._prepare_generation_config(None, **options)
    model._prepare_special_tokens(config, True, device="cpu", batch_size=ids.shape[0])
    no_maximum = options.get("max_length") is None
    config = model._prepare_generated_length(config, no_maximum, options.get("min_length") is None, "input_ids", ids.shape[1], ids)
    processors = model._get_logits_processor(config, input_ids_seq_length=ids.shape[1], device="cpu")
    generator = torch.Generator().manual_seed(index)
    logits = torch.rand(ids.shape[0], VOCABULARY, generator=generator) * 8 - 4
    if options.get("top_p", 1.0) == 1.0:
        logits = (logits * 2).round() / 2
    probabilities = processors(ids, logits).softmax(-1)
    return {
        "prompt": prompt,
        "options": options,
        "logits": [[float(f"{x:.9g}") for x in row] for row in logits.tolist()],
        "probabilities": [[float(f"{x:.6g}") for x in row] for row in probabilities.tolist()],
    }


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    rng = random.Random(1)
    cases = [golden(rng) for _ in range(CASES)]
    distributions = [processed(rng, index) for index in range(PROCESSED)]
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    more = ",\n".join(json.dumps(case, separators=(",", ":"), allow_nan=False) for case in distributions)
    path = FIXTURES / "decoding.json"
    path.write_text(f'{{"vocabulary":{VOCABULARY},"positions":{POSITIONS},"cases":[\n{lines}\n],"processed":[\n{more}\n]}}\n')


if __name__ == "__main__":
    main()
