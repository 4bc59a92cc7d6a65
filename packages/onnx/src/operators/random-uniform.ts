import { randomOfShape } from './random-tensor.js';

/** Uniformly distributed random numbers, of a shape given as an attribute. */
export const RandomUniform = randomOfShape('RandomUniform');
