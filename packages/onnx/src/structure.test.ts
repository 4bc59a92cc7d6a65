import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, test } from 'vitest';
import { operators } from './operators/index.js';

const SOURCE = import.meta.dirname;

/** The folders from the ground up: each imports from those before it, and from itself. */
const FLOORS = [
  'error',
  'budget',
  'given',
  'model',
  'shape',
  'graph',
  'entry',
  'operators',
  'inference',
  'verify',
  'gradient',
  'target',
  'passes',
  'memory',
  'optimizer',
  'loss',
  'trainable',
  'edit',
  'batch',
  'training',
  'artifacts',
  'check',
  'index',
  'internal',
] as const;

const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'))
  .map((file) => file.replaceAll('\\', '/'));

function importsOf(file: string): readonly string[] {
  const text = readFileSync(join(SOURCE, file), 'utf8');
  return Array.from(text.matchAll(/from '(\.[^']+)\.js'/g), ([, path]) =>
    relative(SOURCE, join(SOURCE, file, '..', path)).replaceAll('\\', '/'),
  );
}

function floorOf(file: string): number {
  return (FLOORS as readonly string[]).indexOf(file.split('/')[0].replace(/\.ts$/, ''));
}

describe('the folders of the package', () => {
  test('stand on one floor each', () => {
    expect(files.filter((file) => floorOf(file) < 0)).toEqual([]);
  });

  test('import from the floors below only, so none of them go in a circle', () => {
    const upwards = files.flatMap((file) =>
      importsOf(file)
        .filter((imported) => floorOf(imported) > floorOf(file))
        .map((imported) => `${file} imports ${imported}`),
    );
    expect(upwards).toEqual([]);
  });
});

test('every entry is exported under the name of its operator', async () => {
  const families = files.filter((file) => file.startsWith('operators/') && file !== 'operators/index.ts');
  const exported = await Promise.all(
    families.map(
      (file) =>
        import(/* @vite-ignore */ pathToFileURL(join(SOURCE, file)).href) as Promise<
          Record<string, { readonly op: string }>
        >,
    ),
  );
  const entries = exported.flatMap((family) => Object.entries(family));
  expect(entries.filter(([name, { op }]) => name !== op)).toEqual([]);
  expect(entries.length).toBe(operators.size);
});
