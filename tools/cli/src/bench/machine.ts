import { availableParallelism, cpus, release, type, totalmem } from 'node:os';

/** What a figure depends on. */
export function machine(): Readonly<Record<string, string>> {
  return {
    date: new Date().toISOString().slice(0, 10),
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: String(availableParallelism()),
    memory: `${String(Math.round(totalmem() / 2 ** 30))} GiB`,
    system: `${type()} ${release()}`,
    node: process.version,
  };
}
