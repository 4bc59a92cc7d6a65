/** What went wrong, for programs; the message is for people. */
export type TrainingErrorCode =
  | 'no-execution-provider'
  | 'invalid-feed'
  | 'label-out-of-range'
  | 'non-finite-loss'
  | 'execution-failed'
  | 'needs-path'
  | 'disposed';

/** An error of a training session. The session itself is unharmed unless the code is `disposed`. */
export class TrainingError extends Error {
  override readonly name = 'TrainingError';
  readonly code: TrainingErrorCode;

  constructor(code: TrainingErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
