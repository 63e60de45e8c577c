"""Hard negatives as LAVIS draws them: one multinomial and one `item()` for each picture and each text. Settings: batch."""

import torch
from serve import serve


def prepare(settings: dict):
    batch = settings["batch"]
    generator = torch.Generator().manual_seed(1)
    scores = [torch.randn(batch, batch, generator=generator) for _ in range(2)]

    def mine() -> list[list[int]]:
        drawn = []
        for similarities in scores:
            with torch.no_grad():
                weights = similarities.softmax(1) + 1e-4
                weights.fill_diagonal_(0)
            drawn.append([torch.multinomial(row, 1).item() for row in weights])
        return drawn

    def run(count: int) -> None:
        for _ in range(count):
            mine()

    torch.manual_seed(2)
    rows = torch.arange(batch)
    chosen = [similarities[rows, torch.tensor(columns)] for _ in range(20) for similarities, columns in zip(scores, mine(), strict=True)]
    return run, {"mean": torch.cat(chosen).mean().item()}


serve(prepare)
