import { execFileSync } from 'node:child_process';
import fs, {
  fstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adam } from '@adakit/adam';
import { accumulate, type TrainingState } from '@adakit/core';
import { Checkpoints } from '@adakit/state/node';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { fit, progress, shortNumber, type Callback } from '../index.js';
import type { CheckpointStore } from '../loop/options.js';
import { jsonLines, tensorBoard } from '../node/index.js';
import { Line, points } from '../testing/line.js';
import { mortal } from '../testing/mortal-store.js';
import { crc32c, encodeEvents } from './events.js';

// ADAKIT_PYTHON=python3 npx vitest run packages/fit/src/logs; needs the package tensorboard.
const PYTHON = process.env.ADAKIT_PYTHON;
const script = join(import.meta.dirname, '../../../../tools/fixtures/python/tensorboard_events.py');

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'adakit-logs-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const data = () => points(16).batch(8);
const validation = () => points(4).batch(4);

describe('JSON lines', () => {
  const entries = (path: string): Record<string, unknown>[] =>
    readFileSync(path, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => {
        const { time, ...entry } = JSON.parse(line) as Record<string, unknown>;
        expect(Math.abs(Number(time) - Date.now() / 1000)).toBeLessThan(60);
        return entry;
      });

  it('hold steps, validations, epochs and the end', async () => {
    const path = join(folder, 'new/log.jsonl');
    const { history } = await fit(new Line(), data(), { validation: validation(), callbacks: [jsonLines(path)] });
    const log = entries(path);
    expect(log.map(({ event, step, epoch }) => [event, step, epoch])).toEqual([
      ['step', 1, 1],
      ['step', 2, 1],
      ['validation', 2, 1],
      ['epoch', 2, 1],
      ['end', 2, undefined],
    ]);
    expect(log[2].values).toEqual(history[0].validation);
    expect(log[3].lr).toBe(0.05);
    expect(log[4].reason).toBe('completed');
  });

  it('of a resumed run are those of a whole one', async () => {
    const [whole, path] = [join(folder, 'whole.jsonl'), join(folder, 'resumed.jsonl')];
    await fit(new Line(), data(), { epochs: 4, callbacks: [jsonLines(whole)] });
    const directory = join(folder, 'checkpoints');
    const store = mortal(await Checkpoints.open(directory), 7);
    const dying: Callback = {
      onStep: ({ step }) => {
        if (step === 7) throw new Error('dead');
      },
    };
    await expect(
      fit(new Line(), data(), {
        epochs: 4,
        checkpoints: { store, everySteps: 3 },
        callbacks: [jsonLines(path), dying],
      }),
    ).rejects.toThrow('dead');
    writeFileSync(path, '{"event":"st', { flag: 'a' });
    await fit(new Line(), data(), {
      epochs: 4,
      checkpoints: { store: await Checkpoints.open(directory), resume: true },
      callbacks: [jsonLines(path)],
    });
    expect(entries(path)).toEqual(entries(whole));
  });

  it('of a run that was killed tell of no batch and no validation twice', async () => {
    const options = { epochs: 5, validation: validation() };
    const model = () => new Line(accumulate(3, adam({ lr: 0.05 })));
    const [whole, board] = [join(folder, 'collected.jsonl'), join(folder, 'collected')];
    await fit(model(), data(), { ...options, callbacks: [jsonLines(whole), tensorBoard(board)] });
    const count = entries(whole).length;
    // Killed behind every line in turn: the checkpoint may be of any moment before.
    for (let line = 1; line < count; line++) {
      const [path, directory, events] = ['.jsonl', '', '-events'].map((end) => join(folder, `killed-${line}${end}`));
      const store = await Checkpoints.open(directory);
      let written = 0;
      const dead = (): void => {
        if (++written >= line) throw new Error('dead');
      };
      const killed: Callback = { onStep: dead, onValidation: dead, onEpoch: dead };
      const alive: CheckpointStore = {
        latest: () => store.latest(),
        best: () => store.best(),
        save: (state, about) => (written >= line ? Promise.reject(new Error('dead')) : store.save(state, about)),
      };
      const checkpoints = { store: alive, everySteps: 1 };
      const callbacks = [jsonLines(path), tensorBoard(events)];
      await expect(
        fit(model(), data(), { ...options, checkpoints, callbacks: [...callbacks, killed] }),
      ).rejects.toThrow('dead');
      if ((await store.latest()) === undefined) continue;
      await fit(model(), data(), { ...options, checkpoints: { store, everySteps: 1, resume: true }, callbacks });
      expect(entries(path), `killed behind line ${line}`).toEqual(entries(whole));
      expect(shown(events), `killed behind line ${line}`).toEqual(shown(board));
    }
  });

  it('are cut back from the end, however much there is', async () => {
    const path = join(folder, 'long.jsonl');
    const entry = (step: number) => `{"event":"step","step":${step},"epoch":1,"batch":${step},"loss":1,"time":1}\n`;
    const lines = Array.from({ length: 5000 }, (_, i) => entry(i + 1));
    for (const [resumed, left] of [
      [{ step: 4999, epochs: 0, batch: 4999 }, 4999],
      [{ step: 17, epochs: 0, batch: 17 }, 17],
      [{ step: 0, epochs: 0, batch: 0 }, 0],
    ] as const) {
      writeFileSync(path, `${lines.join('')}{"event":"end","step":5000}\n{"event":"ste`);
      const log = jsonLines(path);
      const control = { stop: () => undefined };
      await log.onStart?.({ resumed }, control);
      await log.onEnd?.(undefined, control);
      expect(readFileSync(path, 'utf8')).toBe(lines.slice(0, left).join(''));
    }
  });
});

