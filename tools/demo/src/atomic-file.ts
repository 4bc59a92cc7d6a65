import { rename, rm, writeFile } from 'node:fs/promises';

/** Writes a file by way of a temporary one, so that it is there complete or not at all. */
export async function writeFileAtomically(path: string, content: string): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await writeFile(temporary, content);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
