/**
 * Where a training step goes: ONNX Runtime's own profile, by operator.
 *
 *     npm run profile -- MODEL [--steps=5] [--threads=1] [--provider=cpu] [--dim=NAME=SIZE] [--update=auto|fused|graph] [--json]
 *
 * MODEL is an ONNX file, whose free dimensions are fixed, at 4 unless said otherwise, and whose batch is drawn; or one of the
 * networks of the benchmarks, mlp, cnn, resnet18, densenet121, lstm or gpt. These PyTorch exports, trains and profiles as well, the
 * Python of ADAKIT_PYTHON, and both stand beside each other by what the work is for. Times are of a process that profiles, which is
 * slower than one that does not: shares and ratios are what to read.
 */
import { adamw } from '@adakit/adam';
import { crossEntropy, readModel, specialize } from '@adakit/onnx';
import { TrainingSession } from '@adakit/runner-onnx';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { median } from './dist/measure/compare.js';
import { Peer } from './dist/measure/peer.js';
import { batchOf, networks } from './dist/networks.js';
import { byKind, KINDS, kindOfNode, kindOfTorch, sideBySide } from './dist/profile/kinds.js';

const args = process.argv.slice(2);
const given = args.find((arg) => !arg.startsWith('--'));
if (given === undefined)
  throw new Error(`name a model: npm run profile -- MODEL.onnx, or ${Object.keys(networks).join(', ')}`);