it('logs are on the disk before the checkpoint that has what they tell of', async () => {
  const { fdatasyncSync } = fs;
  const directory = join(folder, 'synced');
  const done: string[] = [];
  fs.fdatasyncSync = (descriptor) => {
    const { ino } = fstatSync(descriptor);
    const name = readdirSync(directory).find((each) => statSync(join(directory, each)).ino === ino);
    done.push(String(name).replace(/^events.*/, 'events'));
    fdatasyncSync(descriptor);
  };
  syncBuiltinESMExports();
  try {
    const store = await Checkpoints.open(join(directory, 'checkpoints'));
    const alive: CheckpointStore = {
      latest: () => store.latest(),
      best: () => store.best(),
      save: (state, about) => {
        const logged = readFileSync(join(directory, 'log.jsonl'), 'utf8').split('\n').length - 1;
        done.push(`step ${state.step} behind ${logged} lines`);
        return store.save(state, about);
      },
    };
    await fit(new Line(), data(), {
      checkpoints: { store: alive },
      callbacks: [jsonLines(join(directory, 'log.jsonl')), tensorBoard(directory), jsonLines('/dev/null')],
    });
    expect(done).toEqual(['log.jsonl', 'events', 'step 2 behind 3 lines']);
  } finally {
    fs.fdatasyncSync = fdatasyncSync;
    syncBuiltinESMExports();
  }
});

it('a log whose disk is full ends the run, says that it has a gap, and is whole from the checkpoint before', async () => {
  const { writeSync } = fs;
  const path = join(folder, 'full.jsonl');
  const saved: TrainingState[] = [];
  const store: CheckpointStore = {
    latest: () => Promise.resolve(saved.length === 0 ? undefined : { state: saved[saved.length - 1] }),
    best: () => Promise.resolve(undefined),
    save: (state) => {
      saved.push(state);
      return Promise.resolve(path);
    },
  };
  const run = (callbacks: readonly Callback[] = []) =>
    fit(new Line(), data(), {
      epochs: 3,
      checkpoints: { store, resume: true },
      callbacks: [jsonLines(path), ...callbacks],
    });
  const full = () => {
    fs.writeSync = () => {
      throw new Error('ENOSPC: no space left on device, write');
    };
    syncBuiltinESMExports();
  };
  try {
    await expect(
      run([
        {
          onEpoch: ({ epoch }) => {
            if (epoch === 2) full();
          },
        },
      ]),
    ).rejects.toThrow(
      `failed at step 4: ENOSPC: no space left on device, write; ${path} lacks the end of what was logged, also when ` +
        'training goes on from this step; from the checkpoint before, it becomes whole; the state of the training is whole',
    );
  } finally {
    fs.writeSync = writeSync;
    syncBuiltinESMExports();
  }
  expect(saved.map(({ step }) => step)).toEqual([2, 4]);
  const logged = () => {
    const lines = readFileSync(path, 'utf8').trim().split('\n');
    return lines
      .map((line) => JSON.parse(line) as { event: string; step: number })
      .filter(({ event }) => event === 'step')
      .map(({ step }) => step);
  };
  expect(logged()).toEqual([1, 2]);
  saved.pop();
  await run();
  expect(logged()).toEqual([1, 2, 3, 4, 5, 6]);
});

interface Field {
  readonly field: number;
  readonly value: number | Uint8Array;
}

