import { variadic } from './elementwise/variadic.js';

/** y = (x₁ + … + xₙ) / n. */
export const Mean = variadic('Mean', 13, ({ e, inputs, dy }) => e.scale(dy, 1 / inputs.length));
