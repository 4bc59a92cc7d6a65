import { unary } from './elementwise/unary.js';

/** y = x. */
export const Identity = unary(
  'Identity',
  16,
  ({ dy }) => dy,
  (x) => x,
);
