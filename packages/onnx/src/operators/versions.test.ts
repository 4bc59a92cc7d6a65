import { readData } from '@adakit/fixtures';
import { describe, expect, test } from 'vitest';
import { OPSET } from '../model/opset.js';
import { operators } from './index.js';
import type { Operator } from '../entry/operator.js';

/** Every change of a standard operator since opset 8, as the schemas of ONNX tell it: see operator_versions.py. */
const { operators: history } = readData('operator-versions.json') as {
  readonly operators: Readonly<Record<string, Readonly<Record<string, readonly ('added' | 'changed' | 'text')[]>>>>;
};

/** Changes after the form handled that need nothing done. Those of element types alone are not listed. */
const NOTHING_TO_DO: Readonly<Record<string, string>> = {
  'Attention 24': 'the lengths of the keys become a mask',
  'Attention 25': 'windows are refused by name',
  'CastLike 19': 'becomes Cast',
  'CastLike 24': 'becomes Cast',
  'GroupNormalization 21': 'a scale for each channel is told from one for each group by its length',
};

const standard = [...operators.values()].filter(({ domain }) => domain === undefined);

function changesOf({ op }: Operator): readonly (readonly [number, readonly string[]])[] {
  return Object.entries(history[op] ?? {}).map(([opset, changes]) => [Number(opset), changes] as const);
}

describe('every version of an operator is accounted for', () => {
  test('up to the form handled: an upgrade where something went away', () => {
    const forgotten = standard.flatMap((operator) =>
      changesOf(operator)
        .filter(([opset, changes]) => opset <= operator.since && changes.includes('changed'))
        .filter(() => operator.upgrade === undefined)
        .map(([opset]) => `${operator.op} ${opset}`),
    );
    expect(forgotten).toEqual([]);
  });

  test('after it: an upgrade where anything but types is new, or a reason why none is needed', () => {
    const later = standard.flatMap((operator) =>
      changesOf(operator)
        .filter(([opset, changes]) => opset > operator.since && opset <= OPSET.newest && changes.length > 0)
        .filter(() => operator.upgrade === undefined)
        .map(([opset]) => `${operator.op} ${opset}`),
    );
    expect(later.sort()).toEqual(Object.keys(NOTHING_TO_DO));
  });

  test('the target opset is where the forms are: none is newer unless it is written in terms of others', () => {
    const newer = standard.filter(({ since, define }) => since > OPSET.target && define === undefined);
    expect(newer.map(({ op }) => op)).toEqual([]);
  });
});
