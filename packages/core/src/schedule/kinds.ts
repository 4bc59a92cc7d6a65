import { shown } from '../errors.js';
import { scheduleProblems } from './made-schedule.js';
import type { FieldCheck, FieldsOf, PlateauState, ScheduleKind } from './schedule.js';

const field =
  (wanted: string, holds: (value: unknown) => boolean): FieldCheck =>
  (value, path) =>
    holds(value) ? [] : [`${path} must be ${wanted}, got ${shown(value)}`];
const isWhole = (x: unknown): boolean => Number.isSafeInteger(x) && Number(x) >= 0;
const count = /* @__PURE__ */ field('a whole number >= 1', (x) => isWhole(x) && x !== 0);
const whole = /* @__PURE__ */ field('a whole number >= 0', isWhole);
const nonNegative = /* @__PURE__ */ field('a number >= 0', (x) => Number.isFinite(x) && Number(x) >= 0);
const positive = /* @__PURE__ */ field('a number > 0', (x) => Number.isFinite(x) && Number(x) > 0);
const fraction = /* @__PURE__ */ field('a number in [0, 1]', (x) => typeof x === 'number' && x >= 0 && x <= 1);
const boolean = /* @__PURE__ */ field('true or false', (x) => typeof x === 'boolean');
const oneOf = (...words: readonly string[]): FieldCheck =>
  field(words.map((word) => JSON.stringify(word)).join(' or '), (x) => words.includes(x as string));
const listOf =
  (check: FieldCheck): FieldCheck =>
  (value, path) =>
    Array.isArray(value)
      ? value.flatMap((item, i) => check(item, `${path}.${i}`))
      : [`${path} must be a list, got ${shown(value)}`];
const nested: FieldCheck = (value, path) => scheduleProblems(value, `${path}.`);

/** From `from` to `to` on half a cosine wave. */
function halfWave(from: number, to: number, progress: number): number {
  return to + (from - to) * 0.5 * (1 + Math.cos(Math.PI * progress));
}

/** How far a schedule of so many steps has come. */
function progress(t: number, steps: number): number {
  return Math.min((t - 1) / steps, 1);
}

export const constantKind: ScheduleKind<FieldsOf<'constant'>> = {
  kind: 'constant',
  fields: { factor: nonNegative, steps: count },
  factor: (schedule, t) => (t <= schedule.steps ? schedule.factor : 1),
};

export const stepKind: ScheduleKind<FieldsOf<'step'>> = {
  kind: 'step',
  fields: { every: count, factor: nonNegative },
  factor: (schedule, t) => schedule.factor ** Math.floor((t - 1) / schedule.every),
};

export const milestonesKind: ScheduleKind<FieldsOf<'milestones'>> = {
  kind: 'milestones',
  fields: { at: /* @__PURE__ */ listOf(whole), factor: nonNegative },
  factor: ({ at, factor }, t) => factor ** at.filter((milestone) => milestone < t).length,
};

export const exponentialKind: ScheduleKind<FieldsOf<'exponential'>> = {
  kind: 'exponential',
  fields: { factor: nonNegative },
  factor: (schedule, t) => schedule.factor ** (t - 1),
};

export const linearKind: ScheduleKind<FieldsOf<'linear'>> = {
  kind: 'linear',
  fields: { from: nonNegative, to: nonNegative, steps: count },
  factor: ({ from, to, steps }, t) => from + (to - from) * progress(t, steps),
};

export const polynomialKind: ScheduleKind<FieldsOf<'polynomial'>> = {
  kind: 'polynomial',
  fields: { steps: count, power: positive, floor: nonNegative },
  factor: ({ steps, power, floor }, t) => floor + (1 - floor) * (1 - progress(t, steps)) ** power,
};

export const cosineKind: ScheduleKind<FieldsOf<'cosine'>> = {
  kind: 'cosine',
  fields: { steps: count, floor: nonNegative },
  factor: ({ steps, floor }, t) => halfWave(1, floor, progress(t, steps)),
};

export const cosineRestartsKind: ScheduleKind<FieldsOf<'cosineRestarts'>> = {
  kind: 'cosineRestarts',
  fields: { steps: count, stretch: count, floor: nonNegative },
  factor({ steps, stretch, floor }, t) {
    const done = t - 1;
    let [start, length] = [0, steps];
    if (stretch === 1) start = Math.floor(done / length) * length;
    while (done >= start + length) {
      start += length;
      length *= stretch;
    }
    return halfWave(1, floor, (done - start) / length);
  },
};

