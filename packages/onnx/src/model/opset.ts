import { OnnxError } from '../error.js';
import { requireModel } from '../given.js';
import type { Model } from './model.js';

/** Default-domain operator sets: what is read, and the one that every graph is brought to. */
export const OPSET = { oldest: 1, newest: 26, target: 18 } as const;

/** IR version of emitted models: the one that came with opset 18's release, loadable by every ONNX Runtime since 1.15. */
export const IR_VERSION = 9;

/** The domain of operators that gradients and losses are written in, and that no file has. */
export const OWN_DOMAIN = 'adakit';

/** How operator tables call an operator: `Op` in the default domain ('' and 'ai.onnx' name it), `domain::Op` in others. */
export function operatorKey(op: string, domain = ''): string {
  return domain === '' || domain === 'ai.onnx' ? op : `${domain}::${op}`;
}

/** The default-domain opset of a model ('' and 'ai.onnx' name the same domain). */
export function defaultOpset(model: Model): number {
  requireModel('defaultOpset()', model);
  const entry = model.proto.opsetImport.find(({ domain }) => domain === '' || domain === 'ai.onnx');
  if (entry === undefined) {
    const domains = model.proto.opsetImport.map(({ domain }) => `'${domain}'`).join(', ');
    throw new OnnxError(
      'unsupported-opset',
      `${model.source} imports only the operator domains ${domains}; a model of standard ONNX operators is needed`,
    );
  }
  const opset = Number(entry.version);
  if (opset < OPSET.oldest || opset > OPSET.newest) {
    throw new OnnxError(
      'unsupported-opset',
      `${model.source} uses opset ${opset}; opsets ${OPSET.oldest} to ${OPSET.newest} are accepted. Export it again with one of these`,
    );
  }
  return opset;
}
