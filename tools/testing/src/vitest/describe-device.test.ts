import { jsDevice, referenceDevice, wasmDevice } from '@adakit/core';
import { describeDevice } from './describe-device.js';

describeDevice('reference', () => referenceDevice(), { exact: true });
describeDevice('reference in float32', () => referenceDevice('float32'), { exact: true });
describeDevice('js', () => jsDevice(), { exact: true });
describeDevice('wasm', () => wasmDevice(), { exact: true });
// Memory in small blocks: buffers of one parameter lie in one of several.
describeDevice('wasm in blocks of 256 kB', () => wasmDevice({ memoryLimit: 2 ** 18 }), { exact: true, rules: 20 });
