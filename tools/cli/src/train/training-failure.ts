/** Training failed, not the command; exit code 1. */
export class TrainingFailure extends Error {
  override readonly name = 'TrainingFailure';
}
