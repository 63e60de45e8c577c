"""One side of a row: prepares, says so, and runs as often as it is told. JSON lines on stdin and stdout, as in ours/serve.mjs."""

import json
import sys
import time
from collections.abc import Callable

import torch


def serve(prepare: Callable[[dict], tuple[Callable[[int], float | None], dict]]) -> None:
    """`prepare` takes the row's settings and gives what runs n times (and returns the work done, if not n), and facts to compare."""
    settings = json.loads(sys.argv[1])
    torch.set_num_threads(settings["threads"])
    run, facts = prepare(settings)
    print(json.dumps({"ready": True, "facts": facts}), flush=True)
    for line in sys.stdin:
        count = json.loads(line)["iterations"]
        start, busy = time.perf_counter(), time.process_time()
        work = run(count)
        spent = {"seconds": time.perf_counter() - start, "cpuSeconds": time.process_time() - busy}
        print(json.dumps({**spent, "work": count if work is None else work}), flush=True)
