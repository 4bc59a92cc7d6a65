import type { WasmBuffer } from './arena.js';
import type { WasmMemory } from './webassembly.js';

/** A memory that kernels run in. */
export interface KernelMemory {
  readonly memory: WasmMemory;
  /**
   * The address of a range that a kernel may use while it runs, of whatever content; `undefined` where there is no room.
   * What has been had once can be had again.
   */
  scratch(bytes: number): number | undefined;
}

/** The memories that buffers may stand in. */
export interface KernelMemories {
  of(buffer: WasmBuffer): KernelMemory;
  /** One whose scratch memory can have so many bytes. @throws AdakitError `out-of-memory` */
  workspace(bytes: number): KernelMemory;
}
