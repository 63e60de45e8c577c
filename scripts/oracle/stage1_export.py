"""The first stage's files both ways: Hugging Face loads what is saved here with equal logits, and LAVIS's names are those of LAVIS's model.

Records nothing: it prints what it found and fails where anything differs. Wants the compiled package (dist/). Hugging Face and LAVIS want
different versions of transformers, so that a second process looks at the latter.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from _fixtures import FIXTURES
from safetensors.torch import load_file, save_file

HERE = Path(__file__).resolve().parent
GOLDEN = FIXTURES / "stage1-plain"
VISION = dict(hidden_size=40, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=28, patch_size=14)


def shape() -> dict[str, object]:
    golden = json.loads((GOLDEN / "config.json").read_text())
    qformer = dict(
        vocab_size=golden["vocab"],
        hidden_size=golden["hidden"],
        num_hidden_layers=golden["layers"],
        num_attention_heads=golden["heads"],
        intermediate_size=golden["ffn"],
        max_position_embeddings=golden["maxpos"],
        encoder_hidden_size=golden["vis"],
    )
    # The eps that Hugging Face's model has.
    return dict(
        qformer_config=qformer,
        num_query_tokens=golden["nq"],
        image_text_hidden_size=golden["embed"],
        vision_layer_norm_eps=1e-6,
    )


def with_lavis(folder: Path) -> None:
    """LAVIS's model takes the file with its names, and every weight is as it was."""
    import _lavis_stage1

    model = _lavis_stage1.Stage1(json.loads((GOLDEN / "config.json").read_text()))
    model.ln_vision = torch.nn.LayerNorm(VISION["hidden_size"])
    model.load(load_file(folder / "lavis.safetensors"))
    state = model.state_dict()
    for name, expected in load_file(folder / "weights.safetensors").items():
        assert torch.equal(state[name], expected), name
    print(f"LAVIS: all {len(load_file(folder / 'weights.safetensors'))} tensors are as they were")


def with_hugging_face(folder: Path) -> None:
    from transformers import Blip2ForImageTextRetrieval

    model, report = Blip2ForImageTextRetrieval.from_pretrained(folder / "saved", output_loading_info=True, dtype="auto")
    problems = {key: value for key, value in report.items() if value}
    ours = load_file(folder / "out.safetensors")
    inputs = load_file(folder / "io.safetensors")
    with torch.no_grad():
        itc = model.eval()(**inputs).logits_per_image
        itm = model(**inputs, use_image_text_matching_head=True).logits_per_image
    worst = max((itc - ours["itc"]).abs().max().item(), (itm - ours["itm"]).abs().max().item())
    print(f"Hugging Face: report {problems or 'clean'}, greatest difference {worst:.1e}")
    assert not problems and worst < 1e-5


if len(sys.argv) > 1:
    with_lavis(Path(sys.argv[1]))
    sys.exit()

torch.manual_seed(31)
with tempfile.TemporaryDirectory() as temporary:
    folder = Path(temporary)
    norm = {f"ln_vision.{kind}": torch.randn(VISION["hidden_size"]) * 0.3 + 1 for kind in ("weight", "bias")}
    save_file(load_file(GOLDEN / "weights.safetensors") | norm, folder / "weights.safetensors")
    (folder / "config.json").write_text(json.dumps({"pretraining": shape(), "vision": VISION}))
    ids = torch.randint(4, 90, (3, 9))
    mask = (torch.arange(9) < torch.tensor([[9], [5], [7]])).long()
    save_file(dict(pixel_values=torch.randn(3, 3, 28, 28), input_ids=ids, attention_mask=mask), folder / "io.safetensors")
    arguments = [folder, folder / "config.json", folder / "weights.safetensors"]
    subprocess.run(["node", HERE / "stage1_export.mjs", *map(str, arguments)], check=True)
    with_hugging_face(folder)
    subprocess.run([sys.executable, __file__, str(folder)], check=True)
