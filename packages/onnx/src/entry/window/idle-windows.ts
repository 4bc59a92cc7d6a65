import { isStatic } from '../../shape/dim.js';
import { isStaticShape } from '../../shape/shape.js';
import type { UpgradeContext } from '../operator.js';
import { coverEverything } from './sums.js';
import { poolWindows, requirePlaced, windowExtent } from './windows.js';

/**
 * Says in padding what `ceil_mode` says, where it leaves a window out because that would begin in the padding: shape inference of
 * ONNX Runtime (1.20 to 1.30) counts the window that its kernels leave out, and so refuses whatever fits the pool's output. Where
 * padding counts in the mean, a window may still reach beyond it, which padding cannot say, and kernels refuse padding as
 * large as an undilated window; such a node stays as it is.
 */
export function padForCeil(ctx: UpgradeContext): undefined {
  const { attributes, inputs } = ctx.node;
  const spatial = inputs[0]?.shape?.slice(2);
  if (attributes.int('ceil_mode', 0) === 0 || spatial === undefined || !isStaticShape(spatial)) return;
  const windows = requirePlaced(ctx, poolWindows(ctx, spatial));
  const { strides, begin, end, input, output } = windows;
  const leavesOut = output.some((count, i) => {
    const length = input[i];
    if (!isStatic(length) || !isStatic(count)) return false;
    return count < Math.ceil((length + begin[i] + end[i] - windowExtent(windows, i)) / strides[i]) + 1;
  });
  const covered = coverEverything(windows);
  const reachesBeyond = covered.end.some((pad, i) => pad > end[i]);
  const isTooMuch = covered.end.some((pad, i) => pad >= windows.kernel[i]);
  if (!leavesOut || isTooMuch || (reachesBeyond && attributes.int('count_include_pad', 0) === 1)) return;
  attributes.delete('ceil_mode');
  attributes.delete('auto_pad');
  attributes.set('pads', [...begin, ...covered.end]);
}
