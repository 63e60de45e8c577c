"""TensorBoard's own reader on event files of `TensorBoardLog`: every record's checksums, every scalar, and a run that went on after step 3, of
which what the first process wrote of later steps must not be seen, nor anything of a process that was killed before its first checkpoint. Writes no
golden; wants `dist/`."""

import math
import os
import subprocess
import tempfile
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.tensorflow_stub import errors
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New

HERE = Path(__file__).resolve().parent

with tempfile.TemporaryDirectory() as folder:
    subprocess.run([os.environ.get("NODE", "node"), str(HERE / "tensorboard_events.mjs"), folder], check=True)
    records = 0
    for file in sorted(Path(folder).iterdir()):
        reader = PyRecordReader_New(str(file))  # throws for a wrong checksum
        while True:
            try:
                reader.GetNext()
            except errors.OutOfRangeError:
                break
            records += 1
    accumulator = EventAccumulator(folder, size_guidance={"scalars": 0})
    accumulator.Reload()
    tags = set(accumulator.Tags()["scalars"])
    expected = {"losses/loss", "losses/itc", "statistics/temperature", "evaluation/text R@1"} | {
        f"training/{name}" for name in ("learningRate", "gradientNorm", "samplesPerSecond", "dataWait", "memory")
    }
    assert tags == expected, tags ^ expected
    loss = [(event.step, event.value) for event in accumulator.Scalars("losses/loss")]
    assert loss == [(1, 11), (2, 12), (3, 13), (4, 24), (5, 25), (6, 26)], loss
    assert [(e.step, e.value) for e in accumulator.Scalars("evaluation/text R@1")] == [(3, 0.25)]
    assert all(math.isclose(e.value, 1e-4, rel_tol=1e-6) for e in accumulator.Scalars("training/learningRate"))
    print(f"TensorBoard read {records} records with {len(tags)} curves; a run that went on shows steps {[step for step, _ in loss]}")
