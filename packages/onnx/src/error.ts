import { AdakitError, closestName } from '@adakit/core';

/** What went wrong, for programs; the message says it for people. */
export type OnnxErrorCode =
  | 'file-not-found'
  | 'cannot-read'
  | 'truncated-file'
  | 'not-onnx'
  | 'invalid-model'
  | 'external-data'
  | 'unsupported-opset'
  | 'unsupported-operator'
  | 'unsupported-dtype'
  | 'not-differentiable'
  | 'unknown-shape'
  | 'invalid-node'
  | 'too-large'
  | 'invalid-argument'
  | 'unknown-parameter'
  | 'no-trainable-parameter'
  | 'unsupported-optimizer';

/** One finding about one node or value. */
export interface Problem {
  /** Name of the node (or value) concerned. */
  readonly node: string;
  /** Operator type, `domain::Op` outside the default domain. */
  readonly op: string;
  readonly what: string;
  /** What the user can do about it. */
  readonly hint?: string;
}

/** The one error class of this package: a code, a message naming the thing, and all findings when there are several. */
export class OnnxError extends AdakitError<OnnxErrorCode> {
  override readonly name = 'OnnxError';
  readonly problems: readonly Problem[];

  constructor(code: OnnxErrorCode, message: string, options: { problems?: readonly Problem[]; cause?: unknown } = {}) {
    super(code, message, 'cause' in options ? { cause: options.cause } : undefined);
    this.problems = options.problems ?? [];
  }
}

/** ` (did you mean 'fc.weight'?)` where a known name is close to `given`, nothing elsewhere. */
export function didYouMean(given: string, known: Iterable<string>): string {
  const name = closestName(given, known);
  return name === undefined ? '' : ` (did you mean '${name}'?)`;
}

/** An error that lists every finding at once, one a line. */
export function problemsError(code: OnnxErrorCode, headline: string, problems: readonly Problem[]): OnnxError {
  const lines = problems.map(
    ({ node, op, what, hint }) => `  ${op} node '${node}': ${what}${hint === undefined ? '' : ` (${hint})`}`,
  );
  return new OnnxError(code, [headline, ...lines].join('\n'), { problems });
}
