import type { Emitter } from '../graph/emitter.js';
import type { Value } from '../graph/value.js';

/** x/2 (1 + erf(x/√2)). */
export function erfGelu(e: Emitter, x: Value): Value {
  return halfGate(e, x, e.node('Erf', [e.scale(x, Math.SQRT1_2)]));
}

/** x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))). */
export function tanhGelu(e: Emitter, x: Value): Value {
  const cubic = e.add(e.scale(e.square(x), 0.044715), e.scalar(1, x));
  return halfGate(e, x, e.node('Tanh', [e.mul(e.scale(x, Math.sqrt(2 / Math.PI)), cubic)]));
}

function halfGate(e: Emitter, x: Value, gate: Value): Value {
  return e.mul(e.scale(x, 0.5), e.add(gate, e.scalar(1, x)));
}
