// A package for a new optimizer, with everything that has to know of it:
//
//   npm run create -- adagrad "Adagrad: rates by the sum of squared gradients"
//
// It is made from the templates of create-adakit-optimizer, as everybody's. What remains is the rule, its tests and its
// source: packages/<name>/src, README.md. The steps are in docs/contributing/optimizer.md.

import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { makeFolder } from '@adakit/state/node';
import {
  packageFiles,
  ruleName,
  workspaceKeywords,
  workspaceManifest,
  workspaceTsconfig,
} from 'create-adakit-optimizer';
import { format, resolveConfig } from 'prettier';

const root = fileURLToPath(new URL('../..', import.meta.url));
const [name, title] = process.argv.slice(2);
if (!/^[a-z][a-z0-9-]*$/.test(name ?? '') || !title) {
  console.error('npm run create -- NAME "Title: what it does in one line"; NAME in lower case, with hyphens');
  process.exit(1);
}
const folder = `${root}packages/${name}`;
if (existsSync(folder)) {
  console.error(`packages/${name} is there already`);
  process.exit(1);
}
const rule = ruleName(name);

const read = (path) => readFileSync(`${root}${path}`, 'utf8');
async function write(path, text) {
  const file = `${root}${path}`;
  writeFileSync(file, await format(text, { ...(await resolveConfig(file)), filepath: file }));
}
const changed = (path, change) => write(path, JSON.stringify(change(JSON.parse(read(path)))));
const referenced = (path) => (config) => ({ ...config, references: [...config.references, { path }] });

await makeFolder(`${folder}/src`);
copyFileSync(`${root}LICENSE`, `${folder}/LICENSE`);
const { version } = JSON.parse(read('packages/core/package.json'));
const files = packageFiles({ name, title, start: 'adam', license: 'MIT', author: '', repository: '', adakit: version });
const adakit = { optimizers: { [rule]: { settings: {} } } };
const described = { name, version, description: title, keywords: workspaceKeywords(name), adakit };
await write(`packages/${name}/package.json`, JSON.stringify(workspaceManifest(described)));
await write(`packages/${name}/tsconfig.json`, JSON.stringify(workspaceTsconfig));
await write(`packages/${name}/src/index.ts`, `// @tier user\n${files['src/index.ts']}`);
await write(`packages/${name}/src/${name}.ts`, files[`src/${name}.ts`]);
await write(
  `packages/${name}/src/${name}.test.ts`,
  `import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { ${rule} } from './${name}.js';

describeOptimizer(${rule}, {
  references: referenceRunFiles('${name}'),
  hash: '',
  slots: [[{}, {}]],
  refuses: [[{ lr: 0 }, '${rule}: lr must be > 0, got 0']],
  converges: { parabola: { steps: 300, options: { lr: 0.1 } } },
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
`,
);
const readme = files['README.md'].replaceAll(`adakit-optimizer-${name}`, `@adakit/${name}`);
await write(`packages/${name}/README.md`, readme);
await changed('tsconfig.json', referenced(`packages/${name}`));
await changed('tools/cli/tsconfig.json', referenced(`../../packages/${name}`));
await changed('tools/cli/package.json', (cli) => {
  const dependencies = Object.entries({ ...cli.dependencies, [`@adakit/${name}`]: version });
  return { ...cli, dependencies: Object.fromEntries(dependencies.sort(([a], [b]) => (a < b ? -1 : 1))) };
});
const lines = [...read('tools/cli/src/rules.ts').trim().split('\n'), `export { ${rule} } from '@adakit/${name}';`];
await write('tools/cli/src/rules.ts', `${lines.slice(0, 1).concat(lines.slice(1).sort()).join('\n')}\n`);
await write(`.changeset/${name}.md`, `---\n'@adakit/${name}': minor\n'@adakit/cli': minor\n---\n\n${title}.\n`);
// Links the package into node_modules, and enters it into the lock file.
execFileSync('npm', ['install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'], {
  cwd: root,
  stdio: 'inherit',
});
console.log(`packages/${name} is there; docs/contributing/optimizer.md says what it still needs`);
