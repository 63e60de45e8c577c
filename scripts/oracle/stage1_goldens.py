"""LAVIS's first stage: every intermediate result, loss and gradient of two batches, and thirty steps of training.

Weights, pictures, texts and the trajectory's drawn negatives are what is given; they stay as they are in the folders. All else is computed again
and written where it differs from what is there by more than the tolerances; the differences are printed.

- `stage1-plain` and `stage1-image-ids` run LAVIS's Q-Former, with contrast and mining as in its repository's later form (the release has neither
  image ids nor this mining), without a process group: the contrast's gradient flows through both sides. The losses of `stage1-plain` are
  compared with those of the release's own `forward`, whose mining differs by an epsilon. Negatives are the likeliest ones.
- `stage1-trajectory` runs the release's own `forward` in a process group of one, AdamW and a schedule.
"""

import json
import math
from pathlib import Path
from unittest import mock

import _lavis_stage1
import torch
import torch.nn.functional as F
from _fixtures import FIXTURES
from safetensors.torch import load_file, save_file

GIVEN = ("image_embeds", "input_ids", "attention_mask", "image_id")
SMOOTHING = 0.1
Tensors = dict[str, torch.Tensor]


def contrast(model: _lavis_stage1.Stage1, images: torch.Tensor, texts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Similarities over the temperature, both ways."""
    products = torch.einsum("bqd,td->btq", images, texts).amax(-1)
    return products / model.temp, products.t() / model.temp


def cross_entropy(scores: torch.Tensor, positives: torch.Tensor, several: bool) -> torch.Tensor:
    if not several:
        return F.cross_entropy(scores, torch.arange(len(scores)), label_smoothing=SMOOTHING)
    targets = positives / positives.sum(1, keepdim=True)
    targets = (1 - SMOOTHING) * targets + SMOOTHING / len(scores)
    return -(F.log_softmax(scores, 1) * targets).sum(1).mean()


def first_stage(model: _lavis_stage1.Stage1, batch: Tensors) -> Tensors:
    """The four passes through LAVIS's Q-Former, and what they give."""
    pictures, ids, mask = batch["image_embeds"], batch["input_ids"], batch["attention_mask"]
    count = len(ids)
    queries = model.query_tokens.expand(count, -1, -1)
    bert = model.Qformer.bert
    seen = dict(encoder_hidden_states=pictures, encoder_attention_mask=torch.ones(pictures.shape[:-1], dtype=torch.long))
    image = bert(query_embeds=queries, use_cache=True, return_dict=True, **seen)
    text = bert(ids, attention_mask=mask, return_dict=True).last_hidden_state
    image_feats = F.normalize(model.vision_proj(image.last_hidden_state), dim=-1)
    text_feat = F.normalize(model.text_proj(text[:, 0]), dim=-1)
    i2t, t2i = contrast(model, image_feats, text_feat)

    numbers = batch.get("image_id", torch.arange(count))
    positives = (numbers[:, None] == numbers[None]).float()
    itc = sum(cross_entropy(scores, positives, "image_id" in batch) for scores in (i2t, t2i)) / 2

    weights = [F.softmax(scores.detach().masked_fill(positives.bool(), -10000), 1) for scores in (i2t, t2i)]
    other_text, other_image = (rows.argmax(1) for rows in weights)
    texts = torch.cat([ids, ids, ids[other_text]])
    masks = torch.cat([mask, mask, mask[other_text]])
    images = torch.cat([pictures, pictures[other_image], pictures])
    both = torch.ones(3 * count, queries.size(1), dtype=torch.long)
    itm_hidden = bert(
        texts,
        query_embeds=model.query_tokens.expand(3 * count, -1, -1),
        attention_mask=torch.cat([both, masks], 1),
        encoder_hidden_states=images,
        encoder_attention_mask=torch.ones(images.shape[:-1], dtype=torch.long),
        return_dict=True,
    ).last_hidden_state
    itm_logits = model.itm_head(itm_hidden[:, : queries.size(1)]).mean(1)
    itm_labels = torch.cat([torch.ones(count), torch.zeros(2 * count)]).long()
    itm = F.cross_entropy(itm_logits, itm_labels)

    begun = ids.clone()
    begun[:, 0] = model.tokenizer.bos_token_id
    labels = begun.masked_fill(begun == model.tokenizer.pad_token_id, -100)
    written = model.Qformer(
        begun,
        attention_mask=torch.cat([both[:count], mask], 1),
        past_key_values=image.past_key_values,
        return_dict=True,
        labels=labels,
    )
    itg = written.loss
    return dict(
        query_output=image.last_hidden_state, text_output=text, image_feats=image_feats, text_feat=text_feat,
        sim_i2t=i2t, sim_t2i=t2i, weights_i2t=weights[0], weights_t2i=weights[1],
        neg_text_index=other_text, neg_image_index=other_image,
        itm_hidden=itm_hidden, itm_logits=itm_logits, itm_labels=itm_labels,
        lm_logits=written.logits, lm_labels=labels,
        loss_itc=itc, loss_itm=itm, loss_itg=itg, loss=itc + itm + itg,
    )  # fmt: skip


def with_negatives(images: torch.Tensor, texts: torch.Tensor):
    """LAVIS draws an image for every text, then a text for every image."""
    drawn = iter([*images.tolist(), *texts.tolist()])
    return mock.patch("torch.multinomial", lambda *_: torch.tensor([next(drawn)]))


def own_forward(model: _lavis_stage1.Stage1, batch: Tensors, images: torch.Tensor, texts: torch.Tensor):
    """The release's own `forward`, of a process group of one."""
    _lavis_stage1.of_one()
    model.tokenizer.update(input_ids=batch["input_ids"], attention_mask=(batch["input_ids"] != model.tokenizer.pad_token_id).long())
    with with_negatives(images, texts):
        return model({"image": batch["image_embeds"], "text_input": [""] * len(batch["input_ids"])})


def keep_or_write(path: Path, made: Tensors, tolerance: float | None) -> None:
    """Writes tensors where they are not those of the file. Without a tolerance they are gradients."""
    there = load_file(path)
    assert there.keys() == made.keys(), there.keys() ^ made.keys()
    worst, fits = 0.0, True
    for name, value in made.items():
        reference = there[name].double()
        difference = value.detach().double() - reference
        if tolerance is None:
            worst = max(worst, difference.norm().item() / (reference.norm().item() + 1e-3))
            fits &= difference.norm() <= 1e-4 * reference.norm() + 1e-7 * math.sqrt(value.numel())
        else:
            worst = max(worst, difference.abs().max().item())
            fits &= bool(difference.abs().max() <= tolerance * max(1.0, reference.abs().max().item()))
    print(f"{path.relative_to(FIXTURES)}: {len(made)} tensors, greatest difference {worst:.1e}{'' if fits else ': written anew'}")
    if not fits:
        save_file({name: value.detach().contiguous().clone() for name, value in made.items()}, path)


for name in ("stage1-plain", "stage1-image-ids"):
    folder = FIXTURES / name
    config = json.loads((folder / "config.json").read_text())
    model = _lavis_stage1.Stage1(config).load(load_file(folder / "weights.safetensors")).eval()
    batch = {key: value for key, value in load_file(folder / "batch.safetensors").items() if key in GIVEN}
    found = first_stage(model, batch)
    found["loss"].backward()
    gradients = {key: value.grad for key, value in model.named_parameters() if value.grad is not None}
    keep_or_write(folder / "batch.safetensors", batch | found, 1e-5)
    keep_or_write(folder / "gradients.safetensors", gradients, None)
    if name == "stage1-plain":
        with torch.no_grad():
            own = own_forward(model, batch, found["neg_image_index"], found["neg_text_index"])
        pairs = [(own.loss_itc, "itc"), (own.loss_itm, "itm"), (own.loss_lm, "itg")]
        worst = max(abs(theirs.item() - found[f"loss_{key}"].item()) for theirs, key in pairs)
        print(f"the release's own forward: losses differ by {worst:.1e} at most")
        assert worst < 1e-5


folder = FIXTURES / "stage1-trajectory"
recorded = json.loads((folder / "trajectory.json").read_text())
config, log = recorded["config"], recorded["log"]
model = _lavis_stage1.Stage1(config).load(load_file(folder / "weights.safetensors")).eval()
batches = load_file(folder / "batches.safetensors")
parameters = {name: value for name, value in model.named_parameters()}
plain = [value for name, value in parameters.items() if value.ndim == 1 or name.endswith(".bias")]
decayed = [value for name, value in parameters.items() if not (value.ndim == 1 or name.endswith(".bias"))]
optimizer = torch.optim.AdamW(
    [dict(params=decayed, weight_decay=config["weight_decay"]), dict(params=plain, weight_decay=0.0)],
    betas=config["betas"],
    eps=config["eps"],
)


def learning_rate(step: int) -> float:
    peak, warmup = config["peak_lr"], config["warmup"]
    if step < warmup:
        return config["warmup_start_lr"] + (peak - config["warmup_start_lr"]) * step / warmup
    share = (step - warmup) / (config["steps"] - warmup)
    return config["min_lr"] + (peak - config["min_lr"]) * (1 + math.cos(math.pi * share)) / 2


made: dict[str, list] = {key: [] for key in log}
for step in range(config["steps"]):
    batch = {key: value[step % config["batches"]] for key, value in batches.items()}
    images, texts = (torch.tensor(log[key][step]) for key in ("neg_image_index", "neg_text_index"))
    output = own_forward(model, batch, images, texts)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step)
    optimizer.zero_grad()
    output.loss.backward()
    optimizer.step()
    made["lr"].append(learning_rate(step))
    for key, value in (("loss", output.loss), ("loss_itc", output.loss_itc), ("loss_itm", output.loss_itm), ("loss_itg", output.loss_lm)):
        made[key].append(value.item())
    made["neg_image_index"].append(images.tolist())
    made["neg_text_index"].append(texts.tolist())

worst = max(abs(a - b) for key in log if not key.startswith("neg_") for a, b in zip(made[key], log[key], strict=True))
print(f"stage1-trajectory: losses and rates of {config['steps']} steps differ by {worst:.1e} at most")
if worst > 1e-4:
    (folder / "trajectory.json").write_text(json.dumps({"config": config, "log": made}, indent=1))
final = {name: parameters[name] for name in load_file(folder / "final_weights.safetensors")}
keep_or_write(folder / "final_weights.safetensors", final, 1e-3)
