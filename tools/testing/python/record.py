"""Reference runs of an optimizer: `record.py FILE.py:NAME|MODULE:NAME RULE FOLDER [CASE=OPTIONS…]`.

NAME is a subclass of torch.optim.Optimizer, or a function that makes an optax.GradientTransformation. OPTIONS are JSON.
Every case becomes FOLDER/CASE.json, in the format that @adakit/testing reads.
"""

import importlib
import importlib.util
import inspect
import json
import re
import sys
from pathlib import Path

import numpy as np
import torch

SHAPES = {'weight': ([3, 2], 'weight'), 'bias': ([4], 'bias'), 'scale': ([], 'norm')}
STEPS = 8
# How PyTorch runs a rule, not what it is.
MECHANICS = {'params', 'foreach', 'fused', 'capturable', 'differentiable', 'maximize'}
# About four roundings of a value, as a relative change.
DISTURBANCE = {'float64': 2.0**-51, 'float32': 2.0**-22}


class TorchRun:
    def __init__(self, make, options, values, dtype):
        torch.set_default_dtype(getattr(torch, dtype))
        self.values = {n: torch.tensor(v, dtype=getattr(torch, dtype), requires_grad=True) for n, v in values.items()}
        self.optimizer = make(list(self.values.values()), **options)

    def step(self, gradients):
        for name, value in self.values.items():
            value.grad = torch.tensor(gradients[name], dtype=value.dtype)
        self.optimizer.step()

    def params(self):
        return {name: value.detach().numpy().copy() for name, value in self.values.items()}

    def replace(self, values):
        for name, value in values.items():
            self.values[name].data.copy_(torch.as_tensor(value))

    def hyperparameters(self):
        return self.optimizer.defaults


class OptaxRun:
    def __init__(self, make, options, values, dtype):
        import jax

        jax.config.update('jax_enable_x64', True)
        self.jnp, self.dtype = jax.numpy, dtype
        bound = inspect.signature(make).bind(**options)
        bound.apply_defaults()
        self.given, self.transformation = dict(bound.arguments), make(**options)
        self.replace(values)
        self.state = self.transformation.init(self.values)

    def replace(self, values):
        self.values = {n: self.jnp.asarray(v, dtype=self.dtype) for n, v in values.items()}

    def step(self, gradients):
        import optax

        given = {n: self.jnp.asarray(g, dtype=self.dtype) for n, g in gradients.items()}
        updates, self.state = self.transformation.update(given, self.state, self.values)
        self.values = optax.apply_updates(self.values, updates)

    def params(self):
        return {name: np.array(value) for name, value in self.values.items()}

    def hyperparameters(self):
        named = {'learning_rate': 'lr', 'b1': 'beta1', 'b2': 'beta2', 'b3': 'beta3'}
        return {named.get(k, k): v for k, v in self.given.items() if isinstance(v, (bool, int, float))}


def load(place):
    """The object at FILE.py:NAME or MODULE:NAME."""
    module, name = place.rsplit(':', 1)
    if not module.endswith('.py'):
        return getattr(importlib.import_module(module), name)
    spec = importlib.util.spec_from_file_location(Path(module).stem, module)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return getattr(loaded, name)


def numbers(chance, sparse=False):
    """Multiples of 1/64, which every float holds; when sparse, half of them zero and the rest of many sizes."""

    def one(shape):
        values = np.round(chance.standard_normal(shape) * 64) / 64
        if sparse:
            values = values * (chance.random(shape) < 0.5) * 2.0 ** chance.integers(-8, 9, shape)
        return np.asarray(values)

    return {name: one(shape) for name, (shape, _) in SHAPES.items()}


def flat(value):
    """Elements in row-major order, of a float32 as the shortest decimal that rounds to it."""
    assert np.isfinite(value).all(), 'the run is not finite'
    return [float(str(x)) if value.dtype == np.float32 else float(x) for x in np.ravel(value)]


def record(make, rule, case, options, seed):
    chance = np.random.default_rng(seed)
    run_of = TorchRun if inspect.isclass(make) and issubclass(make, torch.optim.Optimizer) else OptaxRun
    start = numbers(chance)
    gradients = [numbers(chance, case.startswith('sparse')) for _ in range(STEPS)]

    def run(dtype):
        taken, after = run_of(make, options, start, dtype), []
        for gradient in gradients:
            taken.step(gradient)
            after.append({name: flat(value) for name, value in taken.params().items()})
        return taken, {'params': after}

    def sensitivity(expected, size):
        """The largest change of a parameter, relative to its tensor, when all that enters a step is rounded anew."""
        worst = 0.0
        for other in range(4):
            noise = np.random.default_rng(1000 + other)

            def disturb(values):
                return {n: v * (1 + size * noise.standard_normal(np.shape(v))) for n, v in values.items()}

            taken = run_of(make, options, disturb(start), 'float64')
            for gradient, after in zip(gradients, expected):
                taken.step(disturb(gradient))
                for name, value in taken.params().items():
                    change = np.abs(np.ravel(value) - after[name]).max() / max(np.abs(after[name]).max(), 1e-300)
                    worst = max(worst, float(change))
                taken.replace(disturb(taken.params()))
        return float(f'{worst:.1e}')

    taken, high = run('float64')
    given = {re.sub(r'_(\w)', lambda m: m[1].upper(), k): v for k, v in taken.hyperparameters().items() if k not in MECHANICS}
    return {
        'optimizer': rule,
        'hyperparameters': {k: list(v) if isinstance(v, tuple) else v for k, v in given.items()},
        'source': f'{make.__module__}.{make.__qualname__}, torch {torch.__version__}',
        'steps': STEPS,
        'parameters': {n: {'shape': s, 'role': r, 'values': flat(start[n])} for n, (s, r) in SHAPES.items()},
        'gradients': [{name: flat(value) for name, value in step.items()} for step in gradients],
        'float64': high,
        'float32': run('float32')[1],
        'sensitivity': {name: sensitivity(high['params'], size) for name, size in DISTURBANCE.items()},
    }


if __name__ == '__main__':
    place, rule, folder, *given = sys.argv[1:]
    cases = [case.split('=', 1) for case in given or ['defaults={}', 'lr={"lr":0.01}', 'sparse={}']]
    Path(folder).mkdir(parents=True, exist_ok=True)
    made = load(place)
    for seed, (case, options) in enumerate(cases):
        text = json.dumps(record(made, rule, case, json.loads(options), seed), separators=(',', ':'))
        path = Path(folder) / f'{case}.json'
        path.write_text(text + '\n')
        print(path)
