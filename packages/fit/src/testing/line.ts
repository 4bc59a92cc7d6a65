import { adam } from '@adakit/adam';
import { jsDevice, Run, tensor32, type Optimizer } from '@adakit/core';
import { fromArrays, type Batch, type DataTensor, type Dataset, type Example } from '@adakit/data';
import type { Trainable } from '../trainable.js';

/** y = w·x + b with the mean squared error: small enough to train in tests, and noisy enough to be no formality. */
export class Line implements Required<Omit<Trainable, 'inputs' | 'steps' | 'stepsPerRun'>> {
  readonly run;
  readonly reported: number[] = [];
  /** Batches seen, by their x. */
  readonly seen: number[][] = [];

  constructor(optimizer: Optimizer = adam({ lr: 0.05 })) {
    this.run = Run.start(jsDevice(), optimizer, { w: tensor32([0]), b: tensor32([0]) });
  }

  get stepCount(): number {
    return this.run.step;
  }

  async step(batch: Batch) {
    this.seen.push(Array.from(batch.x.data, Number));
    const { loss, w, b } = await this.#errors(batch);
    return this.run.applyGradients({ w: tensor32([w]), b: tensor32([b]) }, { loss });
  }

  async evaluate(batch: Batch) {
    const { loss, outputs } = await this.#errors(batch);
    return { loss, outputs };
  }

  state() {
    return this.run.state();
  }

  load(...[state]: Parameters<Run<unknown>['load']>) {
    return this.run.load(state);
  }

  hyperparameters() {
    return this.run.hyperparameters();
  }

  reportMetric(metric: number): void {
    this.reported.push(metric);
    this.run.reportMetric(metric);
  }

  async weights(): Promise<number[]> {
    const { w, b } = await this.run.weights();
    return [w.data[0], b.data[0]];
  }

  async #errors({ x, target }: Batch) {
    const [w, b] = await this.weights();
    const y = Float32Array.from(x.data as Float32Array, (value) => w * value + b);
    const errors = y.map((value, i) => value - Number(target.data[i]));
    const mean = (values: Float32Array): number => values.reduce((sum, value) => sum + value, 0) / values.length;
    return {
      loss: mean(errors.map((e) => e * e)),
      w: mean(errors.map((e, i) => 2 * e * Number(x.data[i]))),
      b: mean(errors.map((e) => 2 * e)),
      outputs: { y: { data: y, dims: x.dims } satisfies DataTensor },
    };
  }
}

/** Points of y = 2x − 1 with some scatter. */
export function points(count: number): Dataset<Example> {
  const x = Float32Array.from({ length: count }, (_, i) => Math.sin(3 * i + 1));
  return fromArrays({ x, target: x.map((value, i) => 2 * value - 1 + 0.1 * Math.cos(7 * i)) });
}
