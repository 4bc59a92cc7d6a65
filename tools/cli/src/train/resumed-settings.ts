import type { HyperparameterValues, Optimizer, OptimizerConfig, PieceConfig } from '@adakit/core';
import { UsageError } from '../usage-error.js';

/** What is given on the command line of an optimizer. */
export interface AskedSettings {
  /** Of `--set`. */
  readonly settings: HyperparameterValues;
  readonly schedule?: string;
  readonly warmup?: number;
}

/**
 * Says where a run that goes on would not do what is asked of it: it goes on with the settings of its state.
 *
 * @param saved the optimizer of the state
 * @param asked the one that the options make
 * @throws UsageError for what is given of hyperparameters, of the schedule and of what is around the rule, and is otherwise in the
 * run
 */
export function requireSameSettings(
  saved: OptimizerConfig,
  asked: Optimizer,
  { settings, schedule, warmup }: AskedSettings,
): void {
  const pieces = piecesOf(asked.toConfig());
  const [has, wants] = [piecesOf(saved), pieces].map(textOf);
  if (has !== wants) {
    throw new UsageError(
      `the checkpoints are of ${has}, and the options ask for ${wants}; give the same options, make another state with ` +
        'adakit state convert --optimizer, or begin another run',
    );
  }
  const before = new Map(piecesOf(saved).map((piece) => [piece.name, piece]));
  for (const piece of pieces) {
    const run = before.get(piece.name);
    if (run === undefined) continue;
    const given = piece.kind === 'rule' ? settings : piece.hyperparameters;
    for (const [name, value] of Object.entries(given)) {
      if (run.hyperparameters[name] === value) continue;
      const option =
        piece.kind === 'rule' ? `--set ${name}=${String(value)}` : `${optionOf(piece.name)} ${String(value)}`;
      refuse(option, String(run.hyperparameters[name]));
    }
    const scheduled = piece.kind === 'rule' && (schedule !== undefined || warmup !== undefined);
    const [then, now] = [run, piece].map(({ schedules }) => JSON.stringify(schedules.lr));
    if (scheduled && then !== now) {
      refuse(
        schedule === undefined ? '--warmup' : `--schedule ${schedule}`,
        Object.hasOwn(run.schedules, 'lr') ? then : 'no schedule of lr',
      );
    }
  }
}

function refuse(option: string, has: string): never {
  throw new UsageError(
    `${option}: the run goes on with what its checkpoints have, ${has}; give the same options (a schedule follows from --epochs ` +
      'and --steps, too), change a hyperparameter with adakit state convert --set, or begin another run',
  );
}

/** `ema(adam)`. How the loss is scaled follows from the precision, and is the session's. */
function textOf(pieces: readonly PieceConfig[]): string {
  const names = pieces.map(({ name }) => name).filter((name) => name !== 'lossScaling');
  return names.reduceRight((inner, name) => `${name}(${inner})`);
}

/** The option by which the command puts a piece around the rule. */
function optionOf(piece: string): string {
  return OPTIONS.get(piece) ?? piece;
}

const OPTIONS: ReadonlyMap<string, string> = new Map([
  ['clipByGlobalNorm', '--clip'],
  ['accumulate', '--accumulate'],
  ['ema', '--ema'],
]);

/** The rule and what is around it; groups are for parameters that are treated apart. */
function piecesOf(config: OptimizerConfig): readonly PieceConfig[] {
  if (config.kind === 'groups') return piecesOf(config.rest);
  return config.inner === undefined ? [config] : [config, ...piecesOf(config.inner)];
}
