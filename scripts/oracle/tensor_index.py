"""Python's indexing of tensors, read and written: test/fixtures/tensor/index.json.

An index is written as JSON: numbers, null and "..." as they are, {"slice": [start, end, step]}, {"at": positions}, {"mask": booleans}.
"""

import json

import torch
from _fixtures import FIXTURES

base = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)


def S(start=None, end=None, step=None):
    return {"slice": [start, end, 1 if step is None else step]}


def at(values):
    return {"at": values}


def mask(values):
    return {"mask": values}


def lower(index):
    if isinstance(index, dict):
        if "slice" in index:
            return slice(*index["slice"])
        return torch.tensor(index["at"], dtype=torch.int64) if "at" in index else torch.tensor(index["mask"])
    return ... if index == "..." else index


INDICES = [
    [], [0], [-1], [1, 2], [1, 2, 3, 4], [-1, -1, -1, -1], ["..."], ["...", 0], [0, "..."], [0, "...", 1], ["...", 1, 2], [None], [None, 0],
    [0, None, 1], ["...", None], [None, "...", None], [S()], [S(1)], [S(None, 1)], [S(0, 2, 2)], [S(-1)], [S(None, -1)], [S(5, 9)], [S(2, 1)],
    [S(), S(1, 3)], [S(), S(), S(None, None, 3), S(1, -1, 2)], ["...", S(1, 3)], [0, S(1, 2), "...", S(0, 5, 2)], [S(), 1], [S(), None, 1, None],
    [at([1, 0, 1])], [at([-1])], [at([[0, 1], [1, 0]])], [S(), at([2, 0])], [S(), at([[0], [2]]), S(1, 3)], [at([0, 1]), at([1, 2])],
    [at([[0], [1]]), at([0, 1, 2])], [at([0, 1]), S(), at([3, 2])], [at([0, 1]), "...", at([4, 0])], ["...", at([4, 0, 1])], [1, at([0, 2])],
    [1, S(), at([0, 2])], [S(), 1, at([0, 2]), S(2)], [None, at([1, 1])], [S(), None, at([1, 1])], [at(1)], [S(), at(2)], [at([])],
    [mask([True, False])], [mask([False, False])], [S(), mask([True, False, True])], [mask([[True, False, True], [False, False, True]])],
    [mask([[True, False, True], [False, False, True]]), 1], [mask([[True, False, True], [False, True, True]]), S(1, 3)],
    [mask([True, True]), at([0, 2])], [S(), mask([True, False, True]), 0], ["...", mask([True, False, True, False, True])], [mask(True)],
    [at([0, 0]), at([1, 1]), at([2, 2]), at([3, 4])], [S(), S(), at([0, 3]), at([1, 2])], [S(0, 1), at([0, 2]), S(), at([1, 2])],
]

cases = []
for index in INDICES:
    key = tuple(lower(part) for part in index)
    got = base[key]
    written = base.clone()
    written[key] = -torch.arange(1, got.numel() + 1).reshape(got.shape)
    broadcast = base.clone()
    broadcast[key] = -1
    cases.append(
        {
            "index": index,
            "shape": list(got.shape),
            "values": got.flatten().tolist(),
            # Positions that are written several times may get any of the values.
            "written": None if len(set(got.flatten().tolist())) < got.numel() else written.flatten().tolist(),
            "changed": int((broadcast == -1).sum()),
        }
    )

path = FIXTURES / "tensor" / "index.json"
path.write_text(json.dumps({"torch": torch.__version__.split("+")[0], "base": list(base.shape), "cases": cases}) + "\n")
print(f"{path}: {len(cases)} cases, {path.stat().st_size:,} bytes")
