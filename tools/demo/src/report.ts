import { relativeTolerance, type HandoverResult } from './handover.js';
import { formatTable, type Column } from './table.js';

/** What one training run came to. */
export interface RunReport {
  /** The optimizer's name for people. */
  readonly optimizer: string;
  readonly backend: string;
  readonly steps: number;
  /** Training images seen. */
  readonly images: number;
  /** Mean over the last batches. */
  readonly trainLoss: number;
  /** Share of the test images recognized, 0…1. */
  readonly testAccuracy: number;
  readonly msPerStep: number;
  /** The trained model, if it was written. */
  readonly file?: string;
  /** The state to go on from, if it was written. */
  readonly checkpoint?: string;
}

export interface Report {
  readonly runs: readonly RunReport[];
  /** A trained file, opened again as a plain inference model. */
  readonly reopened?: { readonly file: string; readonly testAccuracy: number };
  readonly handover: HandoverResult;
  readonly plot: string;
}

/** Every run must recognize this share of the test images. */
const requiredAccuracy = 0.97;

/** What is not as it should be; nothing, if all went well. */
export function problems({ runs, reopened, handover }: Report): string[] {
  const inaccurate = runs
    .filter(({ testAccuracy }) => !(testAccuracy >= requiredAccuracy))
    .map(
      ({ optimizer, backend, testAccuracy }) =>
        `${optimizer} on ${backend} recognizes ${percent(testAccuracy)} of the test images, less than ${percent(requiredAccuracy)}`,
    );
  const original = runs.find(({ file }) => file === reopened?.file);
  const changed =
    reopened === undefined || reopened.testAccuracy === original?.testAccuracy
      ? []
      : [`${reopened.file} recognizes ${percent(reopened.testAccuracy)} once reopened`];
  const strayed = handover.parameters
    .filter(({ handedOver }) => !(handedOver.relative <= relativeTolerance))
    .map(
      ({ name, handedOver }) =>
        `after the hand-over ${name} strays from the reference by ${handedOver.relative.toExponential(1)} of its way`,
    );
  return [...inaccurate, ...changed, ...strayed];
}

export function formatReport(report: Report): string {
  const found = problems(report);
  return [
    ...formatRuns(report),
    '',
    ...formatHandover(report.handover),
    '',
    ...(found.length === 0 ? ['All is well.'] : found.map((problem) => `Not well: ${problem}.`)),
  ].join('\n');
}

function formatRuns({ runs, reopened, plot }: Report): string[] {
  return [
    formatTable(runColumns, runs),
    '',
    `Loss curves: ${plot}. Trained models: ${runs.flatMap(({ file }) => file ?? []).join(', ')}`,
    `Checkpoints: ${runs.flatMap(({ checkpoint }) => checkpoint ?? []).join(', ')} (npx adakit inspect FILE)`,
    ...(reopened === undefined
      ? []
      : [`${reopened.file} reopened in plain onnxruntime-node: ${percent(reopened.testAccuracy)} of the test images`]),
  ];
}

function formatHandover({ backends, steps, imagesPerBatch, skippedBatches, parameters }: HandoverResult): string[] {
  return [
    `Hand-over of AdaDiff: ${steps[0]} steps on ${backends[0]}, then ${steps[1]} on ${backends[1]},`,
    `compared with ${steps[0] + steps[1]} steps in float64 on the same batches of ${imagesPerBatch} images`,
    `(${skippedBatches} batches left out on which rounding could tip a decision of relu or max pooling):`,
    '',
    formatTable(parameterColumns, parameters),
    '',
    `Relative: to the way from the initial value, in the 2-norm. The tolerance is ${relativeTolerance}.`,
  ];
}

const runColumns: readonly Column<RunReport>[] = [
  { heading: 'optimizer', align: 'left', value: ({ optimizer }) => optimizer },
  { heading: 'backend', align: 'left', value: ({ backend }) => backend },
  { heading: 'steps', align: 'right', value: ({ steps }) => grouped(steps) },
  { heading: 'images', align: 'right', value: ({ images }) => grouped(images) },
  { heading: 'train loss', align: 'right', value: ({ trainLoss }) => trainLoss.toFixed(4) },
  { heading: 'test accuracy', align: 'right', value: ({ testAccuracy }) => percent(testAccuracy) },
  { heading: 'ms/step', align: 'right', value: ({ msPerStep }) => msPerStep.toFixed(1) },
];

type ParameterRow = HandoverResult['parameters'][number];

const parameterColumns: readonly Column<ParameterRow>[] = [
  { heading: 'parameter', align: 'left', value: ({ name }) => name },
  { heading: 'max abs', align: 'right', value: ({ handedOver }) => handedOver.maxAbs.toExponential(1) },
  { heading: 'relative', align: 'right', value: ({ handedOver }) => handedOver.relative.toExponential(1) },
  { heading: 'never left ONNX: max abs', align: 'right', value: ({ stayed }) => stayed.maxAbs.toExponential(1) },
  { heading: 'relative', align: 'right', value: ({ stayed }) => stayed.relative.toExponential(1) },
];

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}

function grouped(count: number): string {
  return count.toLocaleString('en-US');
}
