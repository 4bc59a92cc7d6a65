import { parse, View } from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';

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
export interface PlotText {
  readonly title: string;
  readonly subtitle: string;
  /** Of the legend. Default: none. */
  readonly legend?: string;
}

/** Steps over which losses are averaged, later ones counting more: single batches scatter more than optimizers differ. */
const span = 50;

/** Draws training losses over steps, on a logarithmic axis, as an SVG document. */
export async function lossPlot(curves: readonly LossCurve[], text: PlotText): Promise<string> {
  const { spec } = compile(lossSpec(curves, text));
  const view = new View(parse(spec), { renderer: 'none' });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

function lossSpec(curves: readonly LossCurve[], { title, subtitle, legend }: PlotText): TopLevelSpec {
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
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    width: 820,
    height: 440,
    padding: 24,
    background: 'white',
    title: { text: title, subtitle },
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
    config: {
      font: 'Helvetica, Arial, sans-serif',
      view: { stroke: null },
      title: {
        anchor: 'start',
        offset: 16,
        fontSize: 18,
        fontWeight: 600,
        color: '#1a1a1a',
        subtitleFontSize: 13,
        subtitleColor: '#555555',
        subtitlePadding: 6,
      },
      axis: {
        labelFontSize: 12,
        titleFontSize: 13,
        titleFontWeight: 'normal',
        labelColor: '#555555',
        titleColor: '#333333',
        titlePadding: 10,
        gridColor: '#e4e4e4',
        domainColor: '#999999',
        tickColor: '#999999',
      },
      legend: {
        labelFontSize: 13,
        titleFontSize: 13,
        labelColor: '#333333',
        titleColor: '#333333',
        orient: 'top-right',
        offset: 0,
        symbolSize: 500,
        symbolStrokeWidth: 2.5,
        rowPadding: 6,
        labelLimit: 0,
        padding: 12,
        fillColor: 'white',
      },
    },
  };
}

/** 1, 2 and 5 times powers of ten between two numbers: what a logarithmic axis is labelled with. */
function roundValues(low: number, high: number): number[] {
  const exponents = Array.from(
    { length: Math.ceil(Math.log10(high / low)) + 2 },
    (_, i) => Math.floor(Math.log10(low)) + i,
  );
  return exponents
    .flatMap((exponent) => [1, 2, 5].map((digit) => Number(`${digit}e${exponent}`)))
    .filter((value) => value >= low && value <= high);
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
