import type { TopLevelSpec } from 'vega-lite';
import { frame, render, roundValues, type PlotTitle } from './style.js';

/** A training run to draw. */
export interface LossCurve {
  /** As the legend has it: `AdaDiff, 98.1 %`. */
  readonly name: string;
  /** The loss over steps, as `fit` gives it. */
  readonly points: readonly { readonly step: number; readonly loss: number }[];
  readonly color: string;
  /** Drawn as thin dark dashes over the others, so that a curve shows that lies on another one. */
  readonly dashed: boolean;
}

/** The words of a plot. */
export interface PlotText extends PlotTitle {
  /** Of the legend. Default: none. */
  readonly legend?: string;
}

/** Steps over which losses are averaged, later ones counting more: single batches scatter more than optimizers differ. */
const span = 50;

/** Draws training losses over steps, on a logarithmic axis, as an SVG document. */
export function lossPlot(curves: readonly LossCurve[], text: PlotText): Promise<string> {
  return render(lossSpec(curves, text));
}

function lossSpec(curves: readonly LossCurve[], { legend, ...text }: PlotText): TopLevelSpec {
  const lines = curves
    .map(({ name: label, points: raw, ...curve }) => {
      const points = smoothed(raw);
      return { ...curve, points, label, finalLoss: points[points.length - 1].loss };
    })
    // The legend from top to bottom as the curves end.
    .sort((a, b) => b.finalLoss - a.finalLoss);
  const values = lines.flatMap(({ label, dashed, points }) => points.map((point) => ({ label, dashed, ...point })));
  const lowest = 0.95 * Math.min(...values.map(({ loss }) => loss));
  const highest = 1.05 * Math.max(...values.map(({ loss }) => loss));
  const byLine = <T>(range: (line: (typeof lines)[number]) => T) => ({
    field: 'label',
    type: 'nominal' as const,
    title: legend ?? null,
    sort: null,
    scale: { domain: lines.map(({ label }) => label), range: lines.map(range) },
  });
  return {
    ...frame(text),
    width: 820,
    height: 440,
    data: { values },
    encoding: {
      x: {
        field: 'step',
        type: 'quantitative',
        title: 'step',
        scale: { domain: [0, Math.max(...values.map(({ step }) => step))], nice: false },
        axis: { grid: false, tickCount: 8 },
      },
      y: {
        field: 'loss',
        type: 'quantitative',
        title: `training loss, averaged over about ${span} steps`,
        scale: { type: 'log', domain: [lowest, highest], nice: false },
        axis: { format: '~g', values: roundValues(lowest, highest) },
      },
      color: byLine(({ color, dashed }) => (dashed ? '#222222' : color)),
      strokeDash: byLine(({ dashed }) => (dashed ? [2, 5] : [1, 0])),
    },
    layer: [
      { transform: [{ filter: '!datum.dashed' }], mark: { type: 'line', strokeWidth: 2.5, strokeJoin: 'round' } },
      { transform: [{ filter: 'datum.dashed' }], mark: { type: 'line', strokeWidth: 1.5, strokeJoin: 'round' } },
    ],
  };
}

/** The exponential moving average over steps, with the start corrected as Adam corrects its moments. */
function smoothed(points: LossCurve['points']): { step: number; loss: number }[] {
  let [average, weight, before] = [0, 0, 0];
  return points.map(({ step, loss }) => {
    const decay = (1 - 1 / span) ** (step - before);
    average = decay * average + (1 - decay) * loss;
    weight = decay * weight + (1 - decay);
    before = step;
    return { step, loss: average / weight };
  });
}
