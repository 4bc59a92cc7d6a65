import { chooser, mutateBytes, mutateFields } from '@adakit/onnx-reference';
import { readFileSync } from 'node:fs';
import { dataFile } from '@adakit/fixtures';
import { expect, test } from 'vitest';
import { checkModel } from '../check/check-model.js';
import { OnnxError } from '../error.js';
import { parseModel, writeModel } from '../model/model.js';

/** By several exporters: with recurrent operators, sequences, resizing, normalizations in training form. */
const EXPORTED = ['gru', 'lstm-folded', 'gpt-dynamo', 'bert', 'unet', 'mobilenetv3-training', 'vit-dynamo'];
const FILES = [
  ...['mlp', 'cnn', 'attention', 'residual', 'regression'],
  ...EXPORTED.map((name) => `exported/${name}`),
].map((name) => readFileSync(dataFile(`${name}.onnx`)));

/** More than any of these models needs by far, with a busy machine to spare. */
const LONGEST_MS = 5000;

/** How many mutants of each kind: a few hundred here; FUZZ=10000 for a long run. */
const COUNT = Number(process.env.FUZZ ?? 400);

test.each(['bytes', 'fields'] as const)(
  'a model with mutated %s is refused with a clear error or imported, in time',
  { timeout: 3_600_000 },
  (kind) => {
    const outcomes = { accepted: 0, refused: 0, untrainable: 0 };
    for (let seed = 0; seed < COUNT; seed++) {
      const choose = chooser(seed);
      const original = FILES[choose(FILES.length)];
      const began = Date.now();
      try {
        let bytes: Uint8Array = original;
        if (kind === 'bytes') {
          bytes = mutateBytes(original, choose);
        } else {
          const { proto } = parseModel(Uint8Array.from(original));
          mutateFields(proto, choose);
          bytes = writeModel(proto);
        }
        const { trainable } = checkModel(parseModel(bytes));
        outcomes[trainable ? 'accepted' : 'untrainable']++;
      } catch (error) {
        if (!(error instanceof OnnxError)) throw new Error(`mutant ${seed} of ${kind} crashed`, { cause: error });
        outcomes.refused++;
      }
      expect(Date.now() - began, `mutant ${seed} of ${kind}`).toBeLessThan(LONGEST_MS);
    }
    // Both ways out must have been taken, or the mutations are too weak or too strong.
    expect(outcomes.accepted).toBeGreaterThan(0);
    expect(outcomes.refused + outcomes.untrainable).toBeGreaterThan(0);
    if (process.env.FUZZ !== undefined) process.stderr.write(`${kind}: ${JSON.stringify(outcomes)}\n`);
  },
);
