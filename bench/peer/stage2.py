"""Steps of the second stage: Hugging Face's forward, backward, AdamW(fused=True). Settings: llm "opt" or "t5", precision, batch.

The Q-Former's dropout is on; the frozen language model is in evaluation mode, and in bfloat16 where the row is.
"""

from pathlib import Path

import stage2_model
import torch
from serve import serve


def autocast(precision: str):
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16")


def fixed_loss(model, samples: dict, precision: str) -> float:
    """The loss without dropout."""
    model.eval()
    with torch.no_grad(), autocast(precision):
        return model(**samples).loss.item()


def trainer(model, samples: dict, precision: str):
    model.train()
    model.language_model.eval()
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
            loss = model(**samples).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        loss.item()

    return step


def prepare(settings: dict):
    precision, batch = settings["precision"], settings["batch"]
    model, samples = stage2_model.load(Path(settings["materials"]), settings["llm"], batch, "float32")
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    facts = {"parameters": parameters, "loss": fixed_loss(model, samples, "float32")}
    if precision != "float32":
        model.language_model.to(getattr(torch, precision))
    facts["rounded"] = fixed_loss(model, samples, precision)
    step = trainer(model, samples, precision)

    def run(count: int) -> int:
        for _ in range(count):
            step()
        return count * batch

    return run, facts


if __name__ == "__main__":
    serve(prepare)
