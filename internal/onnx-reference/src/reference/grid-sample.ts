import { roundToEven } from './elementwise.js';
import type { Kernel, Kernels } from './kernel.js';
import { elementAt, indicesOf, sum, tabulate } from './tensor.js';

/** Where a pixel, or a place between pixels, is read when it lies outside of an axis; undefined reads zero. */
function padded(place: number, length: number, padding: string, aligned: boolean): number | undefined {
  const clipped = (at: number) => Math.min(Math.max(at, 0), length - 1);
  if (padding === 'border') return clipped(place);
  if (padding === 'zeros') return place < 0 || place > length - 1 ? undefined : place;
  const [low, high] = aligned ? [0, length - 1] : [-0.5, length - 0.5];
  if (low === high) return 0;
  let at = place;
  while (at < low || at > high) at = at < low ? 2 * low - at : 2 * high - at;
  return clipped(at);
}

/** The weight of a pixel at a distance. */
const WEIGHTS: Readonly<Record<string, (distance: number) => number>> = {
  bilinear: (d) => Math.max(1 - d, 0),
  bicubic: (d) => {
    const a = -0.75;
    if (d <= 1) return (a + 2) * d ** 3 - (a + 3) * d ** 2 + 1;
    return d < 2 ? a * (d ** 3 - 5 * d ** 2 + 8 * d - 4) : 0;
  },
};

/** Sums over all pixels near a place, of which each lies where the padding puts it. */
const gridSample: Kernel = ({ input, attributes }) => {
  const [x, grid] = [input(0), input(1)];
  const mode = attributes.string('mode', 'bilinear');
  const padding = attributes.string('padding_mode', 'zeros');
  const aligned = attributes.int('align_corners', 0) === 1;
  const lengths = x.dims.slice(2);
  return tabulate(x.dtype, [...x.dims.slice(0, 2), ...grid.dims.slice(1, -1)], ([n, c, ...point]) => {
    const axes = lengths.map((length, axis) => {
      const g = elementAt(grid, [n, ...point, lengths.length - 1 - axis]);
      const place = aligned ? ((g + 1) / 2) * (length - 1) : ((g + 1) * length - 1) / 2;
      if (mode === 'nearest') return [{ pixel: padded(roundToEven(place), length, padding, aligned), weight: 1 }];
      const first = Math.floor(place) - 1;
      return [0, 1, 2, 3].map((i) => ({
        pixel: padded(first + i, length, padding, aligned),
        weight: WEIGHTS[mode](Math.abs(place - first - i)),
      }));
    });
    return sum(
      indicesOf(axes.map((taps) => taps.length)).map((choice) => {
        const taps = choice.map((tap, axis) => axes[axis][tap]);
        const pixels = taps.flatMap(({ pixel }) => pixel ?? []);
        const value = pixels.length < taps.length ? 0 : elementAt(x, [n, c, ...pixels]);
        return taps.reduce((product, { weight }) => product * weight, value);
      }),
    );
  });
};

export const gridSampling: Kernels = { GridSample: gridSample };
