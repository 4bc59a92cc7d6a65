import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { describe, inject, test } from 'vitest';
import { documentedInstall, firstExample, Project } from './project.js';
import { readmes } from './readmes.js';

describe('with pnpm, what each README says to install and no more', () => {
  test.each(readmes)('the first example of $file runs', async ({ readme }) => {
    const project = new Project(mkdtempSync(join(inject('workspace'), 'project-')), inject('registry'));
    await project.install('pnpm', documentedInstall(readme));
    await project.run(firstExample(readme));
  });
});
