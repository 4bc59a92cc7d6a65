import type { Program } from '@adakit/core';
import { arithmetic, writeShader, type Dialect, type Signature } from './elementwise.js';

const head = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
`;

const NUMBERS_IN_VECTOR = 4;

/** How many vectors hold these numbers. */
export function vectorsOf(numbers: number): number {
  return Math.ceil(numbers / NUMBERS_IN_VECTOR);
}

/**
 * A triangle that covers the viewport, without any buffer. `place`: where a pixel is in textures of the target's size, 0 to 1 on
 * either axis.
 *
 * @param vectors of numbers that each pixel is given as they are, `s`. A pixel gets them faster so than it would read uniforms.
 */
export function vertexSource(vectors: number): string {
  return [
    head,
    'out vec2 place;',
    vectors > 0 ? `uniform vec4 numbers[${String(vectors)}]; flat out vec4 s[${String(vectors)}];` : '',
    'void main() {',
    'vec2 corner = vec2(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0);',
    'gl_Position = vec4(corner, 0.0, 1.0);',
    'place = 0.5 * corner + 0.5;',
    ...Array.from({ length: vectors }, (_, i) => `s[${String(i)}] = numbers[${String(i)}];`),
    '}',
  ].join('\n');
}

/**
 * Which lanes of the texel at a position hold elements. A texel is a square of two rows and two columns of the last two
 * axes; what its other lanes hold is nobody's. `extent`: texels in a row of the texture; rows and columns of the tensor, and how
 * many such matrices it has. Divisions are slow, and most tensors need none.
 */
const inside = `
uniform ivec4 extent;
bvec4 inside(int position) {
  if (((extent.y | extent.z) & 1) == 0) return bvec4(true);
  if (extent.y * extent.w == 1) return bvec4(true, 2 * position + 1 < extent.z, false, false);
  int across = (extent.z + 1) / 2;
  int square = position % (across * ((extent.y + 1) / 2));
  bool right = 2 * (square % across) + 1 < extent.z;
  bool below = 2 * (square / across) + 1 < extent.y;
  return bvec4(true, right, below, right && below);
}
`;

/** Lanes of a texel that may hold elements: vectors have one row. */
export type Lanes = 4 | 2;

const types = {
  4: `
#define T vec4
#define U uvec4
#define B bvec4
#define lanes(x) (x)
#define texel(x) (x)
bvec4 both(bvec4 a, bvec4 b) { return bvec4(a.x && b.x, a.y && b.y, a.z && b.z, a.w && b.w); }
`,
  2: `
