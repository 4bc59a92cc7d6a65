import { dataFile } from '@adakit/fixtures';
import { checkModel, readModel } from '@adakit/onnx';
import { describe, expect, test } from 'vitest';
import { compareDifferences, compareGradients, compareTraining, worst } from './compare.js';
import { modelsOf, readFixtures, readReference } from './fixture.js';

// exported_models.py writes other folders, too: `--size full` one with the networks in their published widths.
const folder = process.env.ADAKIT_EXPORTED_MODELS ?? dataFile('exported');
const models = readFixtures(folder).flatMap(modelsOf);

test('every network is there, by both exporters', () => {
  const exporters = models.map(
    ({ fixture, file }) => `${fixture.network} ${fixture.models[file].exporter.split(' ')[0]}`,
  );
  expect([...new Set(exporters)].length).toBe(2 * 13);
});

describe.each(models)('$file', (exported) => {
  test('can be trained', async () => {
    const check = checkModel(await readModel(exported.path));
    expect(check.problems).toEqual([]);
    expect(check.trainable).toBe(true);
    const { kept, changed } = exported.fixture.models[exported.file];
    const selected = check.parameters.filter((parameter) => parameter.selected).map(({ name }) => name);
    expect(selected).toEqual(expect.arrayContaining([...kept, ...Object.keys(changed)]));
  });

  test('has the loss, every gradient and the running statistics of PyTorch', { timeout: 600_000 }, async () => {
    const { loss, gradients, statistics } = await compareGradients(exported, await readReference(exported));
    expect([loss, ...gradients, ...statistics].filter(({ error, bound }) => !(error <= bound))).toEqual([]);
    // Rounding leaves most of the digits: a bound that it has widened this far would say nothing.
    expect(worst(gradients.map(({ of, bound }) => ({ of, error: bound, bound: 1 }))).error).toBeLessThan(1e-1);
  });

  test('has the losses of PyTorch while it is trained with Adam', { timeout: 600_000 }, async () => {
    const deviations = await compareTraining(exported, await readReference(exported));
    expect(deviations).toHaveLength(20);
    expect(deviations.filter(({ error, bound }) => !(error <= bound))).toEqual([]);
  });

  test('has gradients that agree with differences', { timeout: 600_000 }, async () => {
    const { parameters, ok } = await compareDifferences(exported, await readReference(exported), { timeLimit: 20 });
    expect(parameters.filter(({ verdict }) => verdict === 'wrong')).toEqual([]);
    expect(ok).toBe(true);
  });
});
