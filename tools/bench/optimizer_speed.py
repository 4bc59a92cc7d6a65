"""Steps of PyTorch's Adam, one for every line of JSON on standard input; for optimizer-speed.js."""

import json
import sys
import time

import torch

steps = {}


def setup(kind, shapes):
    parameters = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    optimizer = torch.optim.Adam(parameters, lr=1e-3, **{kind: True})
    steps[kind] = optimizer.step


def answer(request):
    if "threads" in request:
        torch.set_num_threads(request["threads"])
        return {"version": torch.__version__}
    if "setup" in request:
        setup(request["setup"], request["shapes"])
        return {}
    start = time.perf_counter_ns()
    steps[request["step"]]()
    return {"nanoseconds": time.perf_counter_ns() - start}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
