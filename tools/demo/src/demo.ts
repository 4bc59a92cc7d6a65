import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { adadiff } from '@adakit/adadiff';
import { mapState } from '@adakit/state';
import { writeFileAtomically } from '@adakit/state/node';
import type { Contender } from './contenders.js';
import { handOver } from './handover.js';
import { onnxToTfjs } from './layout.js';
import { lossPlot, type LossCurve } from './loss-plot.js';
import { readMnist, shuffledBatches, type DigitBatch, type Digits } from './mnist.js';
import { OnnxModel, openForInference } from './onnx-model.js';
import type { Options } from './options.js';
import type { Progress } from './progress.js';
import type { Report, RunReport } from './report.js';
import { TfjsModel } from './tfjs-model.js';
import { accuracy, recentLoss, train, type TrainableModel } from './training.js';

const batchSize = 32;
/** Steps on each side of the hand-over, and their images: the reference is slow. */
const handover = { steps: 30, batchSize: 16 };
/** Batches over which the reported training loss is averaged. */
const reportedBatches = 100;

/** The whole demo. Files are written as soon as what they hold is there. */
export async function runDemo(options: Options, progress: Progress, signal: AbortSignal): Promise<Report> {
  const { contenders, seed, out } = options;
  await mkdir(out, { recursive: true });
  const digits = readMnist();
  const batches = (): Iterator<DigitBatch> => shuffledBatches(digits.train, batchSize, seed);
  const setting = { ...options, batches, test: digits.test, progress, signal };

  const runs: Run[] = [];
  for (const contender of contenders) runs.push(await onnxRun(contender, setting));
  for (const contender of contenders.filter(({ name }) => name === 'adadiff')) {
    runs.push(await tfjsRun(contender, setting));
  }
  const reports = runs.map(({ report }) => report);
  const reopened = await reopenBest(reports, digits.test, signal);

  const plot = join(out, 'loss.svg');
  await writeFileAtomically(
    plot,
    await lossPlot(
      runs.map(({ curve }) => curve),
      {
        title: 'Training loss of a small CNN on MNIST',
        subtitle: `${reports[0].images.toLocaleString('en-US')} images in batches of ${batchSize}, the same for all; on ONNX Runtime unless marked`,
      },
    ),
  );

  const handoverResult = await handOver({
    optimizer: adadiff(),
    steps: handover.steps,
    batches: shuffledBatches(digits.train, handover.batchSize, seed),
    signal,
    onPart: (description) => {
      progress.say(`hand-over: ${description}`);
    },
  });
  return { runs: reports, ...(reopened && { reopened }), handover: handoverResult, plot };
}

interface Setting {
  readonly steps: number;
  readonly out: string;
  readonly batches: () => Iterator<DigitBatch>;
  readonly test: Digits;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

interface Run {
  readonly report: RunReport;
  readonly curve: LossCurve;
}

/** Trains the ONNX file and writes it with the trained weights, and the state to go on from. */
async function onnxRun(contender: Contender, setting: Setting): Promise<Run> {
  const model = await OnnxModel.create(contender.create());
  try {
    const { report, curve } = await run(contender, model, setting);
    const file = join(setting.out, `mnist-cnn-${contender.name}.onnx`);
    const checkpoint = join(setting.out, `mnist-cnn-${contender.name}.safetensors`);
    await model.export(file);
    await model.save(checkpoint);
    return { report: { ...report, file, checkpoint }, curve };
  } finally {
    await model.dispose();
  }
}

/** Trains the same network in TensorFlow.js, from the weights in the ONNX file. */
async function tfjsRun(contender: Contender, setting: Setting): Promise<Run> {
  const source = await OnnxModel.create(contender.create());
  const initial = await source.state();
  await source.dispose();
  const model = await TfjsModel.create(contender.create(), mapState(initial, onnxToTfjs));
  try {
    const { report, curve } = await run(contender, model, setting);
    return { report, curve: { ...curve, name: `${curve.name} in TensorFlow.js`, dashed: true } };
  } finally {
    await model.dispose();
  }
}

async function run({ label, color }: Contender, model: TrainableModel, setting: Setting): Promise<Run> {
  const { steps, batches, test, progress, signal } = setting;
  const title = `${label} on ${model.backend}`;
  const record = await train(model, batches(), {
    steps,
    signal,
    onStep: (step, loss) => {
      progress.update(`${title}: step ${step} of ${steps}, loss ${loss.toFixed(3)}`);
    },
  });
  const testAccuracy = await accuracy(model, test, signal);
  progress.say(`${title}: ${(100 * testAccuracy).toFixed(2)} % of the test images`);
  return {
    report: {
      optimizer: label,
      backend: model.backend,
      steps,
      images: record.images,
      trainLoss: recentLoss(record, reportedBatches),
      testAccuracy,
      msPerStep: record.msPerStep,
    },
    curve: { name: label, losses: record.losses, testAccuracy, color, dashed: false },
  };
}

/** The most accurate of the files written, in a session that knows nothing of training. */
async function reopenBest(
  reports: readonly RunReport[],
  test: Digits,
  signal: AbortSignal,
): Promise<Report['reopened']> {
  const [best] = reports.toSorted((a, b) => b.testAccuracy - a.testAccuracy).filter(({ file }) => file !== undefined);
  if (best.file === undefined) return undefined;
  const model = await openForInference(best.file);
  try {
    return { file: best.file, testAccuracy: await accuracy(model, test, signal) };
  } finally {
    await model.dispose();
  }
}
