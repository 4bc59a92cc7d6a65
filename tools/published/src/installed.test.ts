import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, inject, test } from 'vitest';
import { filesOf, publishedPackages, readText } from './packages.js';
import { documentedInstall, firstExample, Project } from './project.js';

const readmes = [...publishedPackages().map(({ directory }) => `${directory}/README.md`), 'README.md']
  // The commands are no libraries.
  .filter((file) => !['tools/cli/README.md', 'packages/create-adakit-optimizer/README.md'].includes(file))
  .map((file) => ({ file, readme: readText(file) }));

const newProject = () => new Project(mkdtempSync(join(inject('workspace'), 'project-')), inject('registry'));

/** The lower end of the range of ONNX Runtimes that `@adakit/runner-onnx` accepts. */
function oldestRuntime(): string {
  const { peerDependencies } = JSON.parse(readText('packages/runner-onnx/package.json')) as {
    readonly peerDependencies: Readonly<Record<string, string>>;
  };
  const oldest = /^>=(\S+)/.exec(peerDependencies['onnxruntime-node'])?.[1];
  if (oldest === undefined) throw new Error('the range of onnxruntime-node does not begin with >=');
  return oldest;
}

describe('with npm, everything in one project', () => {
  let project: Project;
  beforeAll(async () => {
    project = newProject();
    const documented = readmes.flatMap(({ readme }) => documentedInstall(readme));
    await project.install('npm', [...new Set(['@adakit/cli', ...documented])]);
  });

  test.each(readmes)('the first example of $file runs', async ({ readme }) => {
    await project.run(firstExample(readme));
  });

  test('the command runs', async () => {
    expect(await project.command('adakit', ['--help'])).toContain('Usage: adakit');
  });
});

describe('with pnpm, what each README says to install and no more', () => {
  test.each(readmes)('the first example of $file runs', async ({ readme }) => {
    const project = newProject();
    await project.install('pnpm', documentedInstall(readme));
    await project.run(firstExample(readme));
  });
});

test('the first example of the runner for ONNX Runtime runs on the oldest one that it accepts', async () => {
  const readme = readText('packages/runner-onnx/README.md');
  const others = documentedInstall(readme).filter((name) => !name.startsWith('onnxruntime-node'));
  const project = newProject();
  await project.install('pnpm', [...others, `onnxruntime-node@${oldestRuntime()}`]);
  await project.run(firstExample(readme));
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
