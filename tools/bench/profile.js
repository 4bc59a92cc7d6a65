/**
 * Where a training step goes: ONNX Runtime's own profile, by operator.
 *
 *     npm run profile -- MODEL.onnx [--steps=5] [--threads=1] [--provider=cpu] [--dim=NAME=SIZE] [--update=auto|fused|graph]
 *
 * Free dimensions are fixed, at 4 unless said otherwise; the batch is drawn. Times are of the CPU in a process that profiles,
 * which is slower than one that does not: shares are what to read.
 */
import { adam } from '@adakit/adam';
import { crossEntropy, readModel, specialize } from '@adakit/onnx';
import { TrainingSession } from '@adakit/runner-onnx';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const args = process.argv.slice(2);
const path = args.find((arg) => !arg.startsWith('--'));
if (path === undefined) throw new Error('name a model: npm run profile -- MODEL.onnx');
const option = (name, otherwise) =>
  args.find((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3) ?? otherwise;
const steps = Number(option('steps', 5));
const given = new Map(args.filter((arg) => arg.startsWith('--dim=')).map((arg) => arg.slice(6).split('=')));

const file = await readModel(path);
const shapeOf = ({ type }) => type?.value.value.shape?.dim ?? [];
const free = file.graph.input.flatMap((input) =>
  shapeOf(input).flatMap(({ value }) => (value.case === 'dimParam' ? [value.value] : [])),
);
const model = specialize(file, { dims: Object.fromEntries(free.map((name) => [name, Number(given.get(name) ?? 4)])) });
const classAxis = Number(option('class-axis', shapeOf(file.graph.output[0]).length === 3 ? 2 : 1));

const folder = mkdtempSync(join(tmpdir(), 'adakit-profile-'));
const started = performance.now();
const session = await TrainingSession.create({
  model,
  loss: crossEntropy({ classAxis }),
  optimizer: adam(),
  executionProviders: [option('provider', 'cpu')],
  update: option('update', 'auto'),
  session: {
    intraOpNumThreads: Number(option('threads', 1)),
    enableProfiling: true,
    profileFilePrefix: join(folder, 'run'),
    logSeverityLevel: 3,
  },
});
const created = performance.now() - started;
const batch = Object.fromEntries(session.inputs.map((spec) => [spec.name, drawn(spec)]));
const walls = [];
for (let i = 0; i < steps + 1; i++) {
  const from = performance.now();
  await session.step(batch);
  walls.push(performance.now() - from);
}
await session.dispose();
const events = readdirSync(folder).flatMap((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')));
rmSync(folder, { recursive: true });

const kernels = events.filter(({ cat, name }) => cat === 'Node' && name.endsWith('_kernel_time'));
const byOperator = new Map();
for (const { dur, args: about } of kernels) {
  const entry = byOperator.get(about.op_name) ?? { count: 0, time: 0 };
  byOperator.set(about.op_name, { count: entry.count + 1, time: entry.time + dur });
}
const runs = steps + 1;
const total = kernels.reduce((sum, { dur }) => sum + dur, 0);
const [first, ...others] = walls;
console.log(
  `${path}: created in ${created.toFixed(0)} ms, first step ${first.toFixed(0)} ms, then ` +
    `${others.sort((a, b) => a - b)[Math.floor(others.length / 2)].toFixed(1)} ms a step, of which kernels ${(total / runs / 1000).toFixed(1)} ms`,
);
console.log(`${'operator'.padEnd(22)}${'nodes'.padStart(7)}${'ms'.padStart(10)}${'share'.padStart(8)}`);
for (const [name, { count, time }] of [...byOperator].sort(([, a], [, b]) => b.time - a.time).slice(0, 20)) {
  const share = `${((100 * time) / total).toFixed(1)} %`;
  console.log(
    `${name.padEnd(22)}${String(count / runs).padStart(7)}${(time / runs / 1000).toFixed(2).padStart(10)}${share.padStart(8)}`,
  );
}

/** Numbers between −1 and 1, or labels that every model with two classes has. */
function drawn({ dtype, shape }) {
  const dims = shape.map(Number);
  const size = dims.reduce((a, b) => a * b, 1);
  if (dtype === 'int64') return { data: BigInt64Array.from({ length: size }, (_, i) => BigInt(i % 2)), dims };
  if (dtype === 'int32') return { data: Int32Array.from({ length: size }, (_, i) => i % 2), dims };
  return { data: Float32Array.from({ length: size }, () => 2 * Math.random() - 1), dims };
}
