import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { statusOf } from './file-access.js';
import type { FileSystem } from './file-system.js';
import type { Writer } from './processes.js';

/** A temporary file, as its name says it. */
export interface Temporary {
  /** Name of the file beside it that it belongs to. */
  readonly target: string;
  /** `tmp` will be the target when it is complete; `lock` is empty and says that the target is being written. */
  readonly kind: 'tmp' | 'lock';
}

interface NamedTemporary extends Temporary {
  readonly name: string;
  readonly writer: Writer;
}

/** Names of this thread's temporary files that are in use. Others with its number could not be removed at their time. */
const inUse = new Set<string>();
let made = 0;

/** A name, in use until {@link release}: `.<target>.<process>.<start>-<space>-<thread>-<number>.adakit-<kind>`. */
export function reserve({ target, kind }: Temporary, fileSystem: FileSystem): string {
  const { process, start, space, thread } = fileSystem.processes.self;
  const name = `.${labelOf(target)}.${process}.${start}-${space}-${thread}-${made++}.adakit-${kind}`;
  inUse.add(name);
  return name;
}

/** Ends the use of a temporary file that has become its target. */
export function forget(name: string): void {
  inUse.delete(name);
}

/** Ends the use of a temporary file and removes it if it is there. One that cannot be removed is, with the next. */
export async function release(path: string, name: string, fileSystem: FileSystem): Promise<void> {
  await fileSystem.unlink(path).catch(ignore);
  forget(name);
}

/**
 * Removes temporary files whose writer is gone: its process has ended, or nobody has written to them for a day. Files of
 * running processes are left alone, those of other machines and containers too.
 *
 * @returns the other temporary files in the directory
 */
export async function removeStale(directory: string, fileSystem: FileSystem): Promise<NamedTemporary[]> {
  const others: NamedTemporary[] = [];
  for (const name of await fileSystem.readdir(directory)) {
    const temporary = parseName(name);
    if (temporary === undefined) continue;
    const path = join(directory, name);
    if (await isStale(path, temporary, fileSystem)) await fileSystem.unlink(path).catch(ignore);
    else others.push(temporary);
  }
  return others;
}

/** Whether a temporary file is a lock on `target`. */
export function isLockOn(target: string, temporary: Temporary): boolean {
  return temporary.kind === 'lock' && temporary.target === labelOf(target);
}

/** Milliseconds since somebody wrote to a file; Infinity if it is gone. */
export async function idleTime(path: string, fileSystem: FileSystem): Promise<number> {
  const status = await statusOf(path, (name) => fileSystem.stat(name));
  return status === undefined ? Infinity : Date.now() - status.mtimeMs;
}

async function isStale(path: string, { name, writer }: NamedTemporary, fileSystem: FileSystem): Promise<boolean> {
  const { self } = fileSystem.processes;
  const own = writer.process === self.process && writer.space === self.space && writer.thread === self.thread;
  if (own) return !inUse.has(name);
  const status = fileSystem.processes.statusOf(writer);
  return status === 'ended' || (status === 'unknown' && (await idleTime(path, fileSystem)) > DAY_MS);
}

const DAY_MS = 24 * 60 * 60 * 1000;

const NAME = /^\.(.+)\.(\d+)\.(\d+)-([0-9a-f]{8})-([0-9a-f]{12})-\d+\.adakit-(tmp|lock)$/s;

function parseName(name: string): NamedTemporary | undefined {
  const match = NAME.exec(name);
  if (match === null) return undefined;
  const [, target, process, start, space, thread, kind] = match;
  const writer = { process: Number(process), start: Number(start), space, thread };
  return { name, target, writer, kind: kind === 'lock' ? 'lock' : 'tmp' };
}

/** How the target is called in names of temporary files: by its name, or a number where that would become too long. */
function labelOf(target: string): string {
  if (Buffer.byteLength(target) <= LONGEST_LABEL) return target;
  return createHash('sha256').update(target).digest('hex').slice(0, 32);
}

/** File systems take names of 255 bytes. */
const LONGEST_LABEL = 150;

function ignore(): void {
  // It is found again, by its name, and removed then.
}
