import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { expect, test } from 'vitest';

const SOURCE = import.meta.dirname;

/** The folders from the ground up, and the files beside them: the table in docs/architecture.md. */
const FLOORS: readonly string[] = [
  'errors',
  'nearest-names',
  'tensor',
  'random',
  'factor',
  'expression',
  'program',
  'schedule',
  'component',
  'optimizer',
  'options',
  'kinds',
  'pieces',
  'plan',
  'device',
  'run',
  'compose',
  'runner',
  'states',
  'index',
];

const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' })
  .map((file) => file.replaceAll('\\', '/'))
  .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts') && !file.includes('/testing/'));

const floorOf = (file: string): number => FLOORS.indexOf(file.split('/')[0].replace(/\.ts$/, ''));

/** What a file loads: imports of types are gone by then. */
function loadedBy(file: string): readonly string[] {
  const text = readFileSync(join(SOURCE, file), 'utf8');
  const imports = text.matchAll(/^(?:import|export) (?!type )[^;]*?from '(\.[^']+)\.js';/gm);
  return Array.from(imports, ([, path]) => relative(SOURCE, join(SOURCE, file, '..', path)).replaceAll('\\', '/'));
}

test('every folder of the package stands on a floor', () => {
  expect(files.filter((file) => floorOf(file) < 0)).toEqual([]);
});

test('a folder loads those below it only, so none of them go in a circle', () => {
  const loads = files.flatMap((file) => loadedBy(file).map((loaded) => ({ file, loaded })));
  const upwards = loads.filter(({ file, loaded }) => floorOf(loaded) > floorOf(file));
  expect(upwards.map(({ file, loaded }) => `${file} loads ${loaded}`)).toEqual([]);
  expect(loads).toContainEqual({ file: 'compose/define-phased.ts', loaded: 'run/phased-run' });
});

test('the page on the architecture lists the folders in this order', () => {
  const page = readFileSync(join(SOURCE, '../../../docs/architecture.md'), 'utf8');
  const listed = Array.from(page.matchAll(/^\| `([a-z]+)\/`/gm), ([, folder]) => folder);
  const folders = new Set(files.filter((file) => file.includes('/')).map((file) => file.split('/')[0]));
  expect(listed).toEqual(FLOORS.filter((floor) => folders.has(floor)));
});
