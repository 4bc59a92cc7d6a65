import { expect, it } from 'vitest';
import { compactSvg } from './compact-svg.js';

it('paths lose what is on the way, and say steps; words and places stay', () => {
  const path = 'M0,0L1.04,0.01L2,0L2,-3.26L0,-3.26Z';
  const svg = `<svg width="9"><g class="mark" aria-hidden="true"><path d="${path}"/><text transform="translate(1.234,2)" font-family="A">lr 0.03</text></g></svg>`;
  const compact = compactSvg(svg);
  expect(compact).toContain('<path d="M0 0l2 0 0-3.3-2 0Z"/>');
  expect(compact).toContain('<text transform="translate(1.2,2)">lr 0.03</text>');
  expect(compact).not.toMatch(/class|aria/);
});

it('rounding does not add up along a path', () => {
  const points = Array.from({ length: 41 }, (_, i) => `${(i * 1.04).toFixed(2)},${i % 2}`);
  const steps = /d="M0 0l([^"]*)"/.exec(compactSvg(`<path d="M${points.join('L')}"/>`))?.[1] ?? '';
  const numbers = [...steps.matchAll(/-?(?:\d+\.?\d*|\.\d+)/g)].map(([x]) => Number(x));
  const end = numbers.filter((_, i) => i % 2 === 0).reduce((a, b) => a + b, 0);
  expect(Math.abs(end - 40 * 1.04)).toBeLessThan(0.06);
});

it('what a picture refers to is numbered within it', () => {
  const drawn = (first: number): string =>
    compactSvg(
      `<svg><g clip-path="url(#clip${first + 1})"/><g clip-path="url(#clip${first})"/><clipPath id="clip${first}"/><clipPath id="clip${first + 1}"/></svg>`,
    );
  expect(drawn(7)).toBe(drawn(1));
  expect(drawn(7)).toMatch(/#clip1\b[^]*#clip2\b[^]*id="clip2"[^]*id="clip1"/);
});
