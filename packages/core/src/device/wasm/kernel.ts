import type { Program } from '../../program/program.js';
import type { Kernel } from '../device.js';
import type { WasmBuffer } from './arena.js';
import { compileModule } from './compile.js';
import { Instance, type Library } from './instance.js';
import type { KernelMemories, KernelMemory } from './memories.js';
import { segmentsOf } from './segment.js';
import type { KernelThreads } from './threads.js';
import { webAssembly } from './webassembly.js';

/** Compiles a program to a WebAssembly module, and runs it on tables of buffers. */
export function wasmKernel(
  program: Program,
  memories: KernelMemories,
  libraryOf: (block: KernelMemory) => Library,
  threads?: KernelThreads,
): Kernel<WasmBuffer> {
  const compiled = compileModule(program, threads !== undefined);
  const module = new (webAssembly().Module)(compiled.bytes);
  const instances = new WeakMap<KernelMemory, Instance>();
  const instanceIn = (block: KernelMemory): Instance => {
    let instance = instances.get(block);
    if (instance === undefined) {
      instances.set(block, (instance = new Instance(program, module, block.memory, libraryOf(block))));
    }
    return instance;
  };
  return {
    bind(bindings) {
      // They take a while to start, and are there when something is run.
      threads?.available();
      const segments = segmentsOf(bindings, { compiled, memories, threads });
      return {
        run(scalars) {
          for (const segment of segments) segment.run(instanceIn(segment.block), scalars);
        },
      };
    },
  };
}
