"""PyTorch as a peer of the suites `training`, `memory` and `inference`: exports the networks, and makes steps when told.

    training.py THREADS        requests as lines of JSON on standard input, an answer for each
"""

import json
import sys
import time
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'fixtures' / 'python'))
import exported_architectures as architectures  # noqa: E402


def mlp():
    return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(3136, 128), nn.ReLU(), nn.Linear(128, 10),
    )


# name: (constructor, dims of the input, dims of the labels, classes or words, axis of the classes)
NETWORKS = {
    'mlp': (mlp, (64, 784), (64,), 10, 1),
    'cnn': (cnn, (64, 1, 28, 28), (64,), 10, 1),
    'resnet18': (lambda: architectures.resnet18(True), (32, 3, 32, 32), (32,), 10, 1),
    'densenet121': (lambda: architectures.densenet121(True), (16, 3, 32, 32), (16,), 10, 1),
    'lstm': (lambda: architectures.RecurrentLanguageModel(nn.LSTM, 10000, 200, 200, 2), (20, 35), (20, 35), 10000, 2),
    'gpt': (lambda: architectures.Gpt(1000, 64, 128, 4, 4), (16, 64), (16, 64), 1000, 2),
}


def build(name):
    torch.manual_seed(0)
    return NETWORKS[name][0]().train()


def batch_of(name, rows=None):
    """The batch that the other side makes too."""
    _, dims, label_dims, classes, _ = NETWORKS[name]
    if rows is not None:
        dims, label_dims = (rows, *dims[1:]), (rows, *label_dims[1:])
    index = lambda shape: torch.arange(torch.Size(shape).numel())
    classes_of = lambda shape, offset=0: ((index(shape) * 7919 + offset) % classes).reshape(shape)
    inputs = classes_of(dims) if classes >= 1000 else torch.sin(index(dims).double()).float().reshape(dims)
    return inputs, classes_of(label_dims, 1)


def export(name, file):
    inputs, _ = batch_of(name)
    torch.onnx.export(
        build(name), (inputs,), file, dynamo=False, input_names=['x'], output_names=['scores'], opset_version=17,
        dynamic_axes={'x': {0: 'batch'}, 'scores': {0: 'batch'}},
        training=torch.onnx.TrainingMode.TRAINING, do_constant_folding=False,
    )


def stepper(name, kind, rows=None):
    model = build(name)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=1e-2, **{kind: True})
    inputs, labels = batch_of(name, rows)
    axis = NETWORKS[name][4]

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(model(inputs).movedim(axis, 1), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def process_bytes(field):
    with open('/proc/self/status') as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith(field + ':'))


def memory(name, rows, steps):
    """What training takes, as memory/process-memory.ts has it."""
    begin = process_bytes('VmRSS')
    step = stepper(name, 'foreach', rows)
    sizes, times = [], []
    for count in range(steps):
        start = time.perf_counter()
        step()
        times.append(1000 * (time.perf_counter() - start))
        if count >= steps / 2:
            sizes.append(process_bytes('VmRSS'))
    middle, mean = (len(sizes) - 1) / 2, sum(sizes) / len(sizes)
    covariance = sum((i - middle) * (size - mean) for i, size in enumerate(sizes))
    slope = covariance / max(1, sum((i - middle) ** 2 for i in range(len(sizes))))
    return {
        'start': begin, 'peak': process_bytes('VmHWM'), 'growth': 1000 * slope,
        'milliseconds': sorted(times)[len(times) // 2],
    }


def phase_of(event):
    """What has called an operator: the optimizer, the backward pass, or the model."""
    while event is not None:
        if event.name.startswith('Optimizer.'):
            return 'optimizer'
        if event.name.startswith('autograd::engine'):
            return 'backward'
        event = event.cpu_parent
    return 'forward'


def profile(name, steps):
    """Milliseconds a step by operator and phase, self times."""
    step = stepper(name, 'foreach')
    times = []
    for _ in range(steps + 2):
        start = time.perf_counter()
        step()
        times.append(1000 * (time.perf_counter() - start))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        for _ in range(steps):
            step()
    sums = {}
    for event in found.events():
        key = (event.name, phase_of(event))
        sums[key] = sums.get(key, 0) + event.self_cpu_time_total / 1000 / steps
    operators = [{'name': key[0], 'phase': key[1], 'milliseconds': value} for key, value in sums.items()]
    return {'milliseconds': sorted(times[2:])[steps // 2], 'operators': operators}


def answer(request, steps):
    if 'profile' in request:
        return profile(request['profile'], request['steps'])
    if 'memory' in request:
        return memory(request['memory'], request['batch'], request['steps'])
    if 'export' in request:
        export(request['export'], request['file'])
        return {}
    if 'setup' in request:
        steps[request['setup'], request['kind']] = stepper(request['setup'], request['kind'])
        return {}
    step = steps[request['step'], request['kind']]
    start = time.perf_counter()
    loss = step()
    return {'milliseconds': 1000 * (time.perf_counter() - start), 'loss': loss}


def main():
    torch.set_num_threads(int(sys.argv[1]))
    steps = {}
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line), steps)), flush=True)


main()
