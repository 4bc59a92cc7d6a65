import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** A fenced code block of a Markdown file. */
export interface CodeBlock {
  /** Line of the block's first line of code, counted from 1. */
  readonly line: number;
  readonly code: string;
}

/**
 * The examples of a Markdown file that are meant to run: the blocks fenced as ` ```ts `. Blocks with anything after
 * the language, such as ` ```ts fragment `, are for reading only.
 */
export function codeBlocks(markdown: string): CodeBlock[] {
  const blocks: CodeBlock[] = [];
  let open: { readonly line: number; readonly info: string; readonly lines: string[] } | undefined;
  for (const [index, text] of markdown.split(/\r?\n/).entries()) {
    const info = /^```(.*)$/.exec(text)?.[1].trim();
    if (open === undefined) {
      if (info !== undefined) open = { line: index + 2, info, lines: [] };
    } else if (info === '') {
      if (open.info === 'ts') blocks.push({ line: open.line, code: open.lines.join('\n') });
      open = undefined;
    } else {
      open.lines.push(text);
    }
  }
  return blocks;
}

/**
 * Runs every example of a README, each as a module of its own that imports packages as a reader would. An example has
 * to assert what it shows (`node:assert`): one that asserts nothing passes as long as it does not throw.
 *
 * Works inside vitest, which compiles the TypeScript and resolves packages of the workspace to their sources.
 *
 * @param readme e.g. `new URL('../README.md', import.meta.url)`
 * @returns how many examples ran
 * @throws Error with the README's file and line when an example fails, or when there is none
 */
export async function runReadme(readme: URL): Promise<number> {
  const path = fileURLToPath(readme);
  const blocks = codeBlocks(readFileSync(path, 'utf8'));
  if (blocks.length === 0) throw new Error(`${path}: no example to run; fence it as \`\`\`ts`);
  for (const block of blocks) await runBlock(path, block);
  return blocks.length;
}

/** Imports the block from a file beside the README, whose line numbers are the README's. */
async function runBlock(readme: string, { line, code }: CodeBlock): Promise<void> {
  // The process id keeps test runs of the same checkout out of each other's way.
  const file = join(dirname(readme), `.readme-example.${process.pid}-${line}.ts`);
  writeFileSync(file, '\n'.repeat(line - 1) + code);
  try {
    await import(/* @vite-ignore */ pathToFileURL(file).href);
  } catch (error) {
    const failed = failedLine(error, basename(file)) ?? line;
    const message = error instanceof Error ? error.message : String(error);
    throw new Error(`${readme}:${failed}: ${message}`, { cause: error });
  } finally {
    rmSync(file, { force: true });
  }
}

/** The line of `file` that the error's stack trace, or the compiler's message, mentions first. */
function failedLine(error: unknown, file: string): number | undefined {
  const text = error instanceof Error ? `${error.message}\n${error.stack ?? ''}` : '';
  const line = text.includes(file) ? /^:(\d+)/.exec(text.slice(text.indexOf(file) + file.length)) : null;
  return line === null ? undefined : Number(line[1]);
}
