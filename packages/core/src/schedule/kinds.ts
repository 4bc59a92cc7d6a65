import { boolean, count, fraction, listOf, nested, nonNegative, oneOf, optional, positive, whole } from './fields.js';
import { halfWave, progress, straight } from './progress.js';
import type { FieldCheck, FieldsOf, PlateauState, ScheduleKind } from './schedule.js';

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
  factor: ({ from, to, steps }, t) => straight(from, to, progress(t, steps)),
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
  fields: { steps: count, stretch: count, floor: nonNegative, shrink: /* @__PURE__ */ optional(nonNegative) },
  factor({ steps, stretch, floor, shrink = 1 }, t) {
    const done = t - 1;
    let [start, length, restarts] = [0, steps, 0];
    if (stretch === 1) {
      restarts = Math.floor(done / length);
      start = restarts * length;
    }
    while (done >= start + length) {
      start += length;
      length *= stretch;
      restarts++;
    }
    return straight(floor, 1, shrink ** restarts * halfWave(1, 0, (done - start) / length));
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
        return (shape === 'cosine' ? halfWave : straight)(from, to, part);
      }
      start = end;
    }
    return lowest;
  },
};

export const inverseSqrtKind: ScheduleKind<FieldsOf<'inverseSqrt'>> = {
  kind: 'inverseSqrt',
  fields: { warmup: count, timescale: /* @__PURE__ */ optional(positive) },
  factor: ({ warmup, timescale = warmup }, t) =>
    t < warmup ? t / warmup : Math.sqrt(timescale / (t - warmup + timescale)),
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
    eps: /* @__PURE__ */ optional(nonNegative),
    average: /* @__PURE__ */ optional(count),
  },
  factor: (_, __, plateau) => plateau,
  report(schedule, state = plateauStart, metric) {
    const { average = 1 } = schedule;
    if (average === 1) return judged(schedule, state, metric);
    const { sum, reports, ...rest } = { sum: 0, reports: 0, ...state };
    const all = { sum: sum + metric, reports: reports + 1 };
    return all.reports < average ? { ...rest, ...all } : judged(schedule, rest, all.sum / average);
  },
};

/** As torch.optim.lr_scheduler.ReduceLROnPlateau.step. */
function judged(
  schedule: FieldsOf<'plateau'>,
  { best, bad, cooling, factor }: PlateauState,
  metric: number,
): PlateauState {
  const { mode, threshold, thresholdMode, eps = 0 } = schedule;
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
  const lower = Math.max(factor * schedule.factor, schedule.floor);
  return { best: improved.best, bad: 0, cooling: schedule.cooldown, factor: factor - lower > eps ? lower : factor };
}

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
