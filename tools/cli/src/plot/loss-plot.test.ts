import { describe, expect, test } from 'vitest';
import { lossPlot, type LossCurve } from './loss-plot.js';

const curve = (name: string, color: string, scale: number): LossCurve => ({
  name,
  points: Array.from({ length: 200 }, (_, i) => ({ step: i + 1, loss: scale * Math.exp(-i / 60) })),
  color,
  dashed: false,
});
const text = { title: 'A title', subtitle: 'more <about> it', legend: 'Optimizer' };

describe('the loss plot', () => {
  const curves = [curve('First', '#d55e00', 2), { ...curve('Second', '#0072b2', 1), dashed: true }];

  test('is an SVG document on its own', async () => {
    const svg = await lossPlot(curves, text);
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"[^>]* viewBox="0 0 \d+ \d+">/);
    expect(svg).toMatch(/<\/svg>$/);
    expect(svg).not.toMatch(/NaN|Infinity|undefined|href=|<script/);
    // Every tag that is opened is closed.
    const count = (pattern: RegExp): number => svg.match(pattern)?.length ?? 0;
    expect(count(/<[a-z]/g)).toBe(count(/<\/[a-z]/g) + count(/\/>/g));
  });

  test('has a line and a legend entry for every curve, title and axis titles', async () => {
    const svg = await lossPlot(curves, text);
    for (const [name, color] of [
      ['First', '#d55e00'],
      ['Second', '#222222'],
    ]) {
      expect(svg).toMatch(new RegExp(`<path [^>]*d="M[^"]{500,}"[^>]*stroke="${color}"`));
      expect(svg).toContain(`>${name}<`);
    }
    expect(svg).toContain('A title');
    expect(svg).toContain('more &lt;about&gt; it');
    expect(svg).toMatch(/>step</);
    expect(svg).toMatch(/>training loss[^<]*</);
  });

  test('copes with runs of a single step', async () => {
    const svg = await lossPlot([{ ...curve('Short', '#222222', 1), points: [{ step: 1, loss: 2.3 }] }], text);
    expect(svg).toContain('>Short<');
    expect(svg).not.toContain('NaN');
  });
});
