import type { Value } from './value.js';

/** Whether a value depends on what is fed, to the graph or to the body that it is in: others are weights or made of them. */
export function isFed(value: Value): boolean {
  const seen = new Set<Value>([value]);
  const pending = [value];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { producer, tensor } = next;
    if (tensor !== undefined) continue;
    if (producer === undefined) return true;
    for (const input of [...producer.captures, ...producer.inputs]) {
      if (input === undefined || seen.has(input)) continue;
      seen.add(input);
      pending.push(input);
    }
  }
  return false;
}
