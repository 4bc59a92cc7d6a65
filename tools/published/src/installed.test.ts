import { mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, inject, test } from 'vitest';
import { filesOf, publishedPackages, readText } from './packages.js';
import { firstExample, Project } from './project.js';
import { documentedInstalls, readmes } from './readmes.js';

const newProject = () => new Project(mkdtempSync(join(inject('workspace'), 'project-')), inject('registry'));

describe('with npm, everything in one project', () => {
  let project: Project;
  beforeAll(async () => {
    project = newProject();
    await project.install('npm', ['@adakit/cli', ...documentedInstalls]);
  });

  test.each(readmes)('the first example of $file runs', async ({ readme }) => {
    await project.run(firstExample(readme));
  });

  test('a worker serves data', async () => {
    writeFileSync(
      join(project.directory, 'batches.js'),
      `import { parentPort, workerData } from 'node:worker_threads';
      import { fromElements, serveDataset } from '@adakit/data';
      serveDataset(fromElements(workerData).map((n) => ({ n })).batch(2), parentPort);`,
    );
    const printed = await project.run(`
      import { Worker } from 'node:worker_threads';
      import { fromWorker, type Batch } from '@adakit/data';
      const worker = new Worker(new URL('./batches.js', import.meta.url), { workerData: [1, 2, 3] });
      for await (const { n } of await fromWorker<Batch>(worker)) console.log(n.data.join(' '));
    `);
    // And the program has ended, though nobody has ended the worker.
    expect(printed).toBe('1 2\n3\n');
  });

  test('Node.js loads what has been bundled for it', async () => {
    const printed = await project.run(`
      for (const name of ['core', 'core/states', 'state/node', 'onnx', 'runner-onnx', 'data', 'fit'])
        console.log(import.meta.resolve('@adakit/' + name).includes('/dist/bundle/'));
    `);
    expect(printed).toBe('true\n'.repeat(7));
  });

  test('the command runs', async () => {
    expect(await project.command('adakit', ['--help'])).toContain('Usage: adakit');
  });
});

test('the command comes without TensorFlow.js, and says what to install where it is wanted', async () => {
  const project = newProject();
  await project.install('npm', ['@adakit/cli']);
  expect(readdirSync(join(project.directory, 'node_modules')).filter((name) => name.startsWith('@tensorflow'))).toEqual(
    [],
  );
  expect(await project.command('adakit', ['doctor'])).toContain(
    '→ npm install --save-dev @adakit/runner-tfjs @tensorflow/tfjs-core @tensorflow/tfjs-backend-cpu',
  );
  await project.install('npm', ['@adakit/runner-tfjs', '@tensorflow/tfjs-core', '@tensorflow/tfjs-backend-cpu']);
  expect(await project.command('adakit', ['doctor', '--need', 'cpu'])).toMatch(
    /ok {2}cpu \(TensorFlow\.js\) +took a step/,
  );
});

test('no example of a README or page imports what is not published', () => {
  const published = new Set(publishedPackages().map(({ manifest }) => manifest.name));
  const pages = filesOf('docs').filter((file) => file.endsWith('.md'));
  const readmesOfAll = publishedPackages().map(({ directory }) => `${directory}/README.md`);
  const imported = ['README.md', ...readmesOfAll, ...pages].flatMap((page) =>
    [...readText(page).matchAll(/from '(@adakit\/[^/']+)/g)].map(([, name]) => ({ page, name })),
  );
  expect(imported.filter(({ name }) => !published.has(name))).toEqual([]);
});
