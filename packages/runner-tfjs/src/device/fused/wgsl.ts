import type { Program } from '@adakit/core';
import { arithmetic, writeShader, type Dialect, type Signature } from './elementwise.js';

/** Invocations of a workgroup. */
export const WORKGROUP = 64;

/** Vectors of elements that an invocation works on: four at a time, or one where the number of elements is no multiple. */
export type Width = 4 | 1;

/** What is undefined or infinite is told by its bits: compilers may assume that there is neither. */
const helpers = `
fn isUndefined(x: T) -> B { return (bitcast<U>(x) & U(0x7fffffffu)) > U(0x7f800000u); }
fn least(a: T, b: T) -> T { return select(select(min(a, b), b, isUndefined(b)), a, isUndefined(a)); }
fn most(a: T, b: T) -> T { return select(select(max(a, b), b, isUndefined(b)), a, isUndefined(a)); }
fn signOf(x: T) -> T { return select(select(x, T(-1.0), x < T(0.0)), T(1.0), x > T(0.0)); }
fn power(a: T, b: T) -> T {
  let negative = a < T(0.0);
  let odd = abs(b - T(2.0) * floor(T(0.5) * b)) == T(1.0);
  var r = pow(abs(a), b);
  r = select(r, T(0.0), (a == T(0.0)) & (b > T(0.0)));
  r = select(r, -r, negative & odd);
  r = select(r, T(bitcast<f32>(uniforms.undefinedNumber)), negative & (floor(b) != b));
  return select(r, T(1.0), b == T(0.0));
}
`;

const wgsl: Dialect = {
  declare: (name, value) => `let ${name} = ${value};`,
  splat: (number) => `T(${number})`,
  truth: (number) => `B(${number} != 0.0)`,
  operations: {
    ...arithmetic,
    equal: (a, b) => `${a} == ${b}`,
    less: (a, b) => `${a} < ${b}`,
    lessOrEqual: (a, b) => `${a} <= ${b}`,
    greater: (a, b) => `${a} > ${b}`,
    greaterOrEqual: (a, b) => `${a} >= ${b}`,
    where: (condition, yes, no) => `select(${no}, ${yes}, ${condition})`,
  },
};

const types = (width: Width): string =>
  width === 4
    ? 'alias T = vec4<f32>; alias U = vec4<u32>; alias B = vec4<bool>;'
    : 'alias T = f32; alias U = u32; alias B = bool;';

const entry = `
@compute @workgroup_size(${String(WORKGROUP)})
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (workgroup.y * workgroups.x + workgroup.x) * ${String(WORKGROUP)}u + local;
  if (i >= uniforms.count) { return; }
`;

/** What the uniforms begin with, in bytes: the number of vectors, the bits of NaN. Scalars follow. */
export const UNIFORM_HEAD = 16;

/** The buffers of an update, in the order of its bindings behind the uniforms and the mask. */
export function updateBuffers({ elements, numbers, outputs }: Signature): { name: string; access: Access }[] {
  return [
    ...outputs.map((name) => ({ name, access: 'read_write' as const })),
    ...elements.filter((name) => !outputs.includes(name)).map((name) => ({ name, access: 'read' as const })),
    ...numbers.map((name) => ({ name, access: 'number' as const })),
  ];
}

/** How a buffer is used: elements, or one number. */
export type Access = 'read_write' | 'read' | 'number';

/** A compute shader that updates buffers in place, unless the mask says that results do not count. */
export function updateSource(program: Program, signature: Signature, width: Width): string {
  const buffers = updateBuffers(signature);
  const vectors = Math.max(1, Math.ceil(signature.scalars.length / 4));
  const { lines, results } = writeShader(
    program,
    signature,
    wgsl,
    (name) => {
      const at = buffers.findIndex((buffer) => buffer.name === name);
      return buffers[at].access === 'number' ? `T(buffer${String(at)}[0])` : `buffer${String(at)}[i]`;
    },
    (position) => `uniforms.scalars[${String(Math.floor(position / 4))}].${'xyzw'[position % 4]}`,
  );
  return [
    types(width),
    `struct Uniforms { count: u32, undefinedNumber: u32, scalars: array<vec4<f32>, ${String(vectors)}> }`,
    '@group(0) @binding(0) var<uniform> uniforms: Uniforms;',
    '@group(0) @binding(1) var<storage, read> mask: array<i32>;',
    ...buffers.map(({ access }, i) => {
      const [mode, element] = access === 'number' ? ['read', 'f32'] : [access, 'T'];
      return `@group(0) @binding(${String(i + 2)}) var<storage, ${mode}> buffer${String(i)}: array<${element}>;`;
    }),
    helpers,
    entry,
    'if (mask[0] == 0) { return; }',
    ...lines,
    ...buffers.flatMap(({ name, access }, i) =>
      access === 'read_write' ? [`buffer${String(i)}[i] = ${results[name]};`] : [],
    ),
    '}',
  ].join('\n');
}

/** A compute shader that clears what stands for a tensor, and for all, where the tensor has an infinity or NaN. */
export function checkSource(width: Width): string {
  return [
    types(width),
    'struct Uniforms { count: u32, position: u32 }',
    '@group(0) @binding(0) var<uniform> uniforms: Uniforms;',
    '@group(0) @binding(1) var<storage, read> source: array<T>;',
    '@group(0) @binding(2) var<storage, read_write> each: array<atomic<i32>>;',
    '@group(0) @binding(3) var<storage, read_write> whole: array<atomic<i32>>;',
    entry,
    'let bad = (bitcast<U>(source[i]) & U(0x7f800000u)) == U(0x7f800000u);',
    `if (${width === 4 ? 'any(bad)' : 'bad'}) {`,
    'atomicStore(&each[uniforms.position], 0);',
    'atomicStore(&whole[0], 0);',
    '}',
    '}',
  ].join('\n');
}
