import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { adamw } from '@adakit/adam';
import type { StoredTensor } from '@adakit/core';
import { dataFile } from '@adakit/fixtures';
import { crossEntropy, exportArtifacts, readModel } from '@adakit/onnx';
import { writeTensors } from '@adakit/state/node';
import { chromium } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TrainingSession } from '../training-session.js';
import { writeArtifacts } from './write-artifacts.js';

const CHROMIUM = process.env.ADAKIT_CHROMIUM ?? '/usr/bin/chromium';
const fixtures = fileURLToPath(new URL('../../../../tools/fixtures/artifacts/', import.meta.url));
const web = dirname(createRequire(import.meta.url).resolve('onnxruntime-web'));
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
};

const PAGE = `<!doctype html><script type="module">
import * as ort from '/web/ort.wasm.min.mjs';
import { train } from '/fixtures/training.mjs';
const read = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer());
window.training = (async () => {
  ort.env.wasm.numThreads = 1;
  const { losses } = await train(ort, { read: (name) => read('/files/' + name), batches: await read('/files/batches'), split: location.hash === '#split' });
  return losses;
})();
</script>`;

let folder: string;
let server: Server;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'adakit-browser-'));
  server = createServer(({ url = '/' }, response) => {
    const [, where, name = ''] = url.split('/');
    const root = { web, fixtures, files: folder }[where];
    response.setHeader(
      'content-type',
      TYPES[extname(name)] ?? (root === undefined ? 'text/html' : 'application/octet-stream'),
    );
    response.end(root === undefined ? PAGE : readFileSync(join(root, name)));
  }).listen(0);
});
afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true });
});

test.skipIf(!existsSync(CHROMIUM))('artifacts train in a browser, on onnxruntime-web alone', async () => {
  const model = await readModel(dataFile('mlp.onnx'));
  const [loss, optimizer, steps] = [crossEntropy(), adamw({ lr: 0.01 }), 10];
  await writeArtifacts(folder, await exportArtifacts(model, { loss, optimizer, target: 'wasm' }));
  const x = Float32Array.from({ length: steps * 80 }, (_, i) => Math.round(64 * Math.sin(i * i)) / 64);
  const labels = BigInt64Array.from({ length: steps * 8 }, (_, i) => BigInt((i * i) % 5));
  const batches: [string, StoredTensor][] = [
    ['x', { dtype: 'F32', shape: [steps, 8, 10], bytes: new Uint8Array(x.buffer) }],
    ['labels', { dtype: 'I64', shape: [steps, 8], bytes: new Uint8Array(labels.buffer) }],
  ];
  await writeTensors(join(folder, 'batches'), new Map(batches));

  const session = await TrainingSession.create({ model, loss, optimizer });
  const expected: number[] = [];
  for (let at = 0; at < steps; at++) {
    const batch = {
      x: { dims: [8, 10], data: x.slice(80 * at, 80 * (at + 1)) },
      labels: { dims: [8], data: labels.slice(8 * at, 8 * (at + 1)) },
    };
    expected.push((await session.step(batch)).loss);
  }
  await session.dispose();

  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
  try {
    const { port } = server.address() as AddressInfo;
    for (const way of ['whole', 'split']) {
      const page = await browser.newPage();
      await page.goto(`http://localhost:${port}/#${way}`);
      await page.waitForFunction('window.training !== undefined');
      const losses = await page.evaluate<number[]>('window.training');
      await page.close();
      // Other kernels sum in another order, sums of up to 24 terms with errors of a few units in the last place (2^-24) each,
      // and what a step is off by stays.
      const off = Math.max(...losses.map((value, i) => Math.abs(value / expected[i] - 1)));
      expect(losses).toHaveLength(steps);
      expect(off, way).toBeLessThan(steps * 2 ** -20);
    }
  } finally {
    await browser.close();
  }
});
