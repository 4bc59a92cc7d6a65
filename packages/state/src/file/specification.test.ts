import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { tensor32, type TrainingState } from '@adakit/core';
import { formatDocument, parseDocument } from './document.js';
import { decodeState, encodeState } from './state-file.js';
import { storedDTypes } from './stored-tensor.js';

const specification = readFileSync(join(import.meta.dirname, '../../../../docs/state-format.md'), 'utf8');

const example: TrainingState = {
  optimizer: { kind: 'rule', name: 'sgd', hyperparameters: { lr: 0.1 }, initial: { lr: 0.1 }, schedules: {} },
  step: 3,
  parameters: {
    b: {
      value: tensor32([1, -2]),
      step: 2,
      slots: { momentumBuffer: tensor32([0.5, 0]) },
      meanings: { momentumBuffer: { of: 'sum(grad)' } },
      programHash: '0123456789abcdef0123456789abcdef',
    },
  },
  origin: 'js',
};

function block(language: string): string {
  return new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``).exec(specification)?.[1] ?? '';
}

test('the example in the specification is the file, byte for byte', () => {
  const bytes = block('hex')
    .trimEnd()
    .split('\n')
    .flatMap((line) => line.slice(6, 53).trim().split(' '))
    .map((digits) => parseInt(digits, 16));
  expect(bytes).toEqual([...encodeState(example)]);
  expect(decodeState(Uint8Array.from(bytes))).toStrictEqual(example);
});

test('the document in the specification is valid', () => {
  const json = block('jsonc')
    .replace(/\/\/.*$/gm, '')
    .replace(/,(\s*[}\]])/g, '$1');
  const document = parseDocument(json, {});
  expect(JSON.parse(formatDocument(document, {}))).toEqual(JSON.parse(json));
});

test('the specification lists every element type', () => {
  const listed = /`dtype` is one of `([^`]*)`/.exec(specification)?.[1].split(/\s+/);
  expect(listed).toEqual(storedDTypes);
});
