import { randomOfShape } from './random-tensor.js';

/** Normally distributed random numbers, of a shape given as an attribute. */
export const RandomNormal = randomOfShape('RandomNormal');
