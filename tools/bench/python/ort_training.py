"""ONNX Runtime's own training (onnxruntime-training 1.19.2) as a peer of the suite `training`.

    ort_training.py THREADS        requests as lines of JSON on standard input, an answer for each
"""

import json
import sys
import tempfile
import time

import numpy as np
import onnx
from onnxruntime import SessionOptions
from onnxruntime.training import artifacts
from onnxruntime.training.api import CheckpointState, Module, Optimizer


def batch_of(dims, labels):
    classes = 10 if len(labels) == 1 else (10000 if dims[1] == 35 else 1000)
    index = lambda shape: np.arange(int(np.prod(shape)))
    classes_of = lambda shape, offset=0: ((index(shape) * 7919 + offset) % classes).reshape(shape)
    inputs = classes_of(dims) if classes >= 1000 else np.sin(index(dims)).astype(np.float32).reshape(dims)
    return inputs, classes_of(labels, 1).reshape(-1)


def flat_scores(model):
    """Scores of language models as [positions, words], which is what the loss takes."""
    graph = model.graph
    scores = graph.output[0].name
    words = graph.output[0].type.tensor_type.shape.dim
    if len(words) == 2:
        return model
    graph.initializer.append(onnx.helper.make_tensor('flat', onnx.TensorProto.INT64, [2], [-1, words[2].dim_value]))
    graph.node.append(onnx.helper.make_node('Reshape', [scores, 'flat'], ['flat_scores']))
    del graph.output[:]
    shape = [None, words[2].dim_value]
    graph.output.append(onnx.helper.make_tensor_value_info('flat_scores', onnx.TensorProto.FLOAT, shape))
    return model


def stepper(file, dims, labels, threads):
    model = flat_scores(onnx.load(file))
    weights = [w.name for w in model.graph.initializer if w.data_type == onnx.TensorProto.FLOAT and len(w.dims) > 0]
    trained = [name for name in weights if 'running_' not in name]
    folder = tempfile.mkdtemp()
    artifacts.generate_artifacts(
        model, requires_grad=trained, frozen_params=[w for w in weights if w not in trained],
        loss=artifacts.LossType.CrossEntropyLoss, optimizer=artifacts.OptimType.AdamW, artifact_directory=folder,
    )
    options = SessionOptions()
    options.intra_op_num_threads = threads
    state = CheckpointState.load_checkpoint(f'{folder}/checkpoint')
    module = Module(f'{folder}/training_model.onnx', state, f'{folder}/eval_model.onnx', session_options=options)
    optimizer = Optimizer(f'{folder}/optimizer_model.onnx', module)
    optimizer.set_learning_rate(1e-4)
    inputs, targets = batch_of(dims, labels)
    module.train()

    def step():
        loss = module(inputs, targets)
        optimizer.step()
        module.lazy_reset_grad()
        return float(loss)

    return step


def answer(request, steps, threads):
    if 'setup' in request:
        try:
            steps[request['setup']] = stepper(request['file'], request['dims'], request['labels'], threads)
            steps[request['setup']]()
            return {}
        except Exception as error:  # What its builder cannot do is an answer, too.
            return {'error': str(error).splitlines()[0][:300]}
    start = time.perf_counter()
    loss = steps[request['step']]()
    return {'milliseconds': 1000 * (time.perf_counter() - start), 'loss': loss}


def main():
    threads = int(sys.argv[1])
    steps = {}
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line), steps, threads)), flush=True)


main()
