import { parse, View, type Data, type Mark, type Scale, type Spec } from 'vega';
import { compactSvg } from '../plot/compact-svg.js';
import { palette } from '../plot/style.js';
import { isocontours, type Landscape } from './functions.js';
import type { Trajectory } from './trajectory.js';

/** A rule on one function, beside Adam. */
export interface Panel {
  readonly title: string;
  readonly subtitle: string;
  readonly landscape: Landscape;
  readonly way: Trajectory;
  /** Left out for Adam itself. */
  readonly adam: Trajectory | undefined;
}

const [SIDE, GAP, CELLS, LEVELS] = [216, 64, 44, 6];
const AXIS = {
  grid: false,
  tickCount: 5,
  titleFontWeight: 'normal',
  labelColor: '#555555',
  tickColor: '#999999',
  domainColor: '#999999',
} as const;
const [OWN, OTHER] = palette;

/** Small multiples of a rule's ways over test functions, as an SVG document of some kilobytes. */
export async function rulePicture(rule: string, panels: readonly Panel[]): Promise<string> {
  const other = panels.some(({ adam }) => adam) ? `solid: ${rule}; dashed: Adam; ` : '';
  const spec: Spec = {
    $schema: 'https://vega.github.io/schema/vega/v6.json',
    width: panels.length * (SIDE + GAP) - GAP,
    height: SIDE,
    padding: 16,
    background: 'white',
    title: {
      text: rule,
      subtitle: `${other}circle: start; dot: end; cross: minimum`,
      // eslint-disable-next-line @typescript-eslint/no-deprecated -- of another interface, that of HTML's <a>
      anchor: 'start',
      offset: 20,
      fontSize: 16,
      subtitleColor: '#555555',
      subtitlePadding: 4,
    },
    config: { group: { stroke: null } },
    marks: panels.map(panelMark),
  };
  const view = new View(parse(spec), { renderer: 'none' });
  try {
    return `${compactSvg(await view.toSVG())}\n`;
  } finally {
    view.finalize();
  }
}

function panelMark({ title, subtitle, landscape, way, adam }: Panel, index: number): Mark {
  const { x, y, minima } = landscape;
  const { grid, least, most, thresholds } = isocontours(landscape, CELLS, LEVELS);
  const name = (what: string): string => `${what}${index}`;
  const data: Data[] = [
    {
      name: name('contours'),
      values: [{ grid }],
      transform: [
        {
          type: 'isocontour',
          field: 'grid',
          scale: { signal: `[${SIDE / CELLS}, ${SIDE / CELLS}]` },
          thresholds,
          resolve: 'shared',
          as: 'contour',
        },
      ],
    },
    { name: name('way'), values: seen(way, landscape) },
    { name: name('adam'), values: adam === undefined ? [] : seen(adam, landscape) },
    { name: name('end'), values: seen(way, landscape).slice(-1) },
    { name: name('start'), values: seen(way, landscape).slice(0, 1) },
    { name: name('minima'), values: minima.map(([px, py]) => ({ x: px, y: py })) },
  ];
  const scales: Scale[] = [
    { name: name('x'), type: 'linear', domain: [...x], range: [0, SIDE], nice: false, zero: false },
    { name: name('y'), type: 'linear', domain: [...y], range: [SIDE, 0], nice: false, zero: false },
    { name: name('grey'), type: 'linear', domain: [least, most], range: ['#ffffff', '#d5dce4'] },
  ];
  const place = { x: { scale: name('x'), field: 'x' }, y: { scale: name('y'), field: 'y' } } as const;
  const line = (of: string, color: string, dash: readonly number[], width: number): Mark => ({
    type: 'line',
    from: { data: name(of) },
    clip: true,
    encode: {
      enter: {
        ...place,
        stroke: { value: color },
        strokeDash: { value: [...dash] },
        strokeWidth: { value: width },
        strokeJoin: { value: 'round' },
      },
    },
  });
  const symbol = (of: string, shape: string, fill: string, stroke: string, size: number): Mark => ({
    type: 'symbol',
    from: { data: name(of) },
    clip: true,
    encode: {
      enter: {
        ...place,
        shape: { value: shape },
        fill: { value: fill },
        stroke: { value: stroke },
        size: { value: size },
      },
    },
  });
  return {
    type: 'group',
    encode: {
      enter: {
        x: { value: index * (SIDE + GAP) },
        width: { value: SIDE },
        height: { value: SIDE },
        stroke: { value: '#cccccc' },
      },
    },
    data,
    scales,
    axes: [
      { orient: 'bottom', scale: name('x'), title: 'x', ...AXIS },
      { orient: 'left', scale: name('y'), title: 'y', ...AXIS },
    ],
    marks: [
      words(title, -22, 13, '#1a1a1a'),
      words(subtitle, -7, 11, '#555555'),
      {
        type: 'path',
        from: { data: name('contours') },
        clip: true,
        encode: {
          enter: {
            fill: { scale: name('grey'), field: 'contour.value' },
            stroke: { value: '#9aa5b1' },
            strokeWidth: { value: 0.5 },
          },
        },
        transform: [{ type: 'geopath', field: 'datum.contour' }],
      },
      line('adam', OTHER, [4, 3], 1.2),
      line('way', OWN, [1, 0], 1.8),
      symbol('minima', 'cross', '#222222', '#222222', 60),
      symbol('start', 'circle', 'white', '#222222', 50),
      symbol('end', 'circle', OWN, 'white', 50),
    ],
  };
}

/** Above a panel, wherever its axes end. */
const words = (text: string, y: number, size: number, color: string): Mark => ({
  type: 'text',
  encode: { enter: { text: { value: text }, y: { value: y }, fontSize: { value: size }, fill: { value: color } } },
});

/** The points of a way but those that are less than a pixel from the one before, and that leave the picture for good. */
function seen({ points }: Trajectory, { x, y }: Landscape): readonly { readonly x: number; readonly y: number }[] {
  const pixel = Math.min(x[1] - x[0], y[1] - y[0]) / SIDE;
  const far = 10 * Math.max(x[1] - x[0], y[1] - y[0]);
  const kept: { x: number; y: number }[] = [];
  for (const [px, py] of points) {
    if (Math.abs(px) > far || Math.abs(py) > far) break;
    const last = kept.at(-1);
    if (last === undefined || Math.hypot(px - last.x, py - last.y) >= pixel) kept.push({ x: px, y: py });
  }
  return kept;
}
