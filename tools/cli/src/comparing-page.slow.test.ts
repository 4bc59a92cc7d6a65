import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { addCommands } from './commands.js';
import { addCompareCommand } from './compare/command.js';
import type { Launch } from './own-process.js';
import { runCommand } from './testing/run-command.js';
import { smallClassifier } from './testing/small-classifier.js';

const path = fileURLToPath(new URL('../../../docs/comparing.md', import.meta.url));

/** Trainings in this process, one after the other; they are as others. */
const here: Launch = async (args) => {
  const { output, exitCode } = await runCommand(addCommands, ...args);
  return { code: exitCode, signal: null, output, errors: '' };
};

// npm run test:slow -- tools/cli/src/comparing-page -u writes the transcripts again.
it('docs/comparing.md shows what its commands print', { timeout: 120_000 }, async () => {
  const page = readFileSync(path, 'utf8');
  const folder = mkdtempSync(join(tmpdir(), 'adakit-page-'));
  const before = process.cwd();
  process.chdir(folder);
  try {
    writeFileSync('net.onnx', smallClassifier(4, 3));
    const [, configuration] = /```json\n([^]*?)```/.exec(page) ?? [];
    writeFileSync('optimizers.json', configuration);
    let written = page;
    for (const [block, command] of page.matchAll(/```console\n\$ adakit (.*)\n[^]*?```/g)) {
      const args = command.split(' ');
      const quiet = args[0] === 'compare' ? [...args, '--quiet'] : args;
      const { output } = await runCommand(
        args[0] === 'compare'
          ? (program) => {
              addCompareCommand(program, here);
            }
          : addCommands,
        ...quiet,
      );
      written = written.replace(block, () => `\`\`\`console\n$ adakit ${command}\n${output}\`\`\``);
    }
    await expect(written).toMatchFileSnapshot(path);
  } finally {
    process.chdir(before);
    rmSync(folder, { recursive: true });
  }
});
