/** What ends a command early: Ctrl-C, what stops services, and a terminal that is closed. */
export const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** The exit code of what was interrupted. */
export const INTERRUPTED = 130;

/**
 * Work that ends in its own time when a signal says so. A second signal, whichever, ends the process.
 *
 * @param message for whom the first one is from
 */
export async function withInterruption<T>(message: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const interruption = new AbortController();
  const forget = (): void => {
    for (const name of SIGNALS) process.removeListener(name, interrupt);
  };
  const interrupt = (): void => {
    forget();
    interruption.abort();
    process.stderr.write(`\nadakit: ${message}; once more ends at once\n`);
  };
  for (const name of SIGNALS) process.on(name, interrupt);
  try {
    return await work(interruption.signal);
  } finally {
    forget();
  }
}
