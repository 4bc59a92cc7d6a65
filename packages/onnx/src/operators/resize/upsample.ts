import { floatsToInput } from '../upgrade.js';
import type { Operator } from '../operator.js';
import { upgradeOldResize } from './old-resize.js';

/** Resize as it was called before opset 10. */
export const Upsample: Operator = {
  op: 'Upsample',
  since: 9,
  shape: 'values',
  notes: 'becomes Resize',
  infer: (ctx) => ctx.fail('opset 10 replaced it by Resize'),
  gradient: 'none',
  upgrade(ctx) {
    if (ctx.opset > 9) ctx.fail('is used in a model of an opset that has taken it out; use Resize');
    floatsToInput(ctx, 'scales', 1);
    return upgradeOldResize(ctx);
  },
};
