import { readFile } from 'node:fs/promises';
import type { z } from 'zod';
import { UsageError } from './usage-error.js';

/** Reads a file of text. @throws UsageError */
export async function readTextFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    const reasons: Readonly<Record<string, string>> = {
      ENOENT: 'there is no such file',
      EISDIR: 'it is a folder',
      EACCES: 'it may not be read',
    };
    throw new UsageError(`cannot read ${path}: ${reasons[String(code)] ?? String(error)}`, { cause: error });
  }
}

/** Reads a file of JSON. @throws UsageError in one line, though the text is quoted in it */
export async function readJsonFile(path: string): Promise<unknown> {
  const text = await readTextFile(path);
  try {
    return JSON.parse(text);
  } catch (error) {
    const reason = (error instanceof Error ? error.message : String(error)).replaceAll('\n', '\\n');
    throw new UsageError(`${path} is no JSON: ${reason}`, { cause: error });
  }
}

/** Whether what is wrong with a document is that something is not there. */
export function isMissing({ code, message }: z.core.$ZodIssue): boolean {
  return code === 'invalid_type' && message.endsWith('received undefined');
}
