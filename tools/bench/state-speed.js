// How fast state files are written and read, against a copy of the same file by the operating system.
//
//   npm run build && node tools/bench/state-speed.js [--mib 1024] [--runs 5] [--directory /tmp]
//
// Runs are interleaved and every round begins with another operation, so that whatever else the machine does meets all of
// them; the result is the median and the quotients of medians. Files are written to new names, in a file system that has
// just been flushed. Writing and one of the copies end when the data is on the disk (fsync).

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { crc32 } from 'node:zlib';
import { openState, readState, writeState } from '@adakit/state/node';

const { values } = parseArgs({
  options: {
    mib: { type: 'string', default: '1024' },
    runs: { type: 'string', default: '5' },
    directory: { type: 'string', default: tmpdir() },
  },
});
const mib = Number(values.mib);
const runs = Number(values.runs);
const directory = mkdtempSync(join(values.directory, 'adakit-bench-'));
const file = join(directory, 'state.safetensors');
const fresh = join(directory, 'fresh.safetensors');

/** Parameters of 16 MiB with two slots, as Adam has. */
function makeState() {
  const length = 4 * 2 ** 20;
  const tensor = (seed) => ({
    dtype: 'float32',
    shape: [length],
    data: Float32Array.from({ length }, (_, i) => seed + i),
  });
  const parameters = Array.from({ length: Math.ceil(mib / 48) }, (_, i) => [
    `layer${i}/weight`,
    { value: tensor(i), step: 1, slots: { expAvg: tensor(i + 0.5), expAvgSq: tensor(-i) } },
  ]);
  const hyperparameters = { lr: 0.001 };
  return {
    optimizer: { kind: 'rule', name: 'adam', hyperparameters, initial: hyperparameters, schedules: {} },
    step: 1,
    parameters: Object.fromEntries(parameters),
    origin: 'benchmark',
  };
}

function flush(path) {
  const handle = openSync(path, 'r+');
  fsyncSync(handle);
  closeSync(handle);
}

const state = makeState();
const arrays = Object.values(state.parameters).flatMap(({ value, slots }) =>
  [value, slots.expAvg, slots.expAvgSq].map(({ data }) => new Uint8Array(data.buffer)),
);

const measured = {
  cp: () => execFileSync('cp', [file, fresh]),
  'cp, fsync': () => {
    execFileSync('cp', [file, fresh]);
    flush(fresh);
  },
  'write (with fsync)': () => writeState(fresh, state),
  'read, verified': () => readState(file),
  verify: async () => {
    const open = await openState(file);
    await open.verify();
    await open.close();
  },
  'SHA-256 in memory': () => {
    for (const bytes of arrays) createHash('sha256').update(bytes).digest();
  },
  'CRC-32 in memory': () => {
    for (const bytes of arrays) crc32(bytes);
  },
};

const seconds = Object.fromEntries(Object.keys(measured).map((name) => [name, []]));
try {
  await writeState(file, state);
  await readState(file);
  for (let run = 0; run < runs; run++) {
    const operations = Object.entries(measured);
    const first = run % operations.length;
    for (const [name, operation] of [...operations.slice(first), ...operations.slice(0, first)]) {
      rmSync(fresh, { force: true });
      execFileSync('sync', ['-f', directory]); // What was written before must not be flushed at this one's expense.
      await setTimeout(200);
      const start = performance.now();
      await operation();
      seconds[name].push((performance.now() - start) / 1000);
    }
  }
} finally {
  rmSync(directory, { recursive: true });
}

const median = (name) => seconds[name].toSorted((a, b) => a - b)[Math.floor(runs / 2)];
const size = arrays.reduce((sum, { length }) => sum + length, 0) / 2 ** 20;
console.log(
  `${size} MiB in ${arrays.length} tensors, ${runs} runs, ${availableParallelism()} cores, Node ${process.version}`,
);
console.table(
  Object.fromEntries(
    Object.keys(measured).map((name) => [
      name,
      {
        'median s': Number(median(name).toFixed(2)),
        'least s': Number(Math.min(...seconds[name]).toFixed(2)),
        'most s': Number(Math.max(...seconds[name]).toFixed(2)),
        'MiB/s': Math.round(size / median(name)),
        'of cp': Number((median(name) / median('cp')).toFixed(2)),
        'of cp, fsync': Number((median(name) / median('cp, fsync')).toFixed(2)),
      },
    ]),
  ),
);
