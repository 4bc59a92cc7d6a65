import { randomLikeInput } from './random-tensor.js';

/** Normally distributed random numbers of the shape of the input, on whose values they do not depend. */
export const RandomNormalLike = randomLikeInput('RandomNormalLike');
