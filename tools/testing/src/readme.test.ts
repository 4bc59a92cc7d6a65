import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { codeBlocks, runReadme } from './readme.js';

const fence = '```';

describe('codeBlocks', () => {
  it('finds the ts blocks with their lines and leaves out other languages and fragments', () => {
    const markdown = [
      '# Title',
      `${fence}sh`,
      'npm i',
      fence,
      '',
      `${fence}ts`,
      'a;',
      'b;',
      fence,
      `${fence}ts fragment`,
      'c',
      fence,
    ];
    expect(codeBlocks(markdown.join('\n'))).toEqual([{ line: 7, code: 'a;\nb;' }]);
  });

  it('does not take a fence inside a block for its end', () => {
    expect(codeBlocks([`${fence}md`, `${fence}ts`, 'x', fence].join('\n'))).toEqual([]);
  });

  it('reads Windows line ends', () => {
    expect(codeBlocks([`${fence}ts`, 'a;', fence, ''].join('\r\n'))).toEqual([{ line: 2, code: 'a;' }]);
  });
});

describe('runReadme', () => {
  let folder: string;
  // Inside the package, so that the examples resolve packages as the package does.
  beforeEach(() => (folder = mkdtempSync(fileURLToPath(new URL('../.readme-example.', import.meta.url)))));
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });
  const readmeWith = (...lines: string[]): URL => {
    const file = join(folder, 'README.md');
    writeFileSync(file, lines.join('\n'));
    return pathToFileURL(file);
  };

  it('runs every example as TypeScript against the packages of the workspace', async () => {
    const example = [
      `import assert from 'node:assert/strict';`,
      `import { scalar, type Scalar } from '@adakit/core';`,
      `const two: Scalar = scalar(1).add(1);`,
      `assert(two.node.form === 'constant' && two.node.value === 2);`,
    ];
    const block = [`${fence}ts`, ...example, fence];
    expect(await runReadme(readmeWith(...block, 'and', ...block))).toBe(2);
  });

  it('leaves no file behind', async () => {
    await runReadme(readmeWith(`${fence}ts`, 'await Promise.resolve();', fence));
    expect(readdirSync(folder)).toEqual(['README.md']);
  });

  it('names the line of the README where an assertion fails', async () => {
    const readme = readmeWith(
      '# A',
      '',
      `${fence}ts`,
      `import assert from 'node:assert/strict';`,
      '',
      'const x: number = 1;',
      'assert.equal(x, 2);',
      fence,
    );
    await expect(runReadme(readme)).rejects.toThrow(/README\.md:7: .*1 !== 2/s);
    expect(readdirSync(folder)).toEqual(['README.md']);
  });

  it('names the line of the README where an example is not TypeScript', async () => {
    await expect(runReadme(readmeWith('# A', '', `${fence}ts`, 'const a = 1;', 'const = 2;', fence))).rejects.toThrow(
      /README\.md:5: /,
    );
  });

  it('names the line of the README from which a package threw', async () => {
    const readme = readmeWith(
      `${fence}ts`,
      `import { tensor32 } from '@adakit/core';`,
      '',
      'tensor32([1, 2], [3]);',
      fence,
    );
    await expect(runReadme(readme)).rejects.toThrow(/README\.md:4: a tensor of shape \[3\] needs 3 elements, got 2/);
  });

  it('refuses a README without an example', async () => {
    await expect(runReadme(readmeWith('# A', `${fence}sh`, 'ls', fence))).rejects.toThrow('no example to run');
  });
});

// Core cannot test its own README: the kit depends on core.
it.each(['../README.md', '../../../packages/core/README.md'])('the example of %s runs', async (readme) => {
  expect(await runReadme(new URL(readme, import.meta.url))).toBe(readme.includes('core') ? 2 : 1);
});
