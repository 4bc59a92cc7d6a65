import { didYouMean, OnnxError } from '../error.js';
import type { Node } from '../graph/node.js';
import { SCHEMAS } from './schemas.js';

/** What an operator takes. */
interface Schema {
  readonly mostInputs: number;
  readonly attributes: ReadonlySet<string>;
}

/** By the names of standard operators. */
const schemas: ReadonlyMap<string, Schema> = new Map(
  SCHEMAS.trim()
    .split('\n')
    .map((line) => {
      const [op, most, ...attributes] = line.split(' ');
      return [op, { mostInputs: most === '*' ? Infinity : Number(most), attributes: new Set(attributes) }];
    }),
);

/**
 * Refuses what no shape rule looks at and ONNX Runtime does not take: attributes that an operator does not have, and inputs
 * behind its last one. Operators of other domains are let through.
 *
 * @throws {OnnxError} `invalid-node`
 */
export function requireKnownForm({ key, label, inputs, attributes, bodies }: Node): void {
  const schema = schemas.get(key);
  if (schema === undefined) return;
  if (inputs.length > schema.mostInputs) {
    throw new OnnxError(
      'invalid-node',
      `${label}: has ${inputs.length} inputs; the operator takes at most ${schema.mostInputs}`,
    );
  }
  for (const name of [...attributes.names(), ...bodies.keys()]) {
    if (schema.attributes.has(name)) continue;
    throw new OnnxError(
      'invalid-node',
      `${label}: it has the attribute '${name}', which the operator does not take` +
        `${didYouMean(name, schema.attributes)}; remove it, or export the model again`,
    );
  }
}
