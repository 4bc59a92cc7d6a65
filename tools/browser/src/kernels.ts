/** A class of the browser whose calls are counted. */
interface Counted {
  readonly prototype: Record<string, ((...args: unknown[]) => unknown) | undefined>;
}

let count = 0;

for (const [className, methods] of [
  ['WebGL2RenderingContext', ['drawElements', 'drawArrays']],
  ['GPUComputePassEncoder', ['dispatchWorkgroups']],
] as const) {
  const counted = (globalThis as unknown as Record<string, Counted | undefined>)[className];
  for (const method of methods) {
    const original = counted?.prototype[method];
    if (counted === undefined || original === undefined) continue;
    counted.prototype[method] = function (...args: unknown[]): unknown {
      count++;
      return original.apply(this, args);
    };
  }
}

/** Draws and dispatches since the page was loaded. */
export function kernels(): number {
  return count;
}
