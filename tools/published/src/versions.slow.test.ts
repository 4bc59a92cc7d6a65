import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, inject, test } from 'vitest';
import { Project } from './project.js';
import { ReleaseTree } from './release.js';

interface Package {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
}

test('all packages have one version, also in a canary of a change of one, which leaves latest where it is', async () => {
  const registry = inject('registry');
  const tree = new ReleaseTree(inject('tree'), registry.env);
  const [released, ...others] = new Set(Object.values(tree.versions()));
  expect(others).toEqual([]);

  writeFileSync(join(tree.directory, '.changeset/canary.md'), "---\n'@adakit/core': patch\n---\n\nA change.\n");
  await tree.changeset('version', '--snapshot', 'canary');
  const [canary, ...more] = new Set(Object.values(tree.versions()));
  expect(more).toEqual([]);
  expect(canary).toMatch(/^0\.0\.0-canary-\d{14}$/);
  await tree.changeset('publish', '--tag', 'canary', '--no-git-tag');

  const project = new Project(mkdtempSync(join(inject('workspace'), 'canary-')), registry);
  const tags = await project.execute('npm', ['view', '@adakit/core', 'dist-tags', '--json']);
  expect(JSON.parse(tags)).toEqual({ latest: released, canary });
  await project.install('npm', ['@adakit/adam@canary']);
  const installed = ['core', 'adam'].map(
    (name) =>
      JSON.parse(readFileSync(join(project.directory, `node_modules/@adakit/${name}/package.json`), 'utf8')) as Package,
  );
  expect(installed.map(({ version }) => version)).toEqual([canary, canary]);
  expect(installed[1].dependencies).toEqual({ '@adakit/core': canary });
});
