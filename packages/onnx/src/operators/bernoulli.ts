import { randomLikeInput } from './random-tensor.js';

/** Draws 1 with the probability that the input says, else 0; no gradient goes through the draw. */
export const Bernoulli = randomLikeInput('Bernoulli', 15);
