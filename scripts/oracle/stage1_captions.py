"""Captions by LAVIS's Q-Former with the settings of its `Blip2Qformer.generate`, for the pictures and weights of the first stage's goldens.

That method itself repeats the pictures for the beams, and `transformers`' `generate` does it again since 4.27, so that with beams it fails on
the version that LAVIS names. Here they are repeated once.

That version divides a beam's sum by the length with the prompt, except that a finished beam's end token is left out: with a prompt of one token
the same as the number of new tokens, but for beams that are cut off at the greatest length. Newer versions count new tokens always. Both are
recorded: `sequences` as the old version gives them, `counted` with new tokens counted. (Versions also differ in when a search stops that is told to
by the best running beam; the settings are such that it does not show.)
"""

import json
from unittest import mock

import _lavis_stage1
import torch
from _fixtures import FIXTURES
from safetensors.torch import load_file
from transformers.generation.beam_search import BeamHypotheses

SETTINGS = [
    {},
    {"min_length": 1},
    {"num_beams": 1, "min_length": 1},
    {"num_beams": 5, "max_length": 12, "min_length": 4, "early_stopping": "never"},
    {"num_beams": 4, "max_length": 16, "min_length": 3, "early_stopping": True},
    {"num_beams": 2, "max_length": 9, "min_length": 9},
]


DEFAULTS = {"num_beams": 3, "max_length": 30, "min_length": 10}


class Counting(BeamHypotheses):
    """Divides by the number of new tokens."""

    def add(self, hyp, sum_logprobs, beam_indices=None):
        # Only beams that were cut off are as long as this. The division by the whole length is made up for.
        if hyp.shape[-1] == self.max_length:
            sum_logprobs *= (self.max_length / (self.max_length - 1)) ** self.length_penalty
        super().add(hyp, sum_logprobs, beam_indices)

    def is_done(self, best_sum_logprobs, cur_len):
        return super().is_done(best_sum_logprobs, cur_len - 1)


def generate(model: _lavis_stage1.Stage1, pictures: torch.Tensor, settings: dict[str, int]) -> list[list[int]]:
    count = len(pictures)
    return model.Qformer.generate(
        input_ids=torch.full((count, 1), model.tokenizer.bos_token_id),
        query_embeds=model.query_tokens.expand(count, -1, -1),
        encoder_hidden_states=pictures,
        encoder_attention_mask=torch.ones(pictures.shape[:-1], dtype=torch.long),
        eos_token_id=model.tokenizer.sep_token_id,
        pad_token_id=model.tokenizer.pad_token_id,
        do_sample=False,
        **DEFAULTS | settings,
    ).tolist()


def captions(config: dict, weights: str, pictures: torch.Tensor) -> list[dict]:
    model = _lavis_stage1.Stage1(config).load(load_file(FIXTURES / weights)).eval()
    recorded = []
    for settings in SETTINGS:
        sequences = generate(model, pictures, settings)
        with mock.patch("transformers.generation.beam_search.BeamHypotheses", Counting):
            counted = generate(model, pictures, settings)
        recorded.append({"settings": settings, "sequences": sequences, "counted": counted})
    return recorded


plain = json.loads((FIXTURES / "stage1-plain/config.json").read_text())
trained = json.loads((FIXTURES / "stage1-trajectory/trajectory.json").read_text())["config"]
found = {
    "stage1-plain": captions(
        plain, "stage1-plain/weights.safetensors", load_file(FIXTURES / "stage1-plain/batch.safetensors")["image_embeds"]
    ),
    "stage1-trajectory": captions(
        trained,
        "stage1-trajectory/final_weights.safetensors",
        load_file(FIXTURES / "stage1-trajectory/batches.safetensors")["image_embeds"][0],
    ),
}
path = FIXTURES / "stage1-captions.json"
path.write_text(json.dumps(found, separators=(",", ":")) + "\n")
print(f"{path.name}: {path.stat().st_size:,} bytes")
