"""Training steps: forward, backward, AdamW(fused=True), dropout on. Settings: model "demo" or "qformer", batch."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from serve import serve
from transformers import Blip2ForConditionalGeneration, Blip2QFormerModel


def prepare(settings: dict):
    folder = Path(settings["materials"]) / settings["model"]
    inputs = load_file(folder / "inputs.safetensors")
    batch = settings["batch"]
    if settings["model"] == "demo":
        model = Blip2ForConditionalGeneration.from_pretrained(folder)
        parameters = list(model.parameters())
        rows = {name: value[:batch] for name, value in inputs.items()}
        loss_of = lambda: model(**rows).loss  # noqa: E731
    else:
        model = Blip2QFormerModel.from_pretrained(folder)
        queries = torch.nn.Parameter(inputs["query_tokens"])
        parameters = [queries, *model.parameters()]
        features = inputs["features"][:batch]
        loss_of = lambda: model(queries.expand(batch, -1, -1), encoder_hidden_states=features).last_hidden_state.square().mean()  # noqa: E731

    model.eval()
    with torch.no_grad():
        loss = loss_of().item()
    model.train()
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": 0.05},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=1e-5,
        betas=(0.9, 0.98),
        fused=True,
    )

    def run(count: int) -> None:
        for _ in range(count):
            loss = loss_of()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            loss.item()

    return run, {"loss": loss, "parameters": sum(p.numel() for p in parameters)}


serve(prepare)
