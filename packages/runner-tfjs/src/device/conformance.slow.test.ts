import { describeDevice } from '@adakit/testing/vitest';
import '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import './fused/cpu.js';
import './fused/wasm.js';
import { startBackend, tfjsDevice } from '../index.js';

for (const backend of ['cpu', 'wasm']) {
  describeDevice(
    `tfjs/${backend}`,
    async () => {
      await startBackend(backend);
      return tfjsDevice(backend);
    },
    { exact: true },
  );
  describeDevice(
    `tfjs/${backend}, op by op`,
    async () => {
      await startBackend(backend);
      return tfjsDevice(backend, { fused: false });
    },
    { rules: 50 },
  );
}