/** The fields of a protobuf message. */
function fields(message: Uint8Array): Field[] {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  let at = 0;
  const varint = (): number => {
    let [value, scale] = [0, 1];
    for (; message[at] >= 128; scale *= 128) value += (message[at++] - 128) * scale;
    return value + message[at++] * scale;
  };
  const result: Field[] = [];
  while (at < message.length) {
    const tag = varint();
    const field = tag >> 3;
    if ((tag & 7) === 0) result.push({ field, value: varint() });
    else if ((tag & 7) === 1) result.push({ field, value: view.getFloat64((at += 8) - 8, true) });
    else if ((tag & 7) === 5) result.push({ field, value: view.getFloat32((at += 4) - 4, true) });
    else {
      const length = varint();
      result.push({ field, value: message.subarray(at, (at += length)) });
    }
  }
  return result;
}

/** Scalars, starts and checkpoints of an event file, its checksums checked. */
function readEvents(path: string): [step: number, what: string, value?: number][] {
  const file = readFileSync(path);
  const check = (data: Uint8Array, at: number): void => {
    const masked = file.readUInt32LE(at);
    const rotated = (masked - 0xa282ead8) >>> 0;
    expect(((rotated >>> 17) | (rotated << 15)) >>> 0).toBe(crc32c(data));
  };
  const events: [number, string, number?][] = [];
  for (let at = 0; at < file.length;) {
    const length = Number(file.readBigUInt64LE(at));
    check(file.subarray(at, at + 8), at + 8);
    const data = file.subarray(at + 12, at + 12 + length);
    check(data, at + 12 + length);
    at += length + 16;
    const event = fields(data);
    const step = Number(event.find(({ field }) => field === 2)?.value);
    for (const { field, value } of event) {
      if (field === 3) events.push([step, String(Buffer.from(value as Uint8Array))]);
      if (field === 7) events.push([step, fields(value as Uint8Array)[0].value === 1 ? 'start' : 'checkpoint']);
      if (field !== 5) continue;
      for (const scalar of fields(value as Uint8Array)) {
        const [tag, number] = fields(scalar.value as Uint8Array);
        events.push([step, String(Buffer.from(tag.value as Uint8Array)), number.value as number]);
      }
    }
  }
  return events;
}

/** The scalars of a directory that TensorBoard shows: a start voids what is of its step and later. */
function shown(directory: string): ReturnType<typeof readEvents> {
  let events: ReturnType<typeof readEvents> = [];
  for (const name of readdirSync(directory).sort()) {
    for (const event of readEvents(join(directory, name))) {
      if (event[1] === 'start') events = events.filter(([step]) => step < event[0]);
      if (event.length === 3) events.push(event);
    }
  }
  return events;
}

