import { count, nonNegative } from './fields.js';
import { straight } from './progress.js';
import type { FieldsOf, ScheduleKind } from './schedule.js';

export const cyclicKind: ScheduleKind<FieldsOf<'cyclic'>> = {
  kind: 'cyclic',
  fields: { up: count, down: count, floor: nonNegative, perCycle: nonNegative, perStep: nonNegative },
  factor({ up, down, floor, perCycle, perStep }, t) {
    const done = t - 1;
    const cycle = Math.floor(done / (up + down));
    const place = done - cycle * (up + down);
    const height = place <= up ? place / up : (up + down - place) / down;
    return straight(floor, 1, height * perCycle ** cycle * perStep ** done);
  },
};
