import { AdakitError } from '@adakit/core';

/** What went wrong, for programs; the message is for people. */
export type TrainingErrorCode =
  | 'no-execution-provider'
  | 'invalid-provider'
  | 'no-runtime'
  | 'refused-model'
  | 'failed-run'
  | 'invalid-feed'
  | 'empty-batch'
  | 'label-out-of-range'
  | 'needs-path'
  | 'invalid-option';

/** An error of a training session, which is unharmed. */
export class TrainingError extends AdakitError<TrainingErrorCode> {
  override readonly name = 'TrainingError';
}
