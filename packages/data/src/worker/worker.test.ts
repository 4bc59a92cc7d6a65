import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import type { Dataset } from '../dataset/dataset.js';
import type { Batch } from '../dataset/example.js';
import { fromArrays, fromStream } from '../dataset/from.js';
import { DataError } from '../error.js';
import { fromWorker, type FromWorkerOptions } from './from-worker.js';
import { serveDataset } from './serve-dataset.js';

const ports: MessagePort[] = [];
afterEach(() => {
  for (const port of ports.splice(0)) port.close();
});

/** A dataset as it is read through a channel, both ends of which are here. */
function through<T>(dataset: Dataset<T>, options?: FromWorkerOptions): Promise<Dataset<T>> {
  const { port1, port2 } = new MessageChannel();
  ports.push(port1, port2);
  serveDataset(dataset, port1);
  return fromWorker<T>(port2, options);
}

const batches = fromArrays({
  x: { data: Float32Array.from({ length: 20 }, (_, i) => i / 2), dims: [10, 2] },
  labels: BigInt64Array.from({ length: 10 }, (_, i) => BigInt(i)),
})
  .shuffle(3)
  .batch(4);

async function all<T>(elements: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const element of elements) list.push(element);
  return list;
}

describe('a dataset that a worker serves', () => {
  it('has the elements, the length and the description of the dataset, pass after pass', async () => {
    const served = await through(batches);
    expect([served.description, served.length, served.isIndexed]).toEqual([batches.description, 3, false]);
    for (const pass of [0, 1, 0]) expect(await all(served.read(pass))).toEqual(await all(batches.read(pass)));
  });

  it('goes on from a position that was taken here or there', async () => {
    const served = await through(batches);
    for (const [one, other] of [
      [served, batches],
      [batches, served],
    ]) {
      const reader = one.reader();
      for (let i = 0; i < 5; i++) await reader.next();
      const position = reader.position();
      const next = await reader.next();
      const resumed = other.reader();
      await resumed.resume(position);
      expect(await resumed.next()).toEqual(next);
      await Promise.all([reader.close(), resumed.close()]);
    }
  });

  it('reads several passes at once', async () => {
    const served = await through(batches);
    const [first, second] = [served.reader(), served.reader()];
    await second.resume({ pass: 7, taken: 1, data: batches.description });
    const [a, b, c] = [await first.next(), await second.next(), await first.next()];
    const pass = await all(batches.read(0));
    expect([a, b, c]).toEqual([pass[0], (await all(batches.read(7)))[1], pass[1]]);
  });

  it('leaves the arrays of the data as they are', async () => {
    const kept = await batches.collect();
    const served = await through(kept);
    expect(await all(served)).toEqual(await all(served));
    const [batch] = await all(kept);
    expect(batch.x.data).toHaveLength(8);
  });

  it('takes a part of a larger array alone', async () => {
    const large = new Float32Array(1000);
    const served = await through(fromStream('parts', () => [{ x: { data: large.subarray(3, 5), dims: [2] } }]));
    const [{ x }] = await all(served);
    expect(x.data.buffer.byteLength).toBe(8);
  });

  it('is prepared so many elements ahead, and no more', async () => {
    let made = 0;
    const counted = fromStream('numbers', function* () {
      for (;;) yield { n: ++made };
    });
    const served = await through(counted, { ahead: 3 });
    const reader = served.reader();
    for (const taken of [1, 2, 3]) {
      expect(await reader.next()).toEqual({ n: taken });
      // Time enough for many more.
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(made).toBe(taken + 3);
    }
    await reader.close();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(made).toBe(6);
  });

  it('lets go of what it reads when reading ends early', async () => {
    let closed = false;
    const file = fromStream('a file', function* () {
      try {
        for (let n = 0; ; n++) yield { n };
      } finally {
        closed = true;
      }
    });
    const reader = (await through(file)).reader();
    await reader.next();
    await reader.close();
    await expect.poll(() => closed).toBe(true);
  });

  it('is no longer waited for when reading ends, so that it does not keep Node running', async () => {
    const { port1, port2 } = new MessageChannel();
    ports.push(port1, port2);
    serveDataset(
      fromStream('stalled', async function* () {
        yield { n: 1 };
        await new Promise(() => undefined);
        yield { n: 2 };
      }),
      port1,
    );
    let held = false;
    const holding = (holds: boolean) => () => {
      held = holds;
      return port2;
    };
    const port = Object.assign(port2, { ref: holding(true), unref: holding(false) });
    const reader = (await fromWorker(port)).reader();
    await reader.next();
    const next = reader.next();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(held).toBe(true);
    await reader.close();
    expect(await next).toBeUndefined();
    expect(held).toBe(false);
    expect(reader.position()).toMatchObject({ pass: 0, taken: 1 });
  });

  it('throws what the data throw, with their code', async () => {
    const broken = await through(
      batches.map(({ labels }) => {
        if (labels.data.length < 4) throw new DataError('invalid-data', 'a batch is too small');
        return { labels };
      }),
    );
    const reader = broken.reader();
    await Promise.all([reader.next(), reader.next()]);
    await expect(reader.next()).rejects.toMatchObject({ code: 'invalid-data', message: 'a batch is too small' });
    const wrong = await through(batches.map(() => Promise.reject<Batch>(new TypeError('x is not a function'))));
    await expect(wrong.reader().next()).rejects.toThrow('x is not a function');
  });
});

describe('a worker', () => {
  const served = (code: string) => fromWorker(new Worker(code, { eval: true }));

  it('that ends before it serves anything is an error', async () => {
    await expect(served('')).rejects.toThrow(
      expect.objectContaining({
        code: 'cannot-read',
        message:
          'the worker that serves the data has ended: it ended with code 0; its module has to call serveDataset(dataset, parentPort)',
      }),
    );
    await expect(served('throw new Error("no such table")')).rejects.toThrow(
      'the worker that serves the data has ended: no such table',
    );
  });

  it.each([
    ["'no such table'", 'no such table'],
    ['null', 'null'],
  ])('that ends with something thrown that is no error, %s, is an error', async (thrown, text) => {
    await expect(served(`throw ${thrown}`)).rejects.toThrow(`the worker that serves the data has ended: ${text};`);
  });

  it('that had ended before is an error, and nobody waits for it', async () => {
    const worker = new Worker('', { eval: true });
    await worker.terminate();
    await expect(fromWorker(worker)).rejects.toThrow('the worker that serves the data has ended: it had ended before;');
  });

  it('that ends while it is read is an error, now and later', async () => {
    const dataset = await served(`
      const { parentPort } = require('node:worker_threads');
      parentPort.postMessage({ tell: 'description', description: 'numbers' });
      parentPort.on('message', ({ ask, stream }) => {
        if (ask === 'read') parentPort.postMessage({ tell: 'element', stream, element: { n: 1 } });
        if (ask === 'more') process.exit(3);
      });
    `);
    const reader = dataset.reader();
    expect(await reader.next()).toEqual({ n: 1 });
    await expect(reader.next()).rejects.toThrow('has ended: it ended with code 3');
    await expect(dataset.reader().next()).rejects.toThrow('has ended: it ended with code 3');
  });
});

it('there is nothing to serve to outside of a worker', () => {
  expect(() => {
    serveDataset(batches, null);
  }).toThrow('serveDataset: there is no port; run this module as a worker');
});

it('at least one element is prepared ahead', async () => {
  await expect(through(batches, { ahead: 0 })).rejects.toThrow(
    'fromWorker: ahead must be a whole number of at least 1, got 0',
  );
});
