import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, inject, test } from 'vitest';
import { readText } from './packages.js';
import { documentedInstall, firstExample, Project } from './project.js';

/** Versions of onnxruntime-node, all that the registry has of the range that the runner accepts; there is no 1.28. */
const runtimes = ['1.20', '1.21', '1.22', '1.23', '1.24', '1.25', '1.26', '1.27', '1.29', '1.30'] as const;

test('the range of ONNX Runtimes is what is tried', () => {
  const next = (version: string) => version.replace(/\d+$/, (minor) => String(Number(minor) + 1));
  const range = `>=${runtimes[0]}.0 <${next(runtimes[runtimes.length - 1])}.0`;
  const runner = JSON.parse(readText('packages/runner-onnx/package.json')) as Record<string, Record<string, string>>;
  const command = JSON.parse(readText('tools/cli/package.json')) as Record<string, Record<string, string>>;
  expect(runner.peerDependencies['onnxruntime-node']).toBe(range);
  expect(command.dependencies['onnxruntime-node']).toBe(range);
});

test.each(runtimes)('the runner trains on onnxruntime-node %s', async (version) => {
  const readme = readText('packages/runner-onnx/README.md');
  const others = documentedInstall(readme).filter((name) => !name.startsWith('onnxruntime-node'));
  const project = new Project(mkdtempSync(join(inject('workspace'), 'runtime-')), inject('registry'));
  await project.install('pnpm', [...others, `onnxruntime-node@${version}`]);
  await project.run(firstExample(readme));
  // Each is some 200 MB, linked from the store.
  rmSync(project.directory, { recursive: true });
});
