import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import type { TrainingState } from '@adakit/core';
import { openState, readState, writeState } from '@adakit/state/node';
import { compare, ratioOf, timed, type Contender } from '@adakit/cli/internal/measure';
import type { Row, Suite, SuiteOptions } from '../suite.js';

/** A layer is 16 MiB with two slots as large. */
const LAYER = 4 * 2 ** 20;
const LAYERS = 22;

export const state: Suite = {
  title: 'State files',
  method:
    'Writing and reading a state of about 1 GiB, against copies of the same file by the operating system. Files are written to new ' +
    'names, in a file system that has just been flushed. Writing and one of the copies end when the data is on the disk (fsync).',
  measure,
};

async function* measure({ only, rounds = 5 }: SuiteOptions): AsyncIterable<Row> {
  const folder = mkdtempSync(join(tmpdir(), 'adakit-state-'));
  const [file, fresh] = ['state.safetensors', 'fresh.safetensors'].map((name) => join(folder, name));
  const written = makeState();
  const arrays = Object.values(written.parameters).flatMap(({ value, slots }) =>
    [value, ...Object.values(slots)].map(({ data }) => new Uint8Array(data.buffer)),
  );
  const mebibytes = arrays.reduce((sum, { length }) => sum + length, 0) / 2 ** 20;
  const actions: Readonly<Record<string, () => unknown>> = {
    cp: () => execFileSync('cp', [file, fresh]),
    'cp, fsync': () => {
      execFileSync('cp', [file, fresh]);
      flush(fresh);
    },
    'write, fsync': () => writeState(fresh, written),
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
  try {
    await writeState(file, written);
    const contenders = Object.fromEntries(
      Object.entries(actions).map(([name, action]): [string, Contender] => {
        const measured = timed(action);
        return [
          name,
          async () => {
            rmSync(fresh, { force: true });
            // What was written before must not be flushed at this one's expense.
            execFileSync('sync', ['-f', folder]);
            await setTimeout(200);
            return measured();
          },
        ];
      }),
    );
    const times = await compare(contenders, { rounds, warmUps: 1 });
    for (const [name, each] of Object.entries(times)) {
      if (!name.includes(only)) continue;
      const peers = name.startsWith('cp') ? [] : ['cp', 'cp, fsync'];
      yield {
        case: `${mebibytes.toFixed(0)} MiB`,
        name,
        ms: each.median,
        more: { 'MiB/s': mebibytes / (each.median / 1000) },
        ratios: Object.fromEntries(peers.map((peer) => [peer, ratioOf(each, times[peer])])),
      };
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Parameters with two slots, as Adam has. */
function makeState(): TrainingState {
  const tensor = (seed: number) => ({
    dtype: 'float32' as const,
    shape: [LAYER],
    data: Float32Array.from({ length: LAYER }, (_, i) => seed + i),
  });
  const parameters = Array.from({ length: LAYERS }, (_, i) => {
    const slots = { expAvg: tensor(i + 0.5), expAvgSq: tensor(-i) };
    return [`layer${String(i)}/weight`, { value: tensor(i), step: 1, slots }] as const;
  });
  const hyperparameters = { lr: 0.001 };
  return {
    optimizer: { kind: 'rule', name: 'adam', hyperparameters, initial: hyperparameters, schedules: {} },
    step: 1,
    parameters: Object.fromEntries(parameters),
    origin: 'benchmark',
  };
}

function flush(path: string): void {
  const handle = openSync(path, 'r+');
  fsyncSync(handle);
  closeSync(handle);
}