describe('TensorBoard', () => {
  test('checksums are CRC-32C (RFC 3720, B.4)', () => {
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
    expect(crc32c(new TextEncoder().encode('123456789'))).toBe(0xe3069283);
  });

  it('reads events of any length', () => {
    // A summary and a tag of more than 127 bytes, whose lengths take two.
    const scalars = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`${'m'.repeat(5 * i)}/validation`, i]));
    const path = join(folder, 'long');
    writeFileSync(path, encodeEvents([{ time: 1, step: 2 ** 40, scalars }, { time: 2, step: 3, version: 'v' }])); // prettier-ignore
    expect(readEvents(path)).toEqual([...Object.entries(scalars).map((entry) => [2 ** 40, ...entry]), [3, 'v']]);
  });

  it('reads what a resumed run adds last, whatever the clock says', async () => {
    const directory = join(folder, 'clock');
    mkdirSync(directory);
    const ahead = `events.out.tfevents.${Math.floor(Date.now() / 1000) + 3600}.host.1.1`;
    writeFileSync(join(directory, ahead), '');
    await fit(new Line(), data(), { callbacks: [tensorBoard(directory)] });
    await fit(new Line(), data(), { callbacks: [tensorBoard(directory)] });
    const names = readdirSync(directory).sort();
    expect([names[0], ...names.map((name) => readFileSync(join(directory, name)).length > 0)]).toEqual([
      ahead,
      false,
      true,
      true,
    ]);
  });

  it('cuts back what a resumed run tells again, wherever the checkpoint is in however large a file', async () => {
    const place = { step: 12, epochs: 1, batch: 2, lastValidation: { step: 10, epoch: 1 } };
    const directory = join(folder, 'large');
    mkdirSync(directory);
    const [old, path, other] = [1, 2, 3].map((i) => join(directory, `events.out.tfevents.000000000${i}.host.1.1`));
    const saved = encodeEvents([{ time: 1, step: 12, checkpoint: JSON.stringify(place) }]);
    const resume = async () => {
      const log = tensorBoard(directory);
      await log.onStart?.({ resumed: place }, { stop: () => undefined });
      await log.onEnd?.(undefined, { stop: () => undefined });
      // What this run has written is not what it is about.
      readdirSync(directory)
        .filter((name) => !/000000000\d/.test(name))
        .forEach((name) => {
          rmSync(join(directory, name));
        });
    };
    for (const behind of [0, 1, 2 ** 20 - saved.length, 2 ** 20 - 40, 2 ** 20 - 4, 2 ** 20, 2 ** 21 - 100]) {
      writeFileSync(old, Buffer.concat([saved, new Uint8Array(3)]));
      writeFileSync(path, Buffer.concat([new Uint8Array(9), saved, saved, new Uint8Array(behind)]));
      writeFileSync(other, new Uint8Array(7));
      await resume();
      expect([old, path, other].map((file) => readFileSync(file).length)).toEqual([
        saved.length + 3,
        9 + 2 * saved.length,
        7,
      ]);
    }
    // The disk was full in the middle of the record, and the state was saved all the same.
    writeFileSync(path, saved.subarray(0, -3));
    await resume();
    expect(readFileSync(path).length).toBe(saved.length - 3);
  });

  it('finds every number in the event file', async () => {
    const directory = join(folder, 'events');
    const { history } = await fit(new Line(), data(), {
      validation: validation(),
      callbacks: [tensorBoard(directory)],
    });
    const [name] = readdirSync(directory);
    const events = readEvents(join(directory, name));
    expect(events.map(([step, what]) => [step, what])).toEqual([
      [0, 'brain.Event:2'],
      [0, 'start'],
      [1, 'loss/train'],
      [2, 'loss/train'],
      [2, 'loss/validation'],
      [2, 'loss/epoch'],
      [2, 'lr'],
    ]);
    expect(events[5][2]).toBe(Math.fround(history[0].loss));
    expect(events[6][2]).toBe(Math.fround(0.05));
    if (PYTHON !== undefined) {
      const read = JSON.parse(execFileSync(PYTHON, [script, directory], { encoding: 'utf8' })) as unknown;
      expect(read).toEqual({
        'loss/train': events.slice(2, 4).map(([step, , value]) => [step, value]),
        'loss/validation': [[2, events[4][2]]],
        'loss/epoch': [[2, events[5][2]]],
        lr: [[2, events[6][2]]],
      });
    }
  });
});

describe('progress', () => {
  const run = async (isTTY: boolean, milliseconds = 3000): Promise<string> => {
    let text = '';
    let time = 0;
    const stream = { isTTY, columns: 100, write: (part: string) => void (text += part) };
    await fit(new Line(), data(), {
      epochs: 2,
      validation: validation(),
      callbacks: [progress(stream, { now: () => (time += milliseconds) })],
    });
    return text;
  };

  it('is one line on a terminal, with loss, rate and time left, and a line that stays for every epoch', async () => {
    const text = await run(true);
    expect(text).toMatch(/\r\x1b\[Kepoch 2\/2 {2}step 4 {2}batch 2\/2 {2}loss [\d.]+ {2}[\d.]+ steps\/s {2}0:00 left/);
    expect(text).toMatch(/step 2: validation loss [\d.]+\nepoch 1\/2: step 2, training loss [\d.]+\n/);
    expect(text.endsWith('\n')).toBe(true);
  });

  it('is plain lines elsewhere', async () => {
    const text = await run(false);
    expect(text).not.toContain('\x1b');
    expect(text).toMatch(/^epoch 2\/2: step 4, training loss /m);
  });

  it.each([
    ['a terminal', true, 100],
    ['lines', false, 10_000],
  ])('on %s is not told of every step', async (_, isTTY, interval) => {
    // The clock goes on with every step and every batch of a validation.
    const steps = async (milliseconds: number) => (await run(isTTY, milliseconds)).match(/batch \d\/2 {2}loss/g) ?? [];
    expect(await steps(interval)).toHaveLength(4);
    expect((await steps(interval / 2)).length).toBeLessThan(4);
    expect(await steps(interval / 100)).toEqual([]);
  });

  test('numbers are short', () => {
    expect([0.12345678, 1234567, 1e-7, 0, NaN].map(shortNumber)).toEqual(['0.1235', '1235000', '1.00e-7', '0', 'NaN']);
  });
});
