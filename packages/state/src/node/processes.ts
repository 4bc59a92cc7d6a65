import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

/**
 * Who writes, for the names of temporary files. On Linux a thread is known by a number of its own, as if it were a process,
 * and by its start; elsewhere by the number of its process alone.
 */
export interface Writer {
  readonly process: number;
  /** In ticks of the system; 0 where that is not known. */
  readonly start: number;
  /** Eight hexadecimal digits for the machine and process namespace where both numbers mean something. */
  readonly space: string;
  /** Twelve hexadecimal digits. */
  readonly thread: string;
}

/** The processes of a machine, as far as writers of files have to know them. */
export interface Processes {
  /** This thread of this process. */
  readonly self: Writer;
  /** Whether a writer is still there; `unknown` for those of other machines and containers, which cannot be asked. */
  statusOf(writer: Writer): 'running' | 'ended' | 'unknown';
}

const entry = entryOf('thread-self');
const self: Writer = {
  process: entry?.id ?? process.pid,
  start: entry?.start ?? 0,
  space: processSpace(),
  thread: randomBytes(6).toString('hex'),
};

/** The processes of this machine. */
export const systemProcesses: Processes = {
  self,
  statusOf(writer) {
    if (writer.space !== self.space) return 'unknown';
    const entry = entryOf(writer.process);
    // Another thread of this process, of which nothing more is known.
    if (writer.start === 0 && writer.process === self.process && writer.thread !== self.thread) return 'unknown';
    if (entry === undefined) return exists(writer.process) ? 'running' : 'ended';
    // After a restart of the machine or container, the number may be that of another process.
    const another = writer.start !== 0 && writer.start !== entry.start;
    return entry.ended || another ? 'ended' : 'running';
  },
};

/** Process numbers mean something only on one machine and, on Linux, in one namespace. */
function processSpace(): string {
  let namespace = '';
  try {
    namespace = readlinkSync('/proc/self/ns/pid');
  } catch {
    // Not Linux: one space a machine.
  }
  return createHash('sha256').update(`${hostname()} ${namespace}`).digest('hex').slice(0, 8);
}

/** What Linux says of a process or thread. */
interface Entry {
  readonly id: number;
  readonly start: number;
  readonly ended: boolean;
}

/** Undefined where there is no Linux, and for processes that are gone or hidden from this user. */
function entryOf(process: number | 'thread-self'): Entry | undefined {
  try {
    const status = readFileSync(`/proc/${process}/stat`, 'utf8');
    // The program's name, in parentheses, may contain anything. Behind it come the state, field 3, and the start, field 22.
    const fields = status.slice(status.lastIndexOf(')') + 2).split(' ');
    return { id: parseInt(status, 10), start: Number(fields[19]), ended: fields[0] === 'Z' || fields[0] === 'X' };
  } catch {
    return undefined;
  }
}

function exists(id: number): boolean {
  try {
    process.kill(id, 0);
    return true;
  } catch (error) {
    // Where a signal is not permitted, there is a process.
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH');
  }
}
