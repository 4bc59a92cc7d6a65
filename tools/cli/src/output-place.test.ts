import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addExportCommand } from './export/command.js';
import { addLandscapeCommand } from './landscape/command.js';
import { addLrFindCommand } from './lr-find/command.js';
import { addCompareCommand } from './compare/command.js';
import { requireFolder, requireFolderOf } from './output-place.js';
import { runCommand } from './testing/run-command.js';
import { smallClassifier } from './testing/small-classifier.js';
import { addTrainCommand } from './train/command.js';

const folder = mkdtempSync(join(tmpdir(), 'adakit-place-'));
const model = join(folder, 'net.onnx');
const file = join(folder, 'file');
// What commands run is loaded first: that is not what is timed.
beforeAll(async () => {
  await import('./train/run.js');
  await import('./export/run.js');
  await import('./compare/run.js');
  await import('./lr-find/run.js');
  await import('./landscape/run.js');
  writeFileSync(model, smallClassifier(4, 3));
  writeFileSync(file, '');
}, 300_000);
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** Every option that says where something is written. */
const train = (...more: readonly string[]) => runCommand(addTrainCommand, 'train', model, '--data', 'iris', ...more);
const options: readonly [
  command: string,
  option: string,
  kind: 'folder' | 'file',
  run: (place: string) => Promise<unknown>,
][] = [
  ['train', '--log', 'folder', (place) => train('--log', place)],
  ['train', '--checkpoint', 'folder', (place) => train('--checkpoint', place)],
  ['train', '--out', 'file', (place) => train('--out', place)],
  ['train', '--plot', 'file', (place) => train('--plot', `${place}.svg`)],
  ['export', '--out', 'folder', (place) => runCommand(addExportCommand, 'export', model, '--out', place)],
  [
    'compare',
    '--out',
    'folder',
    (place) =>
      runCommand(addCompareCommand, 'compare', model, '--data', 'iris', '--optimizers', 'adam', '--out', place),
  ],
  [
    'lr-find',
    '--plot',
    'file',
    (place) => runCommand(addLrFindCommand, 'lr-find', model, '--data', 'iris', '--plot', `${place}.svg`),
  ],
  [
    'landscape',
    '--plot',
    'file',
    (place) => runCommand(addLandscapeCommand, 'landscape', '--optimizers', 'adam', '--plot', `${place}.svg`),
  ],
];

describe.each(options)('%s %s', (_, option, kind, run) => {
  const says = (place: string) => new RegExp(`^${option} ${place.replaceAll('.', '[.]')}.*: .`);

  it('names the option and the path that is below a file, within a second', { timeout: 1000 }, async () => {
    await expect(run(join(file, 'below'))).rejects.toThrow(says(join(file, 'below')));
    if (kind === 'folder')
      await expect(run(join(file, 'far', 'below'))).rejects.toThrow(says(join(file, 'far', 'below')));
  });

  it.runIf(process.platform === 'linux')('and one where the system makes none', { timeout: 1000 }, async () => {
    await expect(run('/proc/x')).rejects.toThrow(says('/proc/x'));
  });
});

it('leaves nothing behind where it looked', async () => {
  const before = readdirSync(folder);
  await requireFolder('--log', join(folder, 'new', 'deep'));
  await requireFolder('--log', folder);
  requireFolderOf('--out', join(folder, 'new.onnx'));
  requireFolderOf('--out', file);
  requireFolderOf('--out', '/dev/null');
  expect(readdirSync(folder)).toEqual(before);
});
