import { describeDevice } from '@adakit/testing/vitest';
import { onnxDevice } from './index.js';

// Every rule and shape is a session of its own, which takes a while to start.
describeDevice('onnx', () => onnxDevice(), { rules: 30 });
