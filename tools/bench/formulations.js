/**
 * CPU time of convolutions and their gradients in each formulation, on one thread of ONNX Runtime's CPU provider, which other
 * work on the machine changes little:
 *
 *     node tools/bench/formulations.js [--rounds=8] [BATCHxINPUTSxLENGTHxOUTPUTSxKERNELxSTRIDE…]
 *
 * Without shapes, those of docs/onnx-pipeline.md. Padding is half the kernel. Run `npx tsc -b` before.
 */
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
} from '@adakit/onnx';
import { hasBlocks, hasRows, withFormulations } from '@adakit/onnx/internal';
import { InferenceSession, Tensor } from 'onnxruntime-node';

const args = process.argv.slice(2);
const rounds = Number(args.find((arg) => arg.startsWith('--rounds='))?.slice('--rounds='.length) ?? 8);
const named = args.filter((arg) => !arg.startsWith('--'));
const shapes =
  named.length > 0
    ? named
    : [
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
const writable = { default: () => false, blocks: hasBlocks, windows: hasRows };
const names = { dx: 'adakit::ConvInputGradient', dw: 'adakit::ConvWeightGradient' };
const variants = {
  y: ['default', 'blocks', 'windows'],
  dx: ['convolution', 'transposed', 'blocks', 'windows'],
  dw: ['products', 'offsets', 'rows', 'windows'],
};

console.log('| batch×inputs×length×outputs×kernel×stride | | CPU time, ms |\n| --- | --- | --- |');
for (const shape of shapes) {
  for (const [result, formulations] of Object.entries(variants)) {
    const contenders = [];
    for (const name of formulations) contenders.push({ name, ...(await contender(shape, result, name)), times: [] });
    for (let round = 0; round <= rounds; round++) {
      for (const { session, feeds, times } of contenders) {
        const before = process.cpuUsage();
        await session.run(feeds);
        const { user, system } = process.cpuUsage(before);
        if (round > 0) times.push((user + system) / 1000);
      }
    }
    const figures = contenders.map(({ name, times }) => `${name} ${median(times).toFixed(2)}`);
    for (const { session } of contenders) await session.release();
    console.log(`| ${shape} | ${result} | ${figures.join(', ')} |`);
  }
}

/** A session that computes one result of a convolution in one formulation, and its feeds. */
async function contender(shape, result, formulation) {
  const [batch, inputs, length, outputs, kernel, stride] = shape.split('x').map(Number);
  const graph = new Graph('layer');
  const e = emitterOf(graph);
  const pad = Math.floor(kernel / 2);
  const feed = (name, dims) => graph.addInput(name, { dtype: 'float32', shape: dims });
  const x = feed('x', [batch, inputs, length, length]);
  const w = feed('w', [outputs, inputs, kernel, kernel]);
  const y = e.node('Conv', [x, w], { pads: [pad, pad, pad, pad], strides: [stride, stride] });
  if (result === 'y') graph.outputs.push(y);
  else {
    // The cotangent of y is an input, so that nothing else is measured.
    const loss = e.reduceSum(e.mul(y, feed('dy', y.shape)));
    const variable = result === 'dx' ? x : w;
    graph.outputs.push(differentiate(graph, loss, [variable], operators).get(variable));
  }
  lowerNodes(graph, operators, targetOf(result, formulation));
  graph.removeDead();
  const feeds = graph.inputs.map((input) => {
    const size = input.shape.reduce((a, b) => a * b, 1);
    return [
      input.name,
      new Tensor(
        'float32',
        Float32Array.from({ length: size }, (_, i) => Math.sin(i)),
        input.shape,
      ),
    ];
  });
  const session = await InferenceSession.create(writeModel(modelFromGraph(graph)), {
    intraOpNumThreads: 1,
    graphOptimizationLevel: 'basic',
  });
  return { session, feeds: Object.fromEntries(feeds) };
}

/** A target that computes a result in a formulation wherever that is possible, and writes no convolutions otherwise. */
function targetOf(result, formulation) {
  if (result === 'dw') return withFormulations(cpu, { [names.dw]: formulation });
  // With stride 1 a gradient in blocks is a convolution that is.
  const isBlocked = formulation === 'blocks';
  const changes = result === 'dx' ? { [names.dx]: isBlocked ? 'convolution' : formulation } : {};
  const convolution = isBlocked || result === 'y' ? formulation : 'default';
  const named = convolution === 'default' ? changes : { ...changes, Conv: convolution };
  const target = withFormulations(isBlocked ? withBlocks(cpu) : cpu, named);
  return { ...target, partly: { ...target.partly, Conv: (node) => !writable[convolution](node) } };
}

function median(times) {
  return [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)];
}