#define T vec2
#define U uvec2
#define B bvec2
#define lanes(x) (x).xy
#define texel(x) vec4(x, 0.0, 0.0)
bvec2 both(bvec2 a, bvec2 b) { return bvec2(a.x && b.x, a.y && b.y); }
`,
} as const;

/** NaN is told by its bits: what compilers make of comparisons with it is up to them. */
const helpers = `
B isUndefined(T x) { return greaterThan(floatBitsToUint(x) & U(0x7fffffffu), U(0x7f800000u)); }
T least(T a, T b) { return mix(mix(min(a, b), b, isUndefined(b)), a, isUndefined(a)); }
T most(T a, T b) { return mix(mix(max(a, b), b, isUndefined(b)), a, isUndefined(a)); }
T signOf(T x) { return mix(mix(x, T(-1.0), lessThan(x, T(0.0))), T(1.0), greaterThan(x, T(0.0))); }
T power(T a, T b) {
  B negative = lessThan(a, T(0.0));
  B odd = equal(abs(b - 2.0 * floor(0.5 * b)), T(1.0));
  T r = pow(abs(a), b);
  r = mix(r, T(0.0), both(equal(a, T(0.0)), greaterThan(b, T(0.0))));
  r = mix(r, -r, both(negative, odd));
  r = mix(r, T(uintBitsToFloat(0x7fc00000u)), both(negative, notEqual(floor(b), b)));
  return mix(r, T(1.0), equal(b, T(0.0)));
}
`;

const glsl: Dialect = {
  declare: (name, value, bool) => `${bool ? 'B' : 'T'} ${name} = ${value};`,
  splat: (number) => `T(${number})`,
  truth: (number) => `B(${number} != 0.0)`,
  operations: {
    ...arithmetic,
    equal: (a, b) => `equal(${a}, ${b})`,
    less: (a, b) => `lessThan(${a}, ${b})`,
    lessOrEqual: (a, b) => `lessThanEqual(${a}, ${b})`,
    greater: (a, b) => `greaterThan(${a}, ${b})`,
    greaterOrEqual: (a, b) => `greaterThanEqual(${a}, ${b})`,
    where: (condition, yes, no) => `mix(${no}, ${yes}, ${condition})`,
  },
};

/**
 * A fragment shader that makes `outputs` of one texel of every input: textures `input0`, …, first those of elements and
 * then those of numbers; scalars `s`.
 *
 * @param ragged whether some texels hold fewer elements than they have lanes. To tell which is a fifth of the time where there are
 * no such texels
 */
export function updateSource(
  program: Program,
  signature: Signature,
  outputs: readonly string[],
  lanes: Lanes,
  ragged: boolean,
): string {
  const { elements, numbers, scalars } = signature;
  const inputs = [...elements, ...numbers];
  const { lines, results } = writeShader(
    program,
    signature,
    glsl,
    (name) => {
      const texture = `input${String(inputs.indexOf(name))}`;
      return numbers.includes(name)
        ? `T(texelFetch(${texture}, ivec2(0), 0).x)`
        : // With a sampler that takes the nearest texel, this is as exact as texelFetch, which takes longer.
          `lanes(texture(${texture}, place))`;
    },
    (position) => `s[${String(Math.floor(position / NUMBERS_IN_VECTOR))}][${String(position % NUMBERS_IN_VECTOR)}]`,
  );
  return [
    head,
    ...inputs.map((_, i) => `uniform sampler2D input${String(i)};`),
    'in vec2 place;',
    scalars.length > 0 ? `flat in vec4 s[${String(vectorsOf(scalars.length))}];` : '',
    ...outputs.map((_, i) => `layout(location = ${String(i)}) out vec4 output${String(i)};`),
    ragged ? inside : '',
    types[lanes],
    helpers,
    'void main() {',
    ...lines,
    // What reads whole texels relies on zeros beyond the elements.
    ragged ? 'B elements = lanes(inside(int(gl_FragCoord.y) * extent.x + int(gl_FragCoord.x)));' : '',
    ...outputs.map((name, i) => {
      const result = ragged ? `mix(T(0.0), ${results[name]}, elements)` : results[name];
      return `output${String(i)} = texel(${result});`;
    }),
    '}',
  ].join('\n');
}

/** Rows and columns of pixels in which a check of one tensor leaves what it finds. */
export const FINDINGS = 16;

/**
 * A fragment shader that looks for what is not finite in `part.x` texels from `part.y` on, in a texture of `part.w` rows; the
 * pixels have divided it among them. `part.z`: whether a texel holds a square, or one element. A pixel is white where
 * something is found.
 */
export const checkSource = `${head}
uniform sampler2D source;
uniform ivec4 part;
out vec4 found;
${inside}
${types[4]}
const int notFinite = 0x7f800000;
void main() {
  ivec2 pixel = ivec2(gl_FragCoord.xy) % ${String(FINDINGS)};
  int width = extent.x;
  int end = part.x + part.y;
  int rows = part.w;
  vec2 texel = 1.0 / vec2(width, rows);
  // Where all bits of the exponent are set, one more carries into the sign. What is found so may be beyond the elements, which is
  // rare.
  ivec4 signs = ivec4(0);
  for (int y = pixel.y; y < rows; y += ${String(FINDINGS)}) {
    int last = min(width, end - y * width);
    for (int x = pixel.x; x < last; x += ${String(FINDINGS)}) {
      ivec4 bits = floatBitsToInt(textureLod(source, (vec2(x, y) + 0.5) * texel, 0.0));
      signs |= (bits & 0x7fffffff) + 0x00800000;
    }
  }
  found = vec4(0.0);
  if (!any(lessThan(signs, ivec4(0)))) return;
  for (int y = pixel.y; y < rows; y += ${String(FINDINGS)}) {
    for (int x = pixel.x; x < width; x += ${String(FINDINGS)}) {
      int position = y * width + x - part.y;
      if (position < 0 || position >= part.x) continue;
      ivec4 bits = floatBitsToInt(texelFetch(source, ivec2(x, y), 0));
      bvec4 bad = equal(bits & notFinite, ivec4(notFinite));
      bvec4 elements = part.z == 1 ? inside(position) : bvec4(true, false, false, false);
      if (any(bad) && any(both(bad, elements))) found = vec4(1.0);
    }
  }
}`;
