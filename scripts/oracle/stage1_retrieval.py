"""Retrieval by LAVIS's own `compute_sim_matrix` and `_report_metrics`, with the weights that the first stage's trajectory ends with.

The pictures are those of the trajectory's first three batches; each has its own text and that of a picture of the other three as captions.
"""

import json
import tempfile
from types import SimpleNamespace

import _lavis_stage1
import torch
from _fixtures import FIXTURES, save_tensors
from _lavis_stage1 import module

K = 10


class Quiet:
    """Their progress log."""

    def __init__(self, **_: object):
        pass

    def log_every(self, rows: torch.Tensor, *_: object):
        return rows


module("lavis.tasks", __path__=[str(_lavis_stage1.SITE / "lavis/tasks")])
module("lavis.tasks.base_task", BaseTask=object)

import lavis.models.blip2_models.blip2 as blip2  # noqa: E402
from lavis.common.registry import registry  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

folder = FIXTURES / "stage1-trajectory"
config = json.loads((folder / "trajectory.json").read_text())["config"]
batches = load_file(folder / "batches.safetensors")
half = config["batches"] // 2
pictures = batches["image_embeds"][:half].flatten(0, 1)
own, other = (batches["input_ids"][part].flatten(0, 1) for part in (slice(half), slice(half, None)))
ids = torch.stack([own, other], 1).flatten(0, 1)
owners = [i // 2 for i in range(len(ids))]

model = _lavis_stage1.Stage1(config).load(load_file(folder / "final_weights.safetensors")).eval()
texts = {"input_ids": ids, "attention_mask": (ids != config["pad_token_id"]).long()}
model.tokenizer = _lavis_stage1.Tokens(texts)
# Their batches are of 256 texts, so that all are asked for at once.
data = [{"image": pictures[:10]}, {"image": pictures[10:]}]


class Loader(list):
    dataset = SimpleNamespace(text=[""] * len(ids), image=pictures)


blip2.MetricLogger = Quiet
blip2.dist_utils.get_world_size = lambda: 1
blip2.dist_utils.get_rank = lambda: 0
blip2.dist_utils.is_dist_avail_and_initialized = lambda: False
with torch.no_grad():
    i2t, t2i = blip2.compute_sim_matrix(model, Loader(data), k_test=K)

from lavis.tasks.retrieval import RetrievalTask  # noqa: E402

with tempfile.TemporaryDirectory() as output:
    registry.register_path("output_dir", output)
    img2txt = [[j for j, owner in enumerate(owners) if owner == i] for i in range(len(pictures))]
    metrics = RetrievalTask._report_metrics(i2t, t2i, owners, img2txt)
assert all(len(set(row[row > -100])) == K for row in [*i2t, *t2i]), "scores are equal, so that ranks are not certain"
save_tensors(
    "stage1-retrieval",
    {"input_ids": ids, "i2t": torch.from_numpy(i2t), "t2i": torch.from_numpy(t2i)},
    {"k": K, "pictures": len(pictures), "owners": owners, "metrics": metrics},
)
