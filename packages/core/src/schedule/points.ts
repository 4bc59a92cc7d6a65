import { listOf, nonNegative, oneOf, whole } from './fields.js';
import { halfWave, straight } from './progress.js';
import type { FieldCheck, FieldsOf, ScheduleKind } from './schedule.js';

/** The factor between two points, by how far it is on the way. */
const ways: Readonly<Record<FieldsOf<'piecewise'>['between'], typeof straight>> = {
  hold: (from) => from,
  linear: straight,
  cosine: halfWave,
};

const point: FieldCheck = (value, path) =>
  Array.isArray(value) && value.length === 2
    ? [...whole(value[0], `${path}.0`), ...nonNegative(value[1], `${path}.1`)]
    : [`${path} must be a pair [step, factor]`];

const points: FieldCheck = (value, path) => {
  const problems = listOf(point)(value, path);
  if (problems.length > 0) return problems;
  const list = value as FieldsOf<'piecewise'>['points'];
  if (list.length === 0) return [`${path} must not be empty`];
  return list.flatMap(([step], i) =>
    i === 0 || step > list[i - 1][0]
      ? []
      : [`${path}.${i}.0 must be a step after ${list[i - 1][0]}, which comes before, got ${step}`],
  );
};

export const piecewiseKind: ScheduleKind<FieldsOf<'piecewise'>> = {
  kind: 'piecewise',
  fields: { points, between: /* @__PURE__ */ oneOf('hold', 'linear', 'cosine') },
  factor({ points: list, between }, t) {
    const done = t - 1;
    const next = list.findIndex(([step]) => step > done);
    if (next === 0) return list[0][1];
    const [start, from] = list.at(next < 0 ? -1 : next - 1) as readonly [number, number];
    if (next < 0) return from;
    const [end, to] = list[next];
    return ways[between](from, to, (done - start) / (end - start));
  },
};
