import type { KernelThreads, ThreadCode } from '../wasm/threads.js';
import { webAssembly } from '../wasm/webassembly.js';

type Function = (from: number, count: number) => void;

/**
 * What threads do, one after the other in the caller's: the last first, so that nobody may rely on what another has done.
 * They take shares of a cache line and more.
 */
export function threadsInTurn(most: number): KernelThreads & { readonly runs: number } {
  const functions = new Map<ThreadCode, Function[]>();
  let runs = 0;
  const instance = ({ module, memory, name }: ThreadCode): Function => {
    const missing = (): never => {
      throw new Error('a thread has only Math');
    };
    const others = { matMul: missing, transpose: missing, repeat: missing, factor: missing, random: missing };
    const { exp, log, pow } = Math;
    const { exports } = new (webAssembly().Instance)(module, { e: { m: memory, exp, log, pow, ...others } });
    return exports[name] as Function;
  };
  return {
    most,
    leastShare: 16,
    available: () => most,
    run(code, calls, own) {
      runs++;
      let known = functions.get(code);
      if (known === undefined) functions.set(code, (known = Array.from({ length: most - 1 }, () => instance(code))));
      for (const [i, call] of [...calls.entries()].reverse()) known[i](...call);
      own();
    },
    get runs() {
      return runs;
    },
  };
}
