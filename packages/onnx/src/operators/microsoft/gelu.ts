import { composite, likeInput } from '../composite.js';
import { erfGelu } from '../gelu.js';

/** y = x/2 (1 + erf(x/√2)): ONNX Runtime's own, from before opset 20. */
export const MicrosoftGelu = composite({
  op: 'Gelu',
  domain: 'com.microsoft',
  since: 1,
  native: 'none',
  infer: likeInput,
  define: ({ e, input }) => [erfGelu(e, input(0))],
});
