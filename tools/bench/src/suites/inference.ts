import { elementCount } from '@adakit/core';
import { dataFile } from '@adakit/fixtures';
import { findHead, mse, readModel, type TensorSpec } from '@adakit/onnx';
import { TrainingSession } from '@adakit/runner-onnx';
import { sgd } from '@adakit/sgd';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { compare, ratioOf, timed } from '@adakit/cli/internal/measure';
import type { Row, Suite, SuiteOptions } from '../suite.js';

const BATCH = 64;
/** Of sequences. */
const LENGTH = 8;
const NETWORKS = [
  'mnist-cnn',
  ...['resnet18', 'mobilenetv3', 'vgg11', 'vit', 'bert'].map((name) => `exported/${name}`),
];

export const inference: Suite = {
  title: 'Inference and frozen networks',
  method:
    `Predictions, evaluations and steps of the last layer alone on batches of ${String(BATCH)}, one thread, against a session ` +
    'of the exported model. A step has the loss, two gradients and an update beside.',
  measure,
};

async function* measure({ only, rounds = 31 }: SuiteOptions): AsyncIterable<Row> {
  for (const network of NETWORKS.filter((name) => name.includes(only))) {
    const model = await readModel(dataFile(`${network}.onnx`));
    const common = { model, loss: mse(), optimizer: sgd({ lr: 1e-6 }), session: { intraOpNumThreads: 1 } };
    const session = await TrainingSession.create(common);
    const frozen = await TrainingSession.create({ ...common, train: findHead(model).weight });
    const stock = await InferenceSession.create(await session.exportModel(), common.session);
    const feeds = Object.fromEntries(session.inputs.map((spec) => [spec.name, tensorOf(spec)]));
    const inputs = Object.fromEntries(stock.inputNames.map((name) => [name, feeds[name]]));
    const contenders = {
      'exported model': timed(() => stock.run(inputs)),
      predict: timed(() => session.predict(inputs)),
      evaluate: timed(() => session.evaluate(feeds)),
      'step of the last layer': timed(() => frozen.step(feeds)),
    };
    const times = await compare(contenders, { rounds });
    const base = times['exported model'];
    for (const [name, each] of Object.entries(times)) {
      const ratios = each === base ? {} : { 'exported model': ratioOf(each, base) };
      yield { case: network, name, ms: each.median, ratios };
    }
    await Promise.all([session.dispose(), frozen.dispose(), stock.release()]);
  }
}

/** A tensor as a session wants it: numbers in [−1, 1), and index 0. */
function tensorOf({ dtype, shape }: TensorSpec): Tensor {
  const dims = shape.map((dim, axis) => (typeof dim === 'number' ? dim : axis === 0 ? BATCH : LENGTH));
  const size = elementCount(dims);
  if (dtype === 'int64') return new Tensor('int64', new BigInt64Array(size), dims);
  return new Tensor(
    'float32',
    Float32Array.from({ length: size }, () => 2 * Math.random() - 1),
    dims,
  );
}
