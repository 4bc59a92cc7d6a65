import { describe, expect, it } from 'vitest';
import { jsDevice } from '../device/js/device.js';
import { referenceDevice } from '../device/reference/device.js';
import { wasmDevice } from '../device/wasm/device.js';
import { asMatrix, mean } from '../expression/expression.js';
import { defineOptimizer } from '../optimizer/define.js';
import { flag, learningRate } from '../optimizer/hyperparameters.js';
import { float16 } from '../tensor/narrow.js';
import { tensor32 } from '../tensor/tensor-data.js';
import { Run } from './run.js';

/** Slots of which flags change the shape of one and the format of the other. */
const changing = defineOptimizer({
  name: 'changing',
  hyperparameters: { lr: learningRate(0.5), byRow: flag(false), half: flag(false) },
  slots: ({ byRow, half }) => [
    { name: 'mean', shape: byRow ? ['rows', 1] : 'param', start: 1 },
    { name: 'velocity', dtype: half ? float16 : 'float32' },
  ],
  update({ param, grad, slots, uses: { byRow }, hyper: { lr } }) {
    const velocity = slots.velocity.mul(0.5).add(grad);
    const seen = byRow ? mean(asMatrix(grad), 'cols') : grad;
    return { param: param.sub(velocity.mul(lr)), slots: { mean: slots.mean.mul(0.5).add(seen), velocity } };
  },
});

const parameters = () => ({ w: tensor32([1, 2, 3, 4, 5, 6], [2, 3]), idle: tensor32([1, 2], [2, 1]) });
const gradient = (step: number) => ({ w: tensor32([1, -2, 3, 0.1 * step, 1 / 3, -1 / 7], [2, 3]) });

describe.each([
  ['js', jsDevice],
  ['wasm', wasmDevice],
  ['reference', () => referenceDevice('float32')],
])('flags that change slots in mid-run, on %s', (_, device) => {
  const started = async () => {
    const run = Run.start<unknown>(device(), changing(), parameters());
    for (let step = 1; step < 3; step++) await run.applyGradients(gradient(step));
    return run;
  };

  it.each([true, false])('start a slot of another shape anew: byRow %s', async (byRow) => {
    const run = await started();
    run.setHyperparameters({ byRow: true });
    if (!byRow) run.setHyperparameters({ byRow });
    const { w, idle } = (await run.state()).parameters;
    expect(w.slots.mean).toMatchObject(byRow ? tensor32([1, 1], [2, 1]) : tensor32([1, 1, 1, 1, 1, 1], [2, 3]));
    expect(idle.slots.mean).toMatchObject(tensor32([1, 1], [2, 1]));
    expect([...w.slots.velocity.data].slice(0, 3)).toEqual([1.5, -3, 4.5]);
    await run.applyGradients(gradient(3));
    const [mean] = (await run.state()).parameters.w.slots.mean.data;
    expect(mean).toBe(byRow ? Math.fround(0.5 + Math.fround(2 / 3)) : 1.5);
  });

  it('say that numbers fit in a narrower format when they do', async () => {
    const run = await started();
    run.setHyperparameters({ half: true });
    const before = await run.state();
    // 2/3 rounded to 24 bits does not fit in the 11 of float16; zeros do.
    expect(before.parameters.w.slots.velocity.narrow).toBeUndefined();
    expect(before.parameters.idle.slots.velocity.narrow).toBe('float16');
    const resumed = Run.start<unknown>(device(), changing({ half: true }), parameters());
    await resumed.load(before);
    for (const each of [run, resumed]) await each.applyGradients(gradient(3));
    const after = await run.state();
    expect(after.parameters.w.slots.velocity.narrow).toBe('float16');
    expect(await resumed.state()).toEqual(after);
  });
});
