"""PyTorch's Adam as a peer of the suite `optimizer`.

    optimizer.py THREADS        requests as lines of JSON on standard input, an answer for each
"""

import json
import sys
import time

import torch

steps = {}


def setup(name, kind, shapes):
    parameters = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    optimizer = torch.optim.Adam(parameters, lr=1e-3, **{kind: True})
    steps[name] = optimizer.step


def answer(request):
    if "setup" in request:
        setup(request["setup"], request["kind"], request["shapes"])
        return {}
    start = time.perf_counter()
    steps[request["step"]]()
    return {"milliseconds": 1000 * (time.perf_counter() - start)}


torch.set_num_threads(int(sys.argv[1]))
for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
