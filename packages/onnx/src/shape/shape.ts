import { broadcastDims, differentDims, equalDims, isStatic, type Dim } from './dim.js';

/** The dimensions of a value, outermost first. */
export type Shape = readonly Dim[];

/** Largest number of elements whose values shape inference follows; shape vectors are far shorter. */
export const MAX_CONTENTS = 1024;

export function printShape(shape: Shape | undefined): string {
  return shape === undefined ? 'of unknown rank' : `[${shape.map(String).join(', ')}]`;
}

export function isStaticShape(shape: Shape): shape is readonly number[] {
  return shape.every(isStatic);
}

export function equalShapes(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => equalDims(dim, b[i]));
}

/** Whether two shapes can certainly not be the same. */
export function differentShapes(a: Shape, b: Shape): boolean {
  return a.length !== b.length || a.some((dim, i) => differentDims(dim, b[i]));
}

/** The shape that multidirectional broadcasting gives, or undefined when the shapes do not fit together. */
export function broadcastShapes(...shapes: readonly Shape[]): Shape | undefined {
  const rank = Math.max(0, ...shapes.map((shape) => shape.length));
  const result = new Array<Dim>(rank).fill(1);
  for (const shape of shapes) {
    const offset = rank - shape.length;
    for (let i = 0; i < shape.length; i++) {
      const dim = broadcastDims(result[offset + i], shape[i]);
      if (dim === undefined) return undefined;
      result[offset + i] = dim;
    }
  }
  return result;
}

/** An axis counted from the front, or undefined when it is outside [-rank, rank). */
export function normalizeAxis(axis: number, rank: number): number | undefined {
  const positive = axis < 0 ? axis + rank : axis;
  return positive >= 0 && positive < rank ? positive : undefined;
}
