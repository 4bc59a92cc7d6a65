import { randomLikeInput } from './random-tensor.js';

/** Uniformly distributed random numbers of the shape of the input, on whose values they do not depend. */
export const RandomUniformLike = randomLikeInput('RandomUniformLike');
