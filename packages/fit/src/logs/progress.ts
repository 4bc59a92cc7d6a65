import { kindOf, kinds } from '@adakit/core';
import { FitError, requireOptions } from '../error.js';
import type { Callback, RunStart } from '../loop/callback.js';
import { scalarsOf } from '../loop/callback.js';
import type { MetricValues } from '../loop/evaluate.js';

/** What progress is written to: `process.stderr`, as a rule. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Where and how progress is shown. */
export interface ProgressOptions {
  /** Milliseconds; by default those of `performance.now()`. */
  readonly now?: () => number;
}

/** Milliseconds between two messages. */
const interval = { terminal: 100, log: 10_000 };

/**
 * Says how training goes: one line that is rewritten on a terminal, a line every ten seconds elsewhere, and one that stays
 * for every epoch and validation. Loss, steps a second and time left are of the last seconds.
 */
export function progress(stream: ProgressStream, options: ProgressOptions = {}): Callback {
  if (typeof (Object(stream) as Partial<ProgressStream>).write !== 'function') {
    throw new FitError(
      'invalid-argument',
      `progress is written to a stream such as process.stderr, got ${kindOf(stream)}`,
    );
  }
  requireOptions('progress', options, { now: kinds.callable });
  const { now = () => performance.now() } = options;
  const terminal = stream.isTTY === true;
  let start: RunStart = {};
  let shown = -Infinity;
  let line = false;
  const rate = new Rate();
  const clear = (): void => {
    if (line) stream.write('\r\x1b[K');
    line = false;
  };
  const say = (text: string): void => {
    clear();
    stream.write(`${text}\n`);
  };
  const update = (time: number, text: () => string): void => {
    if (time - shown < (terminal ? interval.terminal : interval.log)) return;
    shown = time;
    if (terminal) stream.write(`\r\x1b[K${text().slice(0, (stream.columns ?? 80) - 1)}`);
    else stream.write(`${text()}\n`);
    line = terminal;
  };
  return {
    name: 'progress',
    onStart: (event) => {
      start = event;
      shown = now();
      const { resumed } = event;
      if (resumed === undefined) return;
      const { step, epochs } = resumed;
      say(`going on after step ${step}${epochs === undefined ? '' : `, ${epochs} epochs completed`}`);
    },
    onStep: ({ step, epoch, batch, loss }) => {
      const { epochs, steps, batches } = start;
      const done = batches === undefined ? undefined : (epoch - 1) * batches + batch;
      const time = now();
      rate.add(time, step, loss);
      update(time, () => {
        const parts = [`epoch ${epoch}${epochs === undefined ? '' : `/${epochs}`}`];
        parts.push(`step ${step}${steps === undefined ? '' : `/${steps}`}`);
        if (batches !== undefined) parts.push(`batch ${batch}/${batches}`);
        parts.push(`loss ${shortNumber(rate.loss)}`);
        const perSecond = rate.perSecond(time);
        if (perSecond.batches > 0) {
          parts.push(`${shortNumber(perSecond.steps)} steps/s`);
          const left = Math.min(
            steps === undefined ? Infinity : (steps - step) / perSecond.steps,
            epochs === undefined || batches === undefined || done === undefined
              ? Infinity
              : (epochs * batches - done) / perSecond.batches,
          );
          if (Number.isFinite(left)) parts.push(`${duration(left)} left`);
        }
        return parts.join('  ');
      });
    },
    onValidationBatch: ({ batch, batches }) => {
      update(now(), () => `validation: batch ${batch}${batches === undefined ? '' : `/${batches}`}`);
    },
    onValidation: ({ step, values, improved }) => {
      say(`step ${step}: validation ${metricText(values)}${improved ? '' : ' (not the best)'}`);
    },
    onEpoch: ({ epoch, step, loss }) => {
      say(
        `epoch ${epoch}${start.epochs === undefined ? '' : `/${start.epochs}`}: step ${step}, training loss ${shortNumber(loss)}`,
      );
    },
    onEnd: clear,
  };
}

interface Mark {
  readonly time: number;
  readonly batches: number;
  readonly steps: number;
}

/** Steps and batches a second, and mean loss, of the last few seconds. */
class Rate {
  #marks: Mark[] = [];
  #current: Mark = { time: 0, batches: 0, steps: 0 };
  #sum = 0;
  #weight = 0;

  add(time: number, steps: number, loss: number): void {
    this.#current = { time, steps, batches: this.#current.batches + 1 };
    // An average that forgets over about fifty steps, with its start corrected.
    this.#sum = 0.98 * this.#sum + 0.02 * loss;
    this.#weight = 0.98 * this.#weight + 0.02;
    const last = this.#marks.at(-1);
    if (last !== undefined && time - last.time < 200) return;
    this.#marks.push(this.#current);
    if (this.#marks.length > 50) this.#marks.shift();
  }

  get loss(): number {
    return this.#sum / this.#weight;
  }

  perSecond(time: number): { readonly steps: number; readonly batches: number } {
    const [first] = this.#marks;
    const seconds = (time - first.time) / 1000;
    if (seconds === 0) return { steps: 0, batches: 0 };
    return {
      steps: (this.#current.steps - first.steps) / seconds,
      batches: (this.#current.batches - first.batches) / seconds,
    };
  }
}

/** Four significant digits, without a long tail of zeros. */
export function shortNumber(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  return Math.abs(value) >= 1e-3 || value === 0 ? String(Number(value.toPrecision(4))) : value.toExponential(2);
}

/** Metrics that are numbers, in a line. */
export function metricText(values: MetricValues): string {
  return Object.entries(scalarsOf(values))
    .map(([name, value]) => `${name} ${shortNumber(value)}`)
    .join(', ');
}

/** `1:02:03`, `2:03`. */
function duration(seconds: number): string {
  const whole = Math.round(seconds);
  const two = (n: number): string => String(n).padStart(2, '0');
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}
