import { call, F64, I32, type Code } from './code.js';

/** What a kernel calls: Math's functions, the library's, and JavaScript over its memory. */
export const imports = {
  exp: { params: [F64], results: [F64] },
  log: { params: [F64], results: [F64] },
  pow: { params: [F64, F64], results: [F64] },
  /** to, a, b, rows, inner, cols, panel */
  matMul: { params: [I32, I32, I32, I32, I32, I32, I32], results: [] },
  /** to, from, rows, cols */
  transpose: { params: [I32, I32, I32, I32], results: [] },
  /** to, from, rows, cols, whether `from` is a column */
  repeat: { params: [I32, I32, I32, I32, I32], results: [] },
  /** instruction, to, from, rows, cols */
  factor: { params: [I32, I32, I32, I32, I32], results: [] },
  /** instruction, record, to, count */
  random: { params: [I32, I32, I32, I32], results: [] },
} as const;
export const callImport = (name: keyof typeof imports, ...args: readonly Code[]): Code =>
  call(Object.keys(imports).indexOf(name), ...args);
