type Point = readonly [x: number, y: number];

/** For all words in it. */
const FONT = 'Helvetica, Arial, sans-serif';

/** How far a line may be from where it was, in pixels. */
const TOLERANCE = 0.35;

/**
 * An SVG document of Vega in a fraction of its bytes: polygons without the points that nobody would miss (Douglas & Peucker
 * 1973), in steps from point to point, and without what is written for screen readers, to whom the page that shows it speaks.
 */
export function compactSvg(svg: string): string {
  return (
    withOwnIds(svg)
      // Vega writes frames that nobody sees around everything, and the font at every word.
      .replace(/<path(?: class="(?:background|foreground)")[^>]*(?: d="M0,0h0v0h0Z"| display="none")[^>]*\/>/g, '')
      .replace(/ (?:aria-[a-z]+|role|pointer-events|class|font-family)="[^"]*"/g, '')
      .replace('<svg ', `<svg font-family="${FONT}" `)
      .replace(/ (?:opacity="1"|stroke-dasharray="1,0"|transform="translate\(0,0\)")/g, '')
      .replace(/ d="(M[-\d.,eMLZ]*)"/g, (_, path: string) => ` d="${compactPath(path)}"`)
      .replace(/ (?:transform|x|y|x1|x2|y1|y2|width|height|d)="[^"]*"/g, (place) =>
        place.replace(/-?\d+\.\d{2,}/g, (x) => String(Number(Number(x).toFixed(1)))),
      )
  );
}

/** Vega counts what it refers to over all documents of a process; here each begins at 1. */
function withOwnIds(svg: string): string {
  const own = new Map<string, string>();
  return svg.replace(/(id="|url\(#)(clip|gradient_)(\d+)/g, (_, before: string, kind: string, number: string) => {
    const id = own.get(kind + number) ?? `${kind}${own.size + 1}`;
    own.set(kind + number, id);
    return before + id;
  });
}

function compactPath(path: string): string {
  return path
    .split('M')
    .slice(1)
    .map((part) => {
      const closed = part.endsWith('Z');
      const points = part
        .replace('Z', '')
        .split('L')
        .map((pair): Point => pair.split(',').map(Number) as unknown as Point);
      return steps(simplified(points)) + (closed ? 'Z' : '');
    })
    .join('');
}

/** The first point, and the way from each to the next, in tenths of a pixel that do not add up. */
function steps(points: readonly Point[]): string {
  const tenths = points.map(([x, y]): Point => [Math.round(10 * x), Math.round(10 * y)]);
  const text = (x: number): string => String(x / 10).replace(/^(-?)0\./, '$1.');
  const pair = (x: number, y: number): string => `${text(x)}${y < 0 ? '' : ' '}${text(y)}`;
  const [first, ...others] = tenths.map(([x, y], i) =>
    i === 0 ? pair(x, y) : pair(x - tenths[i - 1][0], y - tenths[i - 1][1]),
  );
  return `M${first}l${others.join(' ').replaceAll(' -', '-')}`;
}

/** The points without which the line would be farther than {@link TOLERANCE} from one of them. */
function simplified(points: readonly Point[]): readonly Point[] {
  const keep = points.map((_, i) => i === 0 || i === points.length - 1);
  const open: [number, number][] = [[0, points.length - 1]];
  for (let span = open.pop(); span !== undefined; span = open.pop()) {
    const [first, last] = span;
    let [farthest, at] = [TOLERANCE, -1];
    for (let i = first + 1; i < last; i++) {
      const away = distance(points[i], points[first], points[last]);
      if (away > farthest) [farthest, at] = [away, i];
    }
    if (at < 0) continue;
    keep[at] = true;
    open.push([first, at], [at, last]);
  }
  return points.filter((_, i) => keep[i]);
}

/** From a point to the line between two others. */
function distance([x, y]: Point, [ax, ay]: Point, [bx, by]: Point): number {
  const [dx, dy] = [bx - ax, by - ay];
  const square = dx * dx + dy * dy;
  const along = square === 0 ? 0 : Math.max(0, Math.min(1, ((x - ax) * dx + (y - ay) * dy) / square));
  return Math.hypot(x - ax - along * dx, y - ay - along * dy);
}
