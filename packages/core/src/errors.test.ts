import { expect, it } from 'vitest';
import { closestName, kindOf, suggestion } from './errors.js';

const known = ['weightDecay', 'lr', 'beta1', 'beta2'];
const closest: [string, string | undefined][] = [
  ['weight_decay', 'weightDecay'],
  ['WEIGHTDECAY', 'weightDecay'],
  ['wieghtDecay', 'weightDecay'],
  ['beta', 'beta1'],
  ['betta2', 'beta2'],
  ['momentum', undefined],
  ['weightDecoy', 'weightDecay'],
  ['weightDecaying', undefined],
];
it.each(closest)('the known name closest to "%s" is %s', (given, name) => {
  expect(closestName(given, known)).toBe(name);
});

it('a message suggests the closest name, or says nothing', () => {
  expect(`there is no 'betta2'${suggestion('betta2', known)}`).toBe("there is no 'betta2', did you mean 'beta2'?");
  expect(suggestion('momentum', known)).toBe('');
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
