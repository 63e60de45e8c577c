"""Steps of the first stage: LAVIS's `Blip2Qformer.forward`, backward, AdamW(fused=True). Settings: kind "features" or "encoder", precision, batch."""

from pathlib import Path
from unittest import mock

import lavis_stage1
import torch
from serve import serve


def autocast(precision: str):
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16")


def fixed_loss(model: lavis_stage1.Stage1, samples: dict, precision: str) -> float:
    """The loss without dropout, where every pair's negatives are the next pair's."""
    batch = len(samples["image"])
    drawn = iter([i % batch for _ in range(2) for i in range(1, batch + 1)])
    with torch.no_grad(), autocast(precision), mock.patch("torch.multinomial", lambda *_: torch.tensor([next(drawn)])):
        return model(samples).loss.item()


def trainer(model: lavis_stage1.Stage1, samples: dict, precision: str):
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": 0.05},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=1e-5,
        betas=(0.9, 0.98),
        fused=True,
    )

    def step() -> None:
        with autocast(precision):
            loss = model(samples).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        loss.item()

    return step


def prepare(settings: dict):
    model, samples = lavis_stage1.load(Path(settings["materials"]), settings["kind"], settings["batch"])
    precision = settings["precision"]
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    model.eval()
    facts = {"parameters": parameters, "loss": fixed_loss(model, samples, "float32")}
    if settings["kind"] == "encoder":
        model.visual_encoder.bfloat16()
    facts["rounded"] = facts["loss"] if precision == "float32" else fixed_loss(model, samples, precision)
    model.train()
    step = trainer(model, samples, precision)

    def run(count: int) -> int:
        for _ in range(count):
            step()
        return count * settings["batch"]

    return run, facts


if __name__ == "__main__":
    serve(prepare)
