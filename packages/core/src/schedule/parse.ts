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
import { checkSchedule, knowKind, type Schedule } from './schedule.js';

/** Makes all kinds known, for schedules that were not made by their functions here. */
export function knowAllKinds(): void {
  const kinds = [
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
    plateauKind,
    scaledKind,
    productKind,
    sequenceKind,
  ];
  for (const kind of kinds) knowKind(kind);
}

/** Checks a schedule of any kind, made by hand or read from a file. @throws AdakitError naming what is wrong */
export function parseSchedule(hyperparameter: string, schedule: unknown): Schedule {
  knowAllKinds();
  return checkSchedule(hyperparameter, schedule);
}
