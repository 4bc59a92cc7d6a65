import { AdakitError } from '../errors.js';
import { elementCount, sameShape, type NamedTensors } from '../tensor/tensor-data.js';

/**
 * Checks gradients against the parameters of a run, before anything is updated.
 *
 * @throws AdakitError for a gradient of an unknown parameter or of another shape, or whose elements do not fill its shape
 */
export function checkGradients(gradients: NamedTensors, shapes: ReadonlyMap<string, readonly number[]>): void {
  for (const [name, { shape, data }] of Object.entries(gradients)) {
    const expected = shapes.get(name);
    if (expected === undefined) {
      const names = [...shapes.keys()].map((known) => `"${known}"`).join(', ');
      throw new AdakitError('unknown-parameter', `gradient for "${name}", but the run has ${names || 'no parameters'}`);
    }
    if (!sameShape(shape, expected)) {
      throw new AdakitError(
        'invalid-gradient',
        `the gradient of "${name}" has shape [${shape.join(', ')}], the parameter has [${expected.join(', ')}]`,
      );
    }
    if (data.length !== elementCount(shape)) {
      throw new AdakitError(
        'invalid-gradient',
        `the gradient of "${name}" has shape [${shape.join(', ')}] but ${data.length} elements`,
      );
    }
  }
}
