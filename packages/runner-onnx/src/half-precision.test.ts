import { dataFile } from '@adakit/fixtures';
import { sgd } from '@adakit/sgd';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { expect, test } from 'vitest';
import { crossEntropy, TrainingSession } from './index.js';

const zeros = { data: new Float32Array(36), dims: [1, 1, 6, 6] };

/** What stock ONNX Runtime computes from bytes of zeros, and in which type. */
async function computed(bytes: Uint8Array, input: Tensor) {
  const exported = await InferenceSession.create(bytes);
  const { y } = await exported.run({ x: input });
  await exported.release();
  return y;
}

test('a float16 model comes back as one, or in float32 where that is asked for', async () => {
  const session = await TrainingSession.create({
    model: dataFile('quirks/half-precision.onnx'),
    loss: crossEntropy(),
    optimizer: sgd({ lr: 0.1 }),
  });
  const ones = { data: new Float32Array(36).fill(1), dims: zeros.dims };
  await session.step({ x: ones, labels: { data: BigInt64Array.of(0n), dims: [1] } });
  const predicted = (await session.predict({ x: zeros })).y.data as Float32Array;

  const half = await computed(await session.exportModel(), new Tensor('float16', new Uint16Array(36), zeros.dims));
  expect(half.type).toBe('float16');
  const view = new Uint16Array((half.data as Uint16Array).buffer);
  // A positive or negative normal binary16: 1 sign, 5 exponent, 10 fraction bits; here within 2⁻⁷ of float32.
  predicted.forEach((value, i) => {
    const bits = view[i];
    const number = (bits & 0x8000 ? -1 : 1) * (1 + (bits & 0x3ff) / 1024) * 2 ** (((bits >> 10) & 0x1f) - 15);
    expect(Math.abs(number - value)).toBeLessThan(2 ** -7);
  });

  const wide = await computed(
    await session.exportModel(undefined, { precision: 'float32' }),
    new Tensor('float32', zeros.data, zeros.dims),
  );
  expect(wide.data).toEqual(predicted);
  await session.dispose();
});

test('a float16 model takes float16 as well as float32', async () => {
  const session = await TrainingSession.create({
    model: dataFile('quirks/half-precision.onnx'),
    loss: crossEntropy(),
    optimizer: sgd({ lr: 0.1 }),
  });
  const { dims } = zeros;
  const wide = await session.predict({ x: { data: new Float32Array(36).fill(1.5), dims } });
  // 1.5 is 0x3e00 as binary16 and 0x3fc0 as bfloat16.
  const half = await session.predict({ x: { data: new Uint16Array(36).fill(0x3e00), dims, type: 'float16' } });
  const brain = await session.predict({ x: { data: new Uint16Array(36).fill(0x3fc0), dims, type: 'bfloat16' } });
  const tensor = await session.predict({ x: new Tensor('float16', new Uint16Array(36).fill(0x3e00), dims) });
  for (const { y } of [half, brain, tensor]) expect(y.data).toEqual(wide.y.data);
  await expect(session.predict({ x: { data: new Uint16Array(36), dims } })).rejects.toThrow(
    "'x' must be float32, got uint16; say type: 'float16' or 'bfloat16' if these are the bits of one",
  );
  await session.dispose();
});
