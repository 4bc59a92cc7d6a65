import { median } from '@adakit/cli/internal/measure';
import {
  differentiate,
  emitterOf,
  Graph,
  lowerNodes,
  modelFromGraph,
  operators,
  targets,
  withBlocks,
  writeModel,
  type Node,
  type Target,
} from '@adakit/onnx';
import { hasBlocks, hasRows, withFormulations } from '@adakit/onnx/internal';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { main, parse, UsageError, wholeNumber } from '../command-line.js';

const help = `CPU time of convolutions and their gradients in each formulation, on one thread of ONNX Runtime's CPU provider, which
other work on the machine changes little.

usage: npm run formulations -- [SHAPE…] [options]

SHAPE is BATCHxINPUTSxLENGTHxOUTPUTSxKERNELxSTRIDE; those of docs/onnx-pipeline.md by default. Padding is half the kernel.

  --rounds N  runs of each after the first (default 8)
  --help      this text

Examples:
  npm run formulations
  npm run formulations -- 32x64x8x64x3x1 --rounds=20`;

/** Of docs/onnx-pipeline.md. */
const SHAPES = [
  '32x64x8x64x3x1',
  '32x128x4x128x3x1',
  '32x256x2x256x3x1',
  '32x512x1x512x3x1',
  '32x64x8x128x3x2',
  '32x128x4x256x3x2',
  '64x32x14x64x3x1',
  '32x64x16x64x3x1',
  '32x128x8x128x3x1',
  '32x256x4x256x3x1',
  '32x64x14x256x1x1',
  '8x256x14x256x3x1',
  '8x128x28x128x3x1',
];

const cpu = targets['ort-cpu'];

/** Which convolutions are written in the formulation that is measured: all that can be. */
const writable: Readonly<Record<string, (node: Node) => boolean>> = {
  default: () => false,
  blocks: hasBlocks,
  windows: hasRows,
};

/** What is computed: a convolution, and its gradients with respect to its input and its weights; in which formulations. */
const variants = {
  y: ['default', 'blocks', 'windows'],
  dx: ['convolution', 'transposed', 'blocks', 'windows'],
  dw: ['products', 'offsets', 'rows', 'windows'],
} as const;

type Result = keyof typeof variants;
const RESULTS: readonly Result[] = ['y', 'dx', 'dw'];

interface Convolution {
  readonly batch: number;
  readonly inputs: number;
  readonly length: number;
  readonly outputs: number;
  readonly kernel: number;
  readonly stride: number;
}

await main({
  name: 'formulations',
  help,
  async run(args) {
    const { values, positionals } = parse({
      args: [...args],
      allowPositionals: true,
      options: { rounds: { type: 'string', default: '8' } },
    });
    const rounds = wholeNumber('--rounds', values.rounds);
    const shapes = (positionals.length > 0 ? positionals : SHAPES).map((text) => [text, convolutionOf(text)] as const);
    console.log('| batch×inputs×length×outputs×kernel×stride | | CPU time, ms |\n| --- | --- | --- |');
    for (const [text, convolution] of shapes) {
      for (const result of RESULTS) {
        console.log(`| ${text} | ${result} | ${await measured(convolution, result, rounds)} |`);
      }
    }
  },
});

/** @throws UsageError */
function convolutionOf(text: string): Convolution {
  const sizes = text.split('x').map((size) => wholeNumber(text, size));
  if (sizes.length !== 6) {
    throw new UsageError(`${text} must be six sizes, BATCHxINPUTSxLENGTHxOUTPUTSxKERNELxSTRIDE`);
  }
  const [batch, inputs, length, outputs, kernel, stride] = sizes;
  return { batch, inputs, length, outputs, kernel, stride };
}

/** Every formulation of a result in turn: its median. */
async function measured(convolution: Convolution, result: Result, rounds: number): Promise<string> {
  const contenders = [];
  for (const name of variants[result]) {
    contenders.push({ name, ...(await contender(convolution, result, name)), times: [] as number[] });
  }
  for (let round = 0; round <= rounds; round++) {
    for (const { session, feeds, times } of contenders) {
      const before = process.cpuUsage();
      await session.run(feeds);
      const { user, system } = process.cpuUsage(before);
      if (round > 0) times.push((user + system) / 1000);
    }
  }
  for (const { session } of contenders) await session.release();
  return contenders.map(({ name, times }) => `${name} ${median(times).toFixed(2)}`).join(', ');
}

/** A session that computes one result of a convolution in one formulation, and its feeds. */
async function contender(
  { batch, inputs, length, outputs, kernel, stride }: Convolution,
  result: Result,
  formulation: string,
): Promise<{ readonly session: InferenceSession; readonly feeds: Readonly<Record<string, Tensor>> }> {
  const graph = new Graph('layer');
  const e = emitterOf(graph);
  const feeds: Record<string, Tensor> = {};
  const feed = (name: string, shape: readonly number[]) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const waves = Float32Array.from({ length: size }, (_, i) => Math.sin(i));
    feeds[name] = new Tensor('float32', waves, shape);
    return graph.addInput(name, { dtype: 'float32', shape });
  };
  const pad = Math.floor(kernel / 2);
  const x = feed('x', [batch, inputs, length, length]);
  const w = feed('w', [outputs, inputs, kernel, kernel]);
  const y = e.node('Conv', [x, w], { pads: [pad, pad, pad, pad], strides: [stride, stride] });
  if (result === 'y') graph.outputs.push(y);
  else {
    // The cotangent of y is an input, so that nothing else is measured.
    const places = Math.floor((length + 2 * pad - kernel) / stride) + 1;
    const loss = e.reduceSum(e.mul(y, feed('dy', [batch, outputs, places, places])));
    graph.outputs.push(...differentiate(graph, loss, [result === 'dx' ? x : w], operators).values());
  }
  lowerNodes(graph, operators, targetOf(result, formulation));
  graph.removeDead();
  const session = await InferenceSession.create(writeModel(modelFromGraph(graph)), {
    intraOpNumThreads: 1,
    graphOptimizationLevel: 'basic',
  });
  const names = graph.inputs.map(({ name }) => name);
  return { session, feeds: Object.fromEntries(names.map((name) => [name, feeds[name]])) };
}

/** A target that computes a result in a formulation wherever that is possible, and writes no convolutions otherwise. */
function targetOf(result: Result, formulation: string): Target {
  if (result === 'dw') return withFormulations(cpu, { 'adakit::ConvWeightGradient': formulation });
  // With stride 1 a gradient in blocks is a convolution that is.
  const isBlocked = formulation === 'blocks';
  const changes: Record<string, string> =
    result === 'dx' ? { 'adakit::ConvInputGradient': isBlocked ? 'convolution' : formulation } : {};
  const convolution = isBlocked || result === 'y' ? formulation : 'default';
  if (convolution !== 'default') changes['Conv'] = convolution;
  const target = withFormulations(isBlocked ? withBlocks(cpu) : cpu, changes);
  return { ...target, partly: { ...target.partly, Conv: (node) => !writable[convolution](node) } };
}
