import { boolean, count, nested, nonNegative, optional, positive } from './fields.js';
import { progress } from './progress.js';
import type { FieldsOf, ScheduleKind } from './schedule.js';

export const inverseTimeKind: ScheduleKind<FieldsOf<'inverseTime'>> = {
  kind: 'inverseTime',
  fields: { rate: nonNegative, every: count, power: positive, stairs: boolean },
  factor({ rate, every, power, stairs }, t) {
    const periods = (t - 1) / every;
    return (1 + rate * (stairs ? Math.floor(periods) : periods)) ** -power;
  },
};

export const sqrtKind: ScheduleKind<FieldsOf<'sqrt'>> = {
  kind: 'sqrt',
  fields: { steps: count, floor: nonNegative },
  factor: ({ steps, floor }, t) => floor + (1 - floor) * (1 - Math.sqrt(progress(t, steps))),
};

export const boundedKind: ScheduleKind<FieldsOf<'bounded'>> = {
  kind: 'bounded',
  fields: { least: nonNegative, most: /* @__PURE__ */ optional(nonNegative), schedule: nested },
  factor: ({ least, most = Infinity, schedule }, t, plateau) =>
    Math.min(Math.max(schedule.factorAt(t, plateau), least), most),
  inner: ({ schedule }) => [schedule],
};
