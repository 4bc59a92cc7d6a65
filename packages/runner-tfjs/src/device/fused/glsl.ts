import type { Program } from '@adakit/core';
import { arithmetic, writeShader, type Dialect, type Signature } from './elementwise.js';

/** A triangle that covers the viewport, without any buffer. */
export const vertexSource = `#version 300 es
void main() {
  gl_Position = vec4(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0, 0.0, 1.0);
}`;

const head = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
`;

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
        : `lanes(texelFetch(${texture}, at, 0))`;
    },
    (position) => `s[${String(position)}]`,
  );
  return [
    head,
    ...inputs.map((_, i) => `uniform sampler2D input${String(i)};`),
    scalars.length > 0 ? `uniform float s[${String(scalars.length)}];` : '',
    ...outputs.map((_, i) => `layout(location = ${String(i)}) out vec4 output${String(i)};`),
    ragged ? inside : '',
    types[lanes],
    helpers,
    'void main() {',
    'ivec2 at = ivec2(gl_FragCoord.xy);',
    ...lines,
    // What reads whole texels relies on zeros beyond the elements.
    ragged ? 'B elements = lanes(inside(at.y * extent.x + at.x));' : '',
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
const uvec4 notFinite = uvec4(0x7f800000u);
void main() {
  ivec2 pixel = ivec2(gl_FragCoord.xy) % ${String(FINDINGS)};
  int end = part.x + part.y;
  // What is found here may be beyond the elements, which is rare.
  uvec4 most = uvec4(0u);
  for (int y = pixel.y; y < part.w; y += ${String(FINDINGS)}) {
    int last = min(extent.x, end - y * extent.x);
    for (int x = pixel.x; x < last; x += ${String(FINDINGS)}) {
      most = max(most, floatBitsToUint(texelFetch(source, ivec2(x, y), 0)) & notFinite);
    }
  }
  found = vec4(0.0);
  if (!any(equal(most, notFinite))) return;
  for (int y = pixel.y; y < part.w; y += ${String(FINDINGS)}) {
    for (int x = pixel.x; x < extent.x; x += ${String(FINDINGS)}) {
      int position = y * extent.x + x - part.y;
      if (position < 0 || position >= part.x) continue;
      bvec4 bad = equal(floatBitsToUint(texelFetch(source, ivec2(x, y), 0)) & notFinite, notFinite);
      bvec4 elements = part.z == 1 ? inside(position) : bvec4(true, false, false, false);
      if (any(bad) && any(both(bad, elements))) found = vec4(1.0);
    }
  }
}`;
