import { parse, View } from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';

/**
 * Colours that people with any colour vision tell apart, in the order they are taken; the first two differ most
 * (Okabe and Ito 2008, without the yellow that is too light on white).
 */
export const palette = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#56b4e9', '#e69f00', '#000000'] as const;

/** Dashes that tell lines apart when colours have been used up. */
const dashes: readonly (readonly number[])[] = [
  [1, 0],
  [6, 3],
  [2, 3],
  [8, 3, 2, 3],
];

/** Colour and dash of the nth line. */
export function lineStyle(index: number): { readonly color: string; readonly dash: readonly number[] } {
  return {
    color: palette[index % palette.length],
    dash: dashes[Math.floor(index / palette.length) % dashes.length],
  };
}

/** The words above a plot. */
export interface PlotTitle {
  readonly title: string;
  readonly subtitle: string;
}

/** What all plots share. */
export const frame = ({ title, subtitle }: PlotTitle) =>
  ({
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    padding: 24,
    background: 'white',
    title: { text: title, subtitle },
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
  }) as const;

/** An SVG document. */
export async function render(spec: TopLevelSpec): Promise<string> {
  const view = new View(parse(compile(spec).spec), { renderer: 'none' });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

/** 1, 2 and 5 times powers of ten between two numbers: what a logarithmic axis is labelled with. */
export function roundValues(low: number, high: number): number[] {
  const exponents = Array.from(
    { length: Math.ceil(Math.log10(high / low)) + 2 },
    (_, i) => Math.floor(Math.log10(low)) + i,
  );
  return exponents
    .flatMap((exponent) => [1, 2, 5].map((digit) => Number(`${digit}e${exponent}`)))
    .filter((value) => value >= low && value <= high);
}
