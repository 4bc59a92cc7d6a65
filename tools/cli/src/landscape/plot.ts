import { parse, View, type Spec } from 'vega';
import { frame, lineStyle, type PlotTitle } from '../plot/style.js';
import { isocontours, type Landscape } from './functions.js';
import type { Trajectory } from './trajectory.js';

/** A way to draw. */
export interface Way {
  readonly name: string;
  readonly trajectory: Trajectory;
}

/** Values of the function are known at so many places each way. */
const CELLS = 160;
const LEVELS = 14;
const [WIDTH, HEIGHT] = [760, 560];

/** Draws the ways over lines of equal value, as an SVG document. */
export async function landscapePlot(landscape: Landscape, ways: readonly Way[], text: PlotTitle): Promise<string> {
  const view = new View(parse(specOf(landscape, ways, text)), { renderer: 'none' });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

function specOf(landscape: Landscape, ways: readonly Way[], text: PlotTitle): Spec {
  const { title, config } = frame(text);
  const { x, y, minima } = landscape;
  const { grid, least, most, thresholds } = isocontours(landscape, CELLS, LEVELS);
  const names = ways.map(({ name }) => name);
  const styles = names.map((_, i) => lineStyle(i));
  const place = { x: { scale: 'x', field: 'x' }, y: { scale: 'y', field: 'y' } } as const;
  const points = ways.flatMap(({ name, trajectory }) => trajectory.points.map(([px, py]) => ({ name, x: px, y: py })));
  const ends = ways.map(({ name, trajectory }) => {
    const [px, py] = trajectory.points[trajectory.points.length - 1];
    return { name, x: px, y: py };
  });
  const [sx, sy] = ways[0].trajectory.points[0];
  const stroke = { scale: 'color', field: 'name' } as const;
  return {
    $schema: 'https://vega.github.io/schema/vega/v6.json',
    width: WIDTH,
    height: HEIGHT,
    padding: 24,
    background: 'white',
    title,
    config: { ...config, group: { stroke: null } },
    data: [
      {
        name: 'contours',
        values: [{ grid }],
        transform: [
          {
            type: 'isocontour',
            field: 'grid',
            scale: { signal: `[${WIDTH / CELLS}, ${HEIGHT / CELLS}]` },
            thresholds,
            resolve: 'shared',
            as: 'contour',
          },
        ],
      },
      { name: 'points', values: points },
      { name: 'ends', values: ends },
      { name: 'minima', values: minima.map(([mx, my]) => ({ x: mx, y: my })) },
      { name: 'start', values: [{ x: sx, y: sy }] },
    ],
    scales: [
      { name: 'x', type: 'linear', domain: [...x], range: 'width', nice: false, zero: false },
      { name: 'y', type: 'linear', domain: [...y], range: 'height', nice: false, zero: false },
      { name: 'grey', type: 'linear', domain: [least, most], range: ['#ffffff', '#d5dce4'] },
      { name: 'color', type: 'ordinal', domain: names, range: styles.map(({ color }) => color) },
      { name: 'dash', type: 'ordinal', domain: names, range: styles.map(({ dash }) => dash) as unknown as number[] },
    ],
    axes: [
      { orient: 'bottom', scale: 'x', title: 'x', grid: false },
      { orient: 'left', scale: 'y', title: 'y', grid: false },
    ],
    legends: [{ stroke: 'color', strokeDash: 'dash', symbolType: 'stroke', orient: 'right', offset: 16 }],
    marks: [
      {
        type: 'path',
        from: { data: 'contours' },
        clip: true,
        encode: {
          enter: {
            fill: { scale: 'grey', field: 'contour.value' },
            stroke: { value: '#9aa5b1' },
            strokeWidth: { value: 0.6 },
          },
        },
        transform: [{ type: 'geopath', field: 'datum.contour' }],
      },
      {
        type: 'group',
        from: { facet: { name: 'way', data: 'points', groupby: 'name' } },
        encode: { enter: { width: { signal: 'width' }, height: { signal: 'height' }, clip: { value: true } } },
        marks: [
          {
            type: 'line',
            from: { data: 'way' },
            encode: {
              enter: {
                ...place,
                stroke,
                strokeDash: { scale: 'dash', field: 'name' },
                strokeWidth: { value: 2 },
                strokeJoin: { value: 'round' },
              },
            },
          },
        ],
      },
      {
        type: 'symbol',
        from: { data: 'ends' },
        clip: true,
        encode: { enter: { ...place, fill: stroke, size: { value: 60 }, stroke: { value: 'white' } } },
      },
      {
        type: 'symbol',
        from: { data: 'minima' },
        clip: true,
        encode: { enter: { ...place, shape: { value: 'cross' }, fill: { value: '#222222' }, size: { value: 90 } } },
      },
      {
        type: 'symbol',
        from: { data: 'start' },
        clip: true,
        encode: {
          enter: {
            ...place,
            fill: { value: 'white' },
            stroke: { value: '#222222' },
            size: { value: 80 },
            strokeWidth: { value: 1.5 },
          },
        },
      },
    ],
  };
}
