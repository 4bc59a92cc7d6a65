/** The part of JavaScript's WebAssembly that is used here: not every set of type declarations has it. */
interface WebAssemblyNamespace {
  readonly Memory: new (descriptor: {
    readonly initial: number;
    readonly maximum?: number;
    readonly shared?: boolean;
  }) => WasmMemory;
  readonly Module: new (bytes: Uint8Array) => WasmModule;
  readonly Instance: new (
    module: WasmModule,
    imports: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
  ) => { readonly exports: Readonly<Record<string, unknown>> };
}

/**
 * `WebAssembly.Memory`. Growing it replaces `buffer`, and detaches the views that stood over the old one where it is not shared.
 */
export interface WasmMemory {
  readonly buffer: ArrayBufferLike;
  grow(pages: number): number;
}

/** `WebAssembly.Module`. */
export interface WasmModule {
  readonly [Symbol.toStringTag]?: string;
}

/** JavaScript's WebAssembly. @throws ReferenceError or TypeError, at its use, where there is none */
export function webAssembly(): WebAssemblyNamespace {
  return (globalThis as unknown as { readonly WebAssembly: WebAssemblyNamespace }).WebAssembly;
}
