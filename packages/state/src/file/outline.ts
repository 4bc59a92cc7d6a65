import type { ParameterOutline, StateOutline } from '@adakit/core/states';
import { layoutOf } from './contents.js';
import type { StateDocument } from './document.js';
import type { TensorInfo } from './header.js';

/**
 * What a file says before its tensors are read, for `checkOutline`: whether the state fits an optimizer and parameters.
 *
 * @param tensors by their names in the file
 * @throws StateFileError for tensors that no state has
 */
export function outlineOf(
  document: StateDocument,
  tensors: ReadonlyMap<string, TensorInfo>,
  file = 'the state',
): StateOutline {
  const { optimizer, step, globals } = document;
  const shapeOf = (name: string): readonly number[] => tensors.get(name)?.shape ?? [];
  const parameters = [...layoutOf(document, tensors, file).parameters].map(([name, { value, entry, rule, slots }]) => {
    const { programHash } = rule;
    const { role, units } = entry;
    const outline: ParameterOutline = {
      shape: shapeOf(value),
      step: entry.step ?? step,
      slots: Object.fromEntries([...slots].map(([slot, tensor]) => [slot, shapeOf(tensor)])),
      ...(programHash !== undefined && { programHash }),
      ...(role && { role }),
      ...(units && { units }),
    };
    return [name, outline] as const;
  });
  return { optimizer, step, ...(globals && { globals }), parameters: Object.fromEntries(parameters) };
}
