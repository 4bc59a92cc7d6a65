import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, inject, test } from 'vitest';
import { bundledSize, type Bundler } from './bundle.js';
import { publishedPackages } from './packages.js';
import { Project } from './project.js';

const rules = publishedPackages()
  .filter(({ manifest }) => manifest.nx?.tags.includes('layer:rule'))
  .map(({ manifest }) => manifest.name);

let project: Project;
beforeAll(async () => {
  project = new Project(mkdtempSync(join(inject('workspace'), 'project-')), inject('registry'));
  await project.install('npm', [...rules, '@adakit/runner-tfjs']);
});

const optimizer = `
  import { adabelief } from '@adakit/adabelief';
  globalThis.optimizer = adabelief();
`;
const onTensorFlow = `
  import { adabelief } from '@adakit/adabelief';
  import { tfjsOptimizer } from '@adakit/runner-tfjs';
  globalThis.optimizer = tfjsOptimizer(adabelief());
`;

// kB (1000 bytes) after gzip -9, of what a page loads before it trains. One file holds what is fetched later as well.
test.each<[what: string, bundler: Bundler, limit: number, code: string]>([
  ['an optimizer', 'esbuild', 6.6, optimizer],
  ['an optimizer', 'esbuild --splitting', 6.6, optimizer],
  ['an optimizer', 'vite', 6.4, optimizer],
  ['an optimizer on TensorFlow.js, which counts apart,', 'esbuild', 29.5, onTensorFlow],
  ['an optimizer on TensorFlow.js, which counts apart,', 'esbuild --splitting', 18, onTensorFlow],
  ['an optimizer on TensorFlow.js, which counts apart,', 'vite', 18, onTensorFlow],
])('%s weighs less with %s than %d kB', async (_, bundler, limit, code) => {
  expect((await bundledSize(bundler, project.directory, code)) / 1000).toBeLessThan(limit);
});

test.each(rules)('%s weighs less than 10 kB with core', async (rule) => {
  const size = await bundledSize('esbuild', project.directory, `export * from '${rule}';`);
  expect(size / 1000).toBeLessThan(10);
});