export const oneCycleKind: ScheduleKind<FieldsOf<'oneCycle'>> = {
  kind: 'oneCycle',
  fields: {
    steps: count,
    warm: fraction,
    rise: positive,
    fall: positive,
    shape: /* @__PURE__ */ oneOf('cosine', 'linear'),
    threePhases: boolean,
  },
  factor({ steps, warm, rise, fall, shape, threePhases }, t) {
    const done = t - 1;
    const [low, lowest] = [1 / rise, 1 / (rise * fall)];
    const phases: readonly (readonly [end: number, from: number, to: number])[] = threePhases
      ? [
          [warm * steps - 1, low, 1],
          [2 * warm * steps - 2, 1, low],
          [steps - 1, low, lowest],
        ]
      : [
          [warm * steps - 1, low, 1],
          [steps - 1, 1, lowest],
        ];
    let start = 0;
    for (const [end, from, to] of phases) {
      if (done <= end) {
        const part = end === start ? 1 : (done - start) / (end - start);
        return shape === 'cosine' ? halfWave(from, to, part) : from + (to - from) * part;
      }
      start = end;
    }
    return lowest;
  },
};

export const inverseSqrtKind: ScheduleKind<FieldsOf<'inverseSqrt'>> = {
  kind: 'inverseSqrt',
  fields: { warmup: count },
  factor: ({ warmup }, t) => (t < warmup ? t / warmup : Math.sqrt(warmup / t)),
};

/** A plateau before any report. */
const plateauStart: PlateauState = { best: null, bad: 0, cooling: 0, factor: 1 };

export const plateauKind: ScheduleKind<FieldsOf<'plateau'>> = {
  kind: 'plateau',
  fields: {
    factor: fraction,
    patience: whole,
    threshold: nonNegative,
    thresholdMode: /* @__PURE__ */ oneOf('relative', 'absolute'),
    mode: /* @__PURE__ */ oneOf('min', 'max'),
    cooldown: whole,
    floor: nonNegative,
    by: /* @__PURE__ */ oneOf('loss', 'metric'),
  },
  factor: (_, __, plateau) => plateau,
  /** As torch.optim.lr_scheduler.ReduceLROnPlateau.step. */
  report(schedule, { best, bad, cooling, factor } = plateauStart, metric) {
    const { mode, threshold, thresholdMode } = schedule;
    const sign = mode === 'min' ? -1 : 1;
    const goal =
      best === null
        ? -sign * Infinity
        : thresholdMode === 'relative'
          ? best * (1 + sign * threshold)
          : best + sign * threshold;
    const better = mode === 'min' ? metric < goal : metric > goal;
    const improved = { best: better ? metric : best, bad: better ? 0 : bad + 1 };
    if (cooling > 0) return { ...improved, bad: 0, cooling: cooling - 1, factor };
    if (improved.bad <= schedule.patience) return { ...improved, cooling, factor };
    return {
      best: improved.best,
      bad: 0,
      cooling: schedule.cooldown,
      factor: Math.max(factor * schedule.factor, schedule.floor),
    };
  },
};

export const scaledKind: ScheduleKind<FieldsOf<'scaled'>> = {
  kind: 'scaled',
  fields: { by: nonNegative, schedule: nested },
  factor: ({ by, schedule }, t, plateau) => by * schedule.factorAt(t, plateau),
  inner: ({ schedule }) => [schedule],
};

export const productKind: ScheduleKind<FieldsOf<'product'>> = {
  kind: 'product',
  fields: { of: /* @__PURE__ */ listOf(nested) },
  factor: ({ of }, t, plateau) => of.reduce((product, part) => product * part.factorAt(t, plateau), 1),
  inner: ({ of }) => of,
};
const part: FieldCheck = (value, path) => {
  const { schedule, steps } = (value ?? {}) as Readonly<Record<string, unknown>>;
  return [...nested(schedule, `${path}.schedule`), ...count(steps, `${path}.steps`)];
};

export const sequenceKind: ScheduleKind<FieldsOf<'sequence'>> = {
  kind: 'sequence',
  fields: {
    parts: (value, path) =>
      Array.isArray(value) && value.length === 0 ? [`${path} must not be empty`] : listOf(part)(value, path),
  },
  factor({ parts }, t, plateau) {
    let start = 0;
    for (const { schedule, steps } of parts.slice(0, -1)) {
      if (t <= start + steps) return schedule.factorAt(t - start, plateau);
      start += steps;
    }
    return parts[parts.length - 1].schedule.factorAt(t - start, plateau);
  },
  inner: ({ parts }) => parts.map(({ schedule }) => schedule),
};
