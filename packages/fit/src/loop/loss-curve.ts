import type { JsonObject } from '@adakit/core';

/** A point of a curve: the mean loss of some steps, at the last of them. */
export interface CurvePoint {
  readonly step: number;
  readonly loss: number;
}

/** As many points as a plot shows. */
const MOST = 1024;

/**
 * The training loss over steps in at most 1,024 points, however long the run: when they are full, each two become one.
 * Saved with the state, so that a resumed run has the whole of it.
 */
export class LossCurve {
  /** Losses in a point. */
  #every = 1;
  #points: CurvePoint[] = [];
  #sum = 0;
  #count = 0;

  add(step: number, loss: number): void {
    this.#sum += loss;
    if (++this.#count < this.#every) return;
    this.#points.push({ step, loss: this.#sum / this.#count });
    [this.#sum, this.#count] = [0, 0];
    if (this.#points.length < MOST) return;
    this.#every *= 2;
    this.#points = this.#points.flatMap(({ step: last, loss: second }, i) =>
      i % 2 === 1 ? [{ step: last, loss: (this.#points[i - 1].loss + second) / 2 }] : [],
    );
  }

  get points(): readonly CurvePoint[] {
    return this.#points;
  }

  toJson(): JsonObject {
    const points = this.#points;
    return {
      every: this.#every,
      sum: this.#sum,
      count: this.#count,
      steps: points.map(({ step }) => step),
      losses: points.map(({ loss }) => loss),
    };
  }

  static fromJson({ every, sum, count, steps, losses }: JsonObject): LossCurve {
    const curve = new LossCurve();
    [curve.#every, curve.#sum, curve.#count] = [Number(every), Number(sum), Number(count)];
    curve.#points = (steps as number[]).map((step, i) => ({ step, loss: (losses as number[])[i] }));
    return curve;
  }
}
