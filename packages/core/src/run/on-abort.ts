/** What is told of signals. */
const listeners = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls a listener when a signal is aborted. A signal has one listener for all of them: Node.js warns of more than ten, and as
 * many runs may well end at the same signal.
 *
 * @returns what ends that; doing so again is harmless
 */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  const all = listeners.get(signal) ?? new Set();
  if (all.size === 0) {
    listeners.set(signal, all);
    signal.addEventListener('abort', tell);
  }
  // The same function may be given twice.
  const own = (): void => {
    listener();
  };
  all.add(own);
  return () => {
    all.delete(own);
    if (all.size === 0) signal.removeEventListener('abort', tell);
  };
}

function tell(this: AbortSignal): void {
  for (const listener of listeners.get(this) ?? []) listener();
}
