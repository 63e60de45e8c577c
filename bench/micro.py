"""The Python side of micro.mjs: the same operators in the same number and order."""
import argparse
import json
import time

import torch

parser = argparse.ArgumentParser()
parser.add_argument('--threads', type=int, default=2)
parser.add_argument('--rounds', type=int, default=400)
options = parser.parse_args()
torch.set_num_threads(options.threads)
CALLS = 2000
BODY = 20

a = torch.ones(8)
b = torch.ones(8)
m = torch.ones(4, 6)
w = torch.ones(6, 6)


def chain():
    x = m.matmul(w).add(b.select(0, 0))  # 3
    x = x.mul(0.5).relu()  # 2
    x = x.view(2, 2, 6).transpose(0, 1).reshape(4, 6)  # 3
    mean = x.mean(-1, True)  # 1
    x = x.sub(mean).mul(x).add(1e-5).sqrt()  # 4
    x = x.softmax(-1).matmul(w)  # 2
    x = x.unsqueeze(0).expand(2, 4, 6).sum(0)  # 3
    return x.exp().narrow(1, 0, 3)  # 2


def add(calls):
    for _ in range(calls):
        a.add(b)


def view(calls):
    for _ in range(calls):
        m.view(3, 8)


def mixed(calls):
    for _ in range(calls):
        chain()


def best(run, calls):
    times = []
    for _ in range(options.rounds):
        start = time.perf_counter_ns()
        run(calls)
        times.append((time.perf_counter_ns() - start) / calls)
    return min(times)


added = best(add, CALLS)
print(json.dumps({
    'add in scope': added,
    'add outside': added,
    'view in scope': best(view, CALLS),
    'chain of 20 mixed small ops': best(mixed, CALLS // BODY),
}))
