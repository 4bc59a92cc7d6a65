import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { workspaceFiles } from './index.js';
import { workspaceKeywords, workspaceManifest, workspaceTsconfig, type WorkspaceRule } from './workspace.js';

const packages = new URL('../../', import.meta.url);
const read = (path: string): unknown => JSON.parse(readFileSync(new URL(path, packages), 'utf8'));
const rules = readdirSync(packages)
  .map((name) => [name, read(`${name}/package.json`) as WorkspaceRule & { nx: { tags: string[] } }] as const)
  .filter(([, { nx }]) => nx.tags.includes('layer:rule'));

it('there are rules', () => {
  expect(rules.length).toBeGreaterThanOrEqual(36);
});

it.each(rules)('%s is as the template makes it', (name, manifest) => {
  const { version, description, keywords, adakit } = manifest;
  const made = workspaceManifest({ name, version, description, keywords, adakit });
  // Tests may need other rules beside.
  expect(manifest).toMatchObject(made as object);
  // Their order is what npm publishes.
  expect(Object.keys(manifest)).toEqual(Object.keys(made as object));
  expect(keywords).toEqual(workspaceKeywords(...keywords.slice(2, -3)));
  expect(read(`${name}/tsconfig.json`)).toEqual(workspaceTsconfig);
});

it('nothing is left of the words in templates', () => {
  const files = Object.entries(workspaceFiles({ name: 'my-adam', title: 'A variant', version: '1.0.0' }));
  expect(files.filter(([, text]) => /__[a-z]+__/.test(text)).map(([path]) => path)).toEqual([]);
});
