import { cyclicKind } from './cycles.js';
import { boundedKind, inverseTimeKind, sqrtKind } from './decays.js';
import {
  constantKind,
  cosineKind,
  cosineRestartsKind,
  exponentialKind,
  inverseSqrtKind,
  linearKind,
  milestonesKind,
  oneCycleKind,
  plateauKind,
  polynomialKind,
  productKind,
  scaledKind,
  sequenceKind,
  stepKind,
} from './kinds.js';
import { AdakitError, shown } from '../errors.js';
import { scheduleOf, scheduleProblems } from './made-schedule.js';
import { piecewiseKind } from './points.js';
import { wrongSchedule, type Schedule, type ScheduleKind } from './schedule.js';

const kinds: readonly Pick<ScheduleKind, 'kind' | 'fields'>[] = [
  constantKind,
  stepKind,
  milestonesKind,
  exponentialKind,
  linearKind,
  polynomialKind,
  cosineKind,
  cosineRestartsKind,
  oneCycleKind,
  inverseSqrtKind,
  inverseTimeKind,
  sqrtKind,
  cyclicKind,
  piecewiseKind,
  plateauKind,
  scaledKind,
  boundedKind,
  productKind,
  sequenceKind,
];

type Fields = Readonly<Record<string, unknown>>;

/** Reads a schedule of any kind from data, e.g. of a file. @throws AdakitError naming what is wrong */
export function parseSchedule(hyperparameter: string, data: unknown): Schedule {
  const schedule = made(hyperparameter, data, '');
  const problems = scheduleProblems(schedule);
  if (problems.length > 0) throw wrongSchedule(hyperparameter, problems);
  return schedule as Schedule;
}

/**
 * The schedule of data; what has not even the form of one is left to the check of the schedule around it.
 *
 * @param path in front of its fields' names
 */
function made(hyperparameter: string, data: unknown, path: string): unknown {
  if (typeof data !== 'object' || data === null) return data;
  const { kind, ...fields } = data as Fields;
  const found = kinds.find((known) => known.kind === kind);
  if (found === undefined) {
    throw new AdakitError(
      'invalid-hyperparameter',
      `the schedule of ${hyperparameter} is wrong: ${path}kind must be one of ` +
        `${kinds.map((known) => known.kind).join(', ')}, got ${shown(kind)}`,
    );
  }
  const nested = (value: unknown, name: string): unknown => made(hyperparameter, value, `${path}${name}.`);
  const { schedule, of, parts } = fields;
  const inside = {
    ...('schedule' in fields && { schedule: nested(schedule, 'schedule') }),
    ...(Array.isArray(of) && { of: of.map((each, i) => nested(each, `of.${i}`)) }),
    ...(Array.isArray(parts) && {
      parts: parts.map(
        (part: Fields | null, i) => part && { ...part, schedule: nested(part.schedule, `parts.${i}.schedule`) },
      ),
    }),
  };
  return scheduleOf(found as ScheduleKind, { ...fields, ...inside });
}
