/** From `from` to `to` on half a cosine wave. */
export function halfWave(from: number, to: number, progress: number): number {
  return to + (from - to) * 0.5 * (1 + Math.cos(Math.PI * progress));
}

/** From `from` to `to` on a straight line. */
export function straight(from: number, to: number, progress: number): number {
  return from + (to - from) * progress;
}

/** How far a schedule of so many steps has come at step `t`, counted from 1. */
export function progress(t: number, steps: number): number {
  return Math.min((t - 1) / steps, 1);
}
