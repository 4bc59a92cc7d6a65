import { describe, expect, it } from 'vitest';
import { matrices, type ParameterMatch, type ParameterSpec } from './match.js';
import { matchData, matches, matchFromData, requireMatches } from './matching.js';

const parameters: readonly ParameterSpec[] = [
  { name: 'embed.weight', shape: [10, 4], role: 'embedding' },
  { name: 'fc1.weight', shape: [8, 4], role: 'weight' },
  { name: 'fc1.bias', shape: [8], role: 'bias' },
  { name: 'norm.scale', shape: [8], role: 'norm' },
  { name: 'conv.weight', shape: [8, 3, 5, 5], role: 'weight' },
  { name: 'temperature', shape: [] },
];
const chosen = (match: ParameterMatch): string[] =>
  parameters.filter((parameter) => matches(match, parameter)).map(({ name }) => name);

describe('a match', () => {
  const cases: [string, ParameterMatch, string[]][] = [
    ['by name is exact', 'fc1.bias', ['fc1.bias']],
    ['by a part of a name finds nothing', 'fc1', []],
    ['by expression searches', /^fc1|scale$/, ['fc1.weight', 'fc1.bias', 'norm.scale']],
    ['by name among conditions', { name: /weight/, rank: 2 }, ['embed.weight', 'fc1.weight']],
    ['by rank', { rank: 1 }, ['fc1.bias', 'norm.scale']],
    ['by rank from', { rank: { atLeast: 3 } }, ['conv.weight']],
    ['by rank to', { rank: { atMost: 0 } }, ['temperature']],
    ['by rank within', { rank: { atLeast: 1, atMost: 2 } }, ['embed.weight', 'fc1.weight', 'fc1.bias', 'norm.scale']],
    ['of all matrices', matrices, ['embed.weight', 'fc1.weight', 'conv.weight']],
    ['by shape', { shape: [8] }, ['fc1.bias', 'norm.scale']],
    ['by the shape of a number', { shape: [] }, ['temperature']],
    ['by role', { role: 'bias' }, ['fc1.bias']],
    ['by several roles', { role: ['bias', 'norm'] }, ['fc1.bias', 'norm.scale']],
    ['by rank and role', { rank: { atLeast: 2 }, role: 'weight' }, ['fc1.weight', 'conv.weight']],
    ['by a function', ({ shape }) => shape[0] === 10, ['embed.weight']],
    ['without conditions chooses everything', {}, parameters.map(({ name }) => name)],
  ];
  it.each(cases)('%s', (_, match, names) => {
    expect(chosen(match)).toEqual(names);
  });

  it('by a global or sticky expression is the same every time', () => {
    for (const expression of [/bias/g, /fc1/y]) {
      expect([1, 2, 3].map(() => chosen(expression).length)).toEqual(
        [1, 1, 1].map((n) => (expression.sticky ? 2 * n : n)),
      );
    }
  });

  it.each(cases)('%s, also after a state has kept it', (_, match, names) => {
    const data: unknown = JSON.parse(JSON.stringify(matchData(match, chosen(match))));
    expect(chosen(matchFromData(data as ReturnType<typeof matchData>))).toEqual(names);
  });

  it('by a function is kept as the names it chose', () => {
    expect(matchData(() => true, ['a', 'b'])).toEqual({ names: ['a', 'b'] });
  });
});

describe('requireMatches', () => {
  it('gives what is chosen', () => {
    expect(requireMatches('it', { rank: 0 }, parameters)).toEqual([parameters[5]]);
  });

  const nothing: [ParameterMatch, string][] = [
    ['fc1.wieght', 'the freeze "fc1.wieght" matches none of the 6 parameters; the nearest are "fc1.weight"'],
    [/^fc3\.bias/, 'the freeze /^fc3\\.bias/ matches none of the 6 parameters; the nearest are "fc1.bias"'],
    [{ rank: 7 }, 'the freeze {"rank":7} matches none of the 6 parameters; they are "embed.weight", "fc1.weight"'],
    [{ name: /x/, role: 'bias' }, 'the freeze {"name":"/x/","role":"bias"} matches none'],
    [() => false, 'the freeze a function matches none of the 6 parameters'],
  ];
  it.each(nothing)('refuses %s, which chooses nothing, with names that are near', (match, message) => {
    const attempt = (): unknown => requireMatches('the freeze', match, parameters);
    expect(attempt).toThrow(message);
    expect(attempt).toThrow(expect.objectContaining({ code: 'unknown-parameter' }));
  });

  it('says nothing where there is nothing to choose from', () => {
    expect(requireMatches('it', 'w', [])).toEqual([]);
  });
});
