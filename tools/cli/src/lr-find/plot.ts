import type { TopLevelSpec } from 'vega-lite';
import { frame, palette, render, roundValues, type PlotTitle } from '../plot/style.js';
import type { RangeResult } from './range-test.js';

/** Draws the loss over the learning rate, with the rates that are suggested, as an SVG document. */
export function rangePlot({ points, steepest, minimumTenth }: RangeResult, text: PlotTitle): Promise<string> {
  const rates = points.map(({ lr }) => lr);
  const [low, high] = [Math.min(...rates), Math.max(...rates)];
  const smoothed = points.map((point) => point.smoothed);
  const [least, most] = [Math.min(...smoothed), Math.max(...smoothed)];
  const margin = 0.05 * (most - least || 1);
  const marks = [
    ...(steepest === undefined ? [] : [{ lr: steepest, what: 'steepest descent' }]),
    ...(minimumTenth === undefined ? [] : [{ lr: minimumTenth, what: 'minimum / 10' }]),
  ];
  const x = {
    field: 'lr',
    type: 'quantitative' as const,
    title: 'learning rate (logarithmic)',
    scale: { type: 'log' as const, domain: [Math.min(low, ...marks.map(({ lr }) => lr)), high], nice: false },
    axis: {
      grid: false,
      format: '~g',
      values: roundValues(low, high).filter((value) => /^1(e|0*$|$)|^0?\.0*1$/.test(String(value))),
    },
  };
  const y = (field: string) => ({
    field,
    type: 'quantitative' as const,
    title: 'training loss',
    scale: { domain: [least - margin, most + margin], nice: false, zero: false },
  });
  const spec: TopLevelSpec = {
    ...frame(text),
    width: 820,
    height: 440,
    layer: [
      {
        data: { values: [...points] },
        mark: { type: 'circle', size: 12, color: '#999999', clip: true },
        encoding: { x, y: y('loss') },
      },
      {
        data: { values: [...points] },
        mark: { type: 'line', strokeWidth: 2.5, strokeJoin: 'round', color: palette[0] },
        encoding: { x, y: y('smoothed') },
      },
      {
        data: { values: marks },
        mark: { type: 'rule', strokeWidth: 1.5 },
        encoding: {
          x,
          color: {
            field: 'what',
            type: 'nominal',
            title: 'suggested',
            sort: null,
            scale: { domain: ['steepest descent', 'minimum / 10'], range: [palette[1], palette[2]] },
          },
          strokeDash: {
            field: 'what',
            type: 'nominal',
            title: 'suggested',
            sort: null,
            scale: {
              domain: ['steepest descent', 'minimum / 10'],
              range: [
                [1, 0],
                [6, 3],
              ],
            },
          },
        },
      },
    ],
  };
  return render(spec);
}
