import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { adadiff } from '@adakit/adadiff';
import { lossPlot, type LossCurve } from '@adakit/cli';
import type { Batch, Dataset } from '@adakit/data';
import { accuracy, evaluate, fit, progress, type Callback, type Trainable } from '@adakit/fit';
import { mapState } from '@adakit/state';
import { writeFileAtomically } from '@adakit/state/node';
import type { Contender } from './contenders.js';
import { handOver } from './handover.js';
import { onnxToTfjs } from './layout.js';
import { readMnist } from './mnist.js';
import { backendOf, onnxSession, openForInference } from './onnx-model.js';
import type { Options } from './options.js';
import type { Report, RunReport } from './report.js';
import { TfjsModel } from './tfjs-model.js';

const batchSize = 32;
/** Steps on each side of the hand-over, and their images: the reference is slow. */
const handover = { steps: 30, batchSize: 16 };
/** Steps over which the reported training loss is averaged. */
const reportedSteps = 100;

/** The whole demo. Files are written as soon as what they hold is there; what goes on is said on standard error. */
export async function runDemo(options: Options, signal: AbortSignal): Promise<Report> {
  const { contenders, seed, out } = options;
  await mkdir(out, { recursive: true });
  const { train, test } = await readMnist();
  const shuffled = train.shuffle(seed);
  const setting = { ...options, batches: shuffled.batch(batchSize, { last: 'drop' }), test: test.batch(500), signal };

  const runs: Run[] = [];
  for (const contender of contenders) runs.push(await onnxRun(contender, setting));
  for (const contender of contenders.filter(({ name }) => name === 'adadiff')) {
    runs.push(await tfjsRun(contender, setting));
  }
  const reports = runs.map(({ report }) => report);
  const reopened = await reopenBest(reports, setting);

  const plot = join(out, 'loss.svg');
  const svg = await lossPlot(
    runs.map(({ curve }) => curve),
    {
      title: 'Training loss of a small CNN on MNIST',
      subtitle: `${reports[0].images.toLocaleString('en-US')} images in batches of ${batchSize}, the same for all; on ONNX Runtime unless marked`,
      legend: 'Test accuracy',
    },
  );
  await writeFileAtomically(plot, Buffer.from(svg));

  const handoverResult = await handOver({
    optimizer: adadiff(),
    steps: handover.steps,
    batches: shuffled.batch(handover.batchSize),
    signal,
    onPart: (description) => {
      say(`hand-over: ${description}`);
    },
  });
  return { runs: reports, ...(reopened && { reopened }), handover: handoverResult, plot };
}

interface Setting {
  readonly steps: number;
  readonly out: string;
  readonly batches: Dataset<Batch>;
  readonly test: Dataset<Batch>;
  readonly signal: AbortSignal;
}

interface Run {
  readonly report: RunReport;
  readonly curve: LossCurve;
}

/** Trains the ONNX file and writes it with the trained weights, and the state to go on from. */
async function onnxRun(contender: Contender, setting: Setting): Promise<Run> {
  const session = await onnxSession(contender.create());
  try {
    const { report, curve } = await run(contender, session, backendOf(session), setting);
    const file = join(setting.out, `mnist-cnn-${contender.name}.onnx`);
    const checkpoint = join(setting.out, `mnist-cnn-${contender.name}.safetensors`);
    await session.exportModel(file);
    await session.save(checkpoint);
    return { report: { ...report, file, checkpoint }, curve };
  } finally {
    await session.dispose();
  }
}

/** Trains the same network in TensorFlow.js, from the weights in the ONNX file. */
async function tfjsRun(contender: Contender, setting: Setting): Promise<Run> {
  const source = await onnxSession(contender.create());
  const initial = await source.state();
  await source.dispose();
  const model = await TfjsModel.create(contender.create(), mapState(initial, onnxToTfjs));
  try {
    const { report, curve } = await run(contender, model, model.backend, setting);
    return { report, curve: { ...curve, name: curve.name.replace(',', ' in TensorFlow.js,'), dashed: true } };
  } finally {
    await model.dispose();
  }
}

async function run({ label, color }: Contender, model: Trainable, backend: string, setting: Setting): Promise<Run> {
  const { steps, batches, signal } = setting;
  say(`${label} on ${backend}`);
  const recent: number[] = [];
  const recorder: Callback = {
    onStep: ({ loss }) => {
      recent.push(loss);
      if (recent.length > reportedSteps) recent.shift();
    },
  };
  const clock = timed(model);
  const { curve } = await fit(clock.model, batches, {
    steps,
    callbacks: [progress(process.stderr), recorder],
    signal,
  });
  signal.throwIfAborted();
  const testAccuracy = await accuracyOf(model, setting);
  say(`${label} on ${backend}: ${(100 * testAccuracy).toFixed(2)} % of the test images`);
  return {
    report: {
      optimizer: label,
      backend,
      steps,
      images: steps * batchSize,
      trainLoss: recent.reduce((sum, loss) => sum + loss, 0) / recent.length,
      testAccuracy,
      msPerStep: clock.milliseconds() / steps,
    },
    curve: { name: `${label}, ${(100 * testAccuracy).toFixed(1)} %`, points: curve, color, dashed: false },
  };
}

/** Share of the test images recognized, 0…1. */
async function accuracyOf(model: Pick<Trainable, 'evaluate' | 'inputs'>, { test, signal }: Setting): Promise<number> {
  return Number((await evaluate(model, test, { metrics: [accuracy()], signal })).accuracy);
}

/** The same model with a clock that runs during its steps, not while their batches are prepared. */
function timed(model: Trainable): { readonly model: Trainable; readonly milliseconds: () => number } {
  let time = 0;
  const { inputs, stepCount } = model;
  return {
    milliseconds: () => time,
    model: {
      ...(inputs && { inputs }),
      ...(stepCount !== undefined && { stepCount }),
      async step(batch) {
        const start = performance.now();
        const report = await model.step(batch);
        time += performance.now() - start;
        return report;
      },
    },
  };
}

/** The most accurate of the files written, in a session that knows nothing of training. */
async function reopenBest(reports: readonly RunReport[], setting: Setting): Promise<Report['reopened']> {
  const [best] = reports.toSorted((a, b) => b.testAccuracy - a.testAccuracy).filter(({ file }) => file !== undefined);
  if (best.file === undefined) return undefined;
  const model = await openForInference(best.file);
  try {
    return { file: best.file, testAccuracy: await accuracyOf(model, setting) };
  } finally {
    await model.dispose();
  }
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
