import { arch, availableParallelism, cpus, release, totalmem, type } from 'node:os';

/** The machine and the Node that something was found or measured on. */
export interface Machine {
  readonly processor: string;
  /** Threads that run at the same time. */
  readonly cores: number;
  /** `24 GiB`. */
  readonly memory: string;
  /** `Linux 6.1.0 x64`. */
  readonly system: string;
  /** `v20.20.2`. */
  readonly node: string;
}

export function machine(): Machine {
  return {
    processor: cpus().at(0)?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    system: `${type()} ${release()} ${arch()}`,
    node: process.version,
  };
}