const option = (name, otherwise) =>
  args.find((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3) ?? otherwise;
const steps = Number(option('steps', 5));
const threads = option('threads', '1');
const sizes = new Map(args.filter((arg) => arg.startsWith('--dim=')).map((arg) => arg.slice(6).split('=')));
const network = Object.hasOwn(networks, given) ? networks[given] : undefined;

const folder = mkdtempSync(join(tmpdir(), 'adakit-profile-'));
let torch;
try {
  let path = given;
  if (network !== undefined) {
    torch = Peer.start('ADAKIT_PYTHON', 'training.py', threads);
    if (torch === undefined) throw new Error(`PyTorch exports ${given}; set ADAKIT_PYTHON to a Python that has it`);
    path = join(folder, `${given}.onnx`);
    await torch.ask({ export: given, file: path });
  }
  const own = await profiled(path);
  const theirs = torch && (await torch.ask({ profile: given, steps }));
  if (args.includes('--json')) console.log(JSON.stringify(asJson(own, theirs), null, 2));
  else print(own, theirs);
} finally {
  torch?.end();
  rmSync(folder, { recursive: true });
}

/** Steps of a model, with the runtime's profile. Times are milliseconds a step. */
async function profiled(path) {
  const file = await readModel(path);
  const shapeOf = ({ type }) => type?.value.value.shape?.dim ?? [];
  const free = file.graph.input.flatMap((input) =>
    shapeOf(input).flatMap(({ value }) => (value.case === 'dimParam' ? [value.value] : [])),
  );
  const dims = Object.fromEntries(free.map((name) => [name, Number(sizes.get(name) ?? 4)]));
  const model = network === undefined ? specialize(file, { dims }) : file;
  const classAxis =
    network?.classAxis ?? Number(option('class-axis', shapeOf(file.graph.output[0]).length === 3 ? 2 : 1));
  const started = performance.now();
  const session = await TrainingSession.create({
    model,
    loss: crossEntropy({ classAxis }),
    optimizer: adamw({ lr: 1e-4 }),
    executionProviders: [option('provider', 'cpu')],
    update: option('update', 'auto'),
    session: {
      intraOpNumThreads: Number(threads),
      enableProfiling: true,
      profileFilePrefix: join(folder, 'run'),
      logSeverityLevel: 3,
    },
  });
  const created = performance.now() - started;
  const batch =
    network === undefined
      ? Object.fromEntries(session.inputs.map((spec) => [spec.name, drawn(spec)]))
      : batchOf(network);
  const walls = [];
  for (let i = 0; i < steps + 1; i++) {
    const from = performance.now();
    await session.step(batch);
    walls.push(performance.now() - from);
  }
  await session.dispose();
  const events = readdirSync(folder)
    .filter((name) => name.startsWith('run'))
    .flatMap((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')));
  const runs = events.filter(({ name }) => name === 'model_run').map(({ dur }) => dur / 1000);
  const [first, ...others] = walls;
  const kernels = events
    .filter(({ cat, name }) => cat === 'Node' && name.endsWith('_kernel_time'))
    .map(({ name, dur, args: about }) => ({
      node: name.slice(0, -'_kernel_time'.length),
      op: about.op_name,
      milliseconds: dur / 1000 / walls.length,
    }));
  const operators = new Map();
  for (const { op, milliseconds } of kernels) {
    const entry = operators.get(op) ?? { count: 0, milliseconds: 0 };
    operators.set(op, { count: entry.count + 1 / walls.length, milliseconds: entry.milliseconds + milliseconds });
  }
  const names = new Map(file.graph.node.map(({ name, opType }) => [name, opType]));
  // What a step takes outside of the runtime is the update, where that is fused, and the check of the batch.
  const outside = Math.max(0, median(others) - median(runs.slice(1)));
  return {
    created,
    first,
    step: median(others),
    kernels: kernels.reduce((sum, { milliseconds }) => sum + milliseconds, 0),
    operators,
    kinds: byKind([
      ...kernels.map(({ node, op, milliseconds }) => [kindOfNode(node, op, names), milliseconds]),
      ['optimizer', outside],
    ]),
  };
}

function torchKinds({ operators }) {
  return byKind(operators.map(({ name, phase, milliseconds }) => [kindOfTorch(name, phase), milliseconds]));
}

function asJson({ operators, ...own }, theirs) {
  const kinds = theirs && torchKinds(theirs);
  return {
    model: given,
    threads: Number(threads),
    adakit: { ...own, operators: Object.fromEntries(operators) },
    ...(theirs && {
      torch: { step: theirs.milliseconds, kinds, operators: theirs.operators },
      ratios: Object.fromEntries(
        KINDS.filter((kind) => kinds[kind] > 0).map((kind) => [kind, own.kinds[kind] / kinds[kind]]),
      ),
    }),
  };
}

function print({ created, first, step, kernels, operators, kinds }, theirs) {
  console.log(
    `${given}: created in ${created.toFixed(0)} ms, first step ${first.toFixed(0)} ms, then ` +
      `${step.toFixed(1)} ms a step, of which kernels ${kernels.toFixed(1)} ms`,
  );
  console.log(`${'operator'.padEnd(22)}${'nodes'.padStart(7)}${'ms'.padStart(10)}${'share'.padStart(8)}`);
  const sorted = [...operators].sort(([, a], [, b]) => b.milliseconds - a.milliseconds);
  for (const [name, { count, milliseconds }] of sorted.slice(0, 20)) {
    const share = `${((100 * milliseconds) / kernels).toFixed(1)} %`;
    console.log(
      `${name.padEnd(22)}${count.toFixed(0).padStart(7)}${milliseconds.toFixed(2).padStart(10)}${share.padStart(8)}`,
    );
  }
  if (theirs === undefined) return;
  console.log(
    `\nPyTorch: ${theirs.milliseconds.toFixed(1)} ms a step without its profiler. Milliseconds a step by kind:`,
  );
  console.log(sideBySide(kinds, torchKinds(theirs)));
}

/** Numbers between −1 and 1, or labels that every model with two classes has. */
function drawn({ dtype, shape }) {
  const dims = shape.map(Number);
  const size = dims.reduce((a, b) => a * b, 1);
  if (dtype === 'int64') return { data: BigInt64Array.from({ length: size }, (_, i) => BigInt(i % 2)), dims };
  if (dtype === 'int32') return { data: Int32Array.from({ length: size }, (_, i) => i % 2), dims };
  return { data: Float32Array.from({ length: size }, () => 2 * Math.random() - 1), dims };
}
