import type { Value } from '../../graph/value.js';
import { Tensor } from '../../model/tensor.js';
import type { UpgradeContext } from '../operator.js';

/**
 * Resize of opset 10, and Upsample: output position o lies at o / scale, and nearest takes the element at or before that
 * where an axis grows, the one at or after it where it shrinks (so ONNX Runtime does it).
 */
export function upgradeOldResize(ctx: UpgradeContext): readonly Value[] {
  const { node, e } = ctx;
  const [x, scales] = node.inputs;
  if (x === undefined || scales === undefined) return ctx.fail('lacks its scales');
  const mode = node.attributes.string('mode', 'nearest');
  const resize = (value: Value, by: Value, nearest?: string) =>
    e.node('Resize', [value, undefined, by], {
      mode: mode === 'nearest' ? mode : 'linear',
      coordinate_transformation_mode: 'asymmetric',
      nearest_mode: nearest,
    });
  if (mode !== 'nearest') return [resize(x, scales)];
  const factors = scales.constant?.toNumbers();
  // Upsample only knows scales from 1 up.
  if (factors?.every((factor) => factor >= 1) ?? node.op === 'Upsample') return [resize(x, scales, 'floor')];
  if (factors === undefined) return ctx.fail('takes its scales from the data; export the model with opset 11 or later');
  const only = (keep: (factor: number) => boolean) => {
    const data = Float32Array.from(factors, (factor) => (keep(factor) ? factor : 1));
    return e.constant(Tensor.of('float32', [data.length], data), 'scales');
  };
  const shrunk = resize(
    x,
    only((factor) => factor < 1),
    'ceil',
  );
  return [
    factors.some((factor) => factor > 1)
      ? resize(
          shrunk,
          only((factor) => factor > 1),
          'floor',
        )
      : shrunk,
  ];
}
