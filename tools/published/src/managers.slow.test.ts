import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, inject, test } from 'vitest';
import { laterNodes, nodeProgram } from './node.js';
import { root } from './packages.js';
import { Project } from './project.js';
import { documentedInstalls, firstExamples } from './readmes.js';

const newProject = () => new Project(mkdtempSync(join(inject('workspace'), 'project-')), inject('registry'));

// Yarn installs no peers.
const withPeers = [...documentedInstalls, '@tensorflow/tfjs-core'];

test('with yarn the first examples of all READMEs run', async () => {
  const project = newProject();
  await project.install('yarn', withPeers);
  expect(await project.runAll(firstExamples, 'import')).toEqual([]);
});

test("with yarn's Plug'n'Play those run that look for no optimizer by its name", async () => {
  const project = newProject();
  await project.install('yarn pnp', withPeers);
  const byName = 'packages/plugins/README.md';
  expect(
    await project.runAll(
      firstExamples.filter(({ file }) => file !== byName),
      'import',
    ),
  ).toEqual([]);
});

describe('with npm, everything in one project', () => {
  let project: Project;
  beforeAll(async () => {
    project = newProject();
    await project.install('npm', [...documentedInstalls, '@types/node@20']);
  });

  test.each(['require', 'import()'] as const)('the first examples of all READMEs run with %s', async (access) => {
    expect(await project.runAll(firstExamples, access)).toEqual([]);
  });

  describe.each(laterNodes)('with Node %d', (major) => {
    test.each(['import', 'require'] as const)('the first examples of all READMEs run with %s', async (access) => {
      const node = await nodeProgram(major);
      expect(node, `Node ${major} is in no package for this platform`).toBeDefined();
      expect(await project.runAll(firstExamples, access, node)).toEqual([]);
    });
  });

  test.each([
    ['esnext', 'bundler'],
    ['node16', 'node16'],
    ['nodenext', 'nodenext'],
  ])(
    'TypeScript takes the first examples of all READMEs with module %s, moduleResolution %s',
    async (module, resolution) => {
      const folder = mkdtempSync(join(project.directory, 'types-'));
      for (const [i, { code }] of firstExamples.entries()) writeFileSync(join(folder, `${i}.ts`), code);
      // A program that is no module gets at the types too, where TypeScript knows that Node gets at modules from there.
      if (module === 'nodenext') {
        writeFileSync(
          join(folder, 'program.cts'),
          "import { adam } from '@adakit/adam';\nexport const optimizer = adam();\n",
        );
      }
      const compilerOptions = {
        module,
        moduleResolution: resolution,
        target: 'ES2023',
        lib: ['ES2023', 'DOM', 'ESNext.Disposable'],
        types: ['node'],
        strict: true,
        noEmit: true,
        verbatimModuleSyntax: false,
      };
      writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['.'] }));
      const tsc = [join(root, 'node_modules/typescript/bin/tsc'), '--pretty', 'false', '-p', folder];
      const output = await project.execute(process.execPath, tsc).catch((error: unknown) => String(error));
      const ours = /^(?:types-|node_modules\/(?:@adakit|create-adakit-optimizer)\/).*/gm;
      // TensorFlow.js's own types have errors.
      expect(output.match(ours) ?? []).toEqual([]);
      expect(output).not.toMatch(/^error TS/m);
    },
  );
});
