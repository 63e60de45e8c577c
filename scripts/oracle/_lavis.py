"""LAVIS's own modules, without its package's start-up, from `.peers/lavis`, which is made here when it is missing."""

import subprocess
import sys
import types
from pathlib import Path

SITE = Path(__file__).resolve().parents[2] / ".peers" / "lavis"
PACKAGES = ["salesforce-lavis==1.0.2", "timm==0.4.12"]

if not (SITE / "lavis").is_dir() or not (SITE / "timm").is_dir():
    subprocess.run([sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(SITE), *PACKAGES], check=True)
sys.path.insert(0, str(SITE))


def module(name: str, **members: object) -> None:
    made = types.ModuleType(name)
    made.__dict__.update(members)
    sys.modules[name] = made


# Importing these packages would import all of LAVIS and what that wants; empty ones leave their modules importable.
for name in ["lavis", "lavis.models", "lavis.common"]:
    module(name, __path__=[str(SITE / name.replace(".", "/"))])
# Downloads and activation checkpointing are not used.
module("lavis.common.dist_utils", download_cached_file=None)
module("fairscale")
module("fairscale.nn")
module("fairscale.nn.checkpoint")
module("fairscale.nn.checkpoint.checkpoint_activations", checkpoint_wrapper=None)
