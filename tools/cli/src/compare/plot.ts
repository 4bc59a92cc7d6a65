import type { TopLevelSpec } from 'vega-lite';
import { frame, lineStyle, render, roundValues, type PlotTitle } from '../plot/style.js';
import type { Spread } from './statistics.js';

/** A contender to draw. */
export interface BandCurve {
  readonly name: string;
  readonly points: readonly { readonly epoch: number; readonly value: Spread }[];
}

/** Words and scale. */
export interface BandText extends PlotTitle {
  /** Of the vertical axis, with its unit. */
  readonly axis: string;
  /** Losses and perplexities span powers of ten, shares do not. */
  readonly logarithmic: boolean;
}

/** Draws means over epochs, with a band of one standard deviation to each side, as an SVG document. */
export function bandPlot(curves: readonly BandCurve[], { axis, logarithmic, ...text }: BandText): Promise<string> {
  const values = curves.flatMap(({ name, points }) =>
    points.map(({ epoch, value: { mean, deviation = 0 } }) => ({
      name,
      epoch,
      mean,
      low: mean - deviation,
      high: mean + deviation,
    })),
  );
  const means = values.map(({ mean }) => mean);
  const positive = logarithmic && Math.min(...means) > 0;
  const bottom = Math.min(...values.map(({ low, mean }) => (positive && low <= 0 ? mean / 2 : low)));
  const top = Math.max(...values.map(({ high }) => high));
  const margin = (top - bottom || Math.abs(top) || 1) * 0.04;
  const domain = positive ? [bottom * 0.95, top * 1.05] : [bottom - margin, top + margin];
  const epochs = Math.max(...values.map(({ epoch }) => epoch));
  const names = curves.map(({ name }) => name);
  const scale = {
    domain,
    nice: false,
    ...(positive ? { type: 'log' as const } : { type: 'linear' as const, zero: false }),
  };
  const y = (field: string) => ({
    field,
    type: 'quantitative' as const,
    title: axis,
    scale,
    ...(positive && { axis: { format: '~g', values: roundValues(domain[0], domain[1]) } }),
  });
  const byName = <T>(range: readonly T[]) => ({
    field: 'name',
    type: 'nominal' as const,
    title: null,
    sort: null,
    scale: { domain: names, range: [...range] },
  });
  const styles = names.map((_, index) => lineStyle(index));
  const color = byName(styles.map((style) => style.color));
  const spec: TopLevelSpec = {
    ...frame(text),
    width: 820,
    height: 440,
    // Outside of the plot: bands would lie under it.
    config: { ...frame(text).config, legend: { ...frame(text).config.legend, orient: 'right', offset: 16 } },
    data: { values: values.map((value) => ({ ...value, low: positive ? Math.max(value.low, domain[0]) : value.low })) },
    encoding: {
      x: {
        field: 'epoch',
        type: 'quantitative',
        title: 'epoch',
        scale: { domain: [1, Math.max(epochs, 2)], nice: false },
        axis: { grid: false, format: 'd', tickMinStep: 1, tickCount: Math.min(epochs, 10) },
      },
    },
    // The legend shows lines, not what is pale.
    resolve: { scale: { color: 'independent', strokeDash: 'independent' } },
    layer: [
      {
        mark: { type: 'area', opacity: 0.16, clip: true },
        encoding: { y: y('low'), y2: { field: 'high' }, color: { ...color, legend: null } },
      },
      {
        mark: { type: 'line', strokeWidth: 2.5, strokeJoin: 'round', point: epochs === 1, clip: true },
        encoding: { y: y('mean'), color, strokeDash: byName(styles.map(({ dash }) => [...dash])) },
      },
    ],
  };
  return render(spec);
}
