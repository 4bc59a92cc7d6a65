import { expect, it } from 'vitest';
import { closestName, kindOf } from './errors.js';

const known = ['weightDecay', 'lr', 'beta1', 'beta2'];
const suggestions: [string, string | undefined][] = [
  ['weight_decay', 'weightDecay'],
  ['WEIGHTDECAY', 'weightDecay'],
  ['wieghtDecay', 'weightDecay'],
  ['beta', 'beta1'],
  ['betta2', 'beta2'],
  ['momentum', undefined],
  ['weightDecoy', 'weightDecay'],
  ['weightDecaying', undefined],
];
it.each(suggestions)('the known name closest to "%s" is %s', (given, suggestion) => {
  expect(closestName(given, known)).toBe(suggestion);
});

it.each<[unknown, string]>([
  ['w', '"w"'],
  [3n, '3'],
  [undefined, 'undefined'],
  [[], 'Array'],
  [new Float32Array(), 'Float32Array'],
  [Object.create(null), 'an object'],
])('says what a value is: %o', (value, kind) => {
  expect(kindOf(value)).toBe(kind);
});
