import { reasonFor } from './reasons.js';
import type { ZooRecord } from './record.js';
import type { Deviation } from '../compare.js';
import type { Examined } from './survey.js';

/** A record and, where there is a model, what became of it, and with which code. */
export interface Outcome {
  readonly record: ZooRecord;
  readonly examined?: Examined;
}

/** A row of the table of models. */
export interface Row {
  readonly architecture: string;
  readonly exporter: string;
  readonly verdict: Verdict;
  /** The commit that it was measured with; '' for what was not exported. */
  readonly code: string;
  /** Parameters, nodes, training nodes, error and bound. */
  readonly sizes: readonly string[];
  readonly remarks: string;
}

export type Verdict = 'trains' | 'not selected' | 'wrong' | 'refused' | 'exported wrongly' | 'not exported';

const VERDICTS: Readonly<Record<Verdict, string>> = {
  trains: 'trained, every gradient PyTorch’s',
  'not selected': 'the same, but a parameter has to be named to be trained',
  wrong: 'a gradient is wrong',
  refused: 'adakit cannot train it',
  'exported wrongly': 'the file does not run, or computes something else than PyTorch',
  'not exported': 'the exporter fails',
};

/** The longest message that stays whole. */
const LONGEST = 200;

export function verdictOf({ record, examined }: Outcome): Verdict {
  const result = examined?.result;
  if ('failure' in record || result === undefined) return 'not exported';
  if ('failure' in result) return 'refused';
  if ('invalid' in result) return 'exported wrongly';
  if (result.wrong.length > 0) return isRight(result.output) ? 'wrong' : 'exported wrongly';
  return result.notSelected.length > 0 ? 'not selected' : 'trains';
}

/** Whether the outputs of a file are PyTorch's. */
function isRight(output: Deviation | undefined): boolean {
  return output === undefined || output.error <= output.bound;
}

const HEADER = [
  'architecture',
  'exporter',
  'verdict',
  'parameters',
  'nodes',
  'training nodes',
  'error',
  'bound',
  'code',
  'remarks',
];

/**
 * docs/zoo.md.
 *
 * @param versions of the libraries
 */
export function formatPage(rows: readonly Row[], versions: Readonly<Record<string, string>>): string {
  const architectures = new Set(rows.map(({ architecture }) => architecture)).size;
  const libraries = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [
    '# A zoo of published architectures',
    '',
    `${architectures} architectures of ${libraries.join(', ')}, with random weights, small images and short texts, narrow and shallow`,
    'where their constructors allow it. `tools/fixtures/python/zoo.py` exports each with both exporters, TorchScript (opset 17)',
    'and dynamo, in evaluation mode and with a free batch where the exporter agrees. Where the exporter’s optimization would',
    'leave parameters that are no longer in the file (merged batch normalizations, tied weights), it is off.',
    'A file that does not run, or computes something else than PyTorch, is exported again without optimization, with a fixed',
    'batch, or with attention written out; the table has the first right one, or, of files made before that was so, the first.',
    '',
    'One gradient of every model is taken through ONNX Runtime, batch normalizations in training form, and compared with',
    'PyTorch’s in float64: every element of the gradient of every parameter, relative to the largest of the parameter. The bound',
    'is that of [exported networks](exported-models.md): 1e-5, or four times what rounding does to PyTorch’s own gradient where',
    'that is more. The table shows the error that is furthest from its bound. The loss is a sum of mean squared errors. A file',
    'whose own outputs, as stock ONNX Runtime computes them, are beyond the same bound of PyTorch’s was exported wrongly. One that',
    'stock ONNX Runtime refuses counts as trained where adakit reads it all the same, and loss and gradients are PyTorch’s.',
    '',
    'Architectures whose modules have no code that those of another one lack are not listed: their sizes are what differs.',
    '',
    'What a file does not say cannot be told from it: where PyTorch code stops gradients (the reference lets them pass, and says',
    'so), and in files of the TorchScript exporter, or where the dynamo exporter has folded constants, which tensors are',
    'parameters: buffers of several numbers may be selected, and angles of a sine, or single numbers whose names are not those of',
    'parameters, have to be named (`train: { also: … }`, which `adakit check` prints).',
    '',
    '    /path/to/python tools/fixtures/python/zoo.py --out .cache/zoo',
    '    npm run zoo -- .cache/zoo --page docs/zoo.md',
    '',
    'What is made is kept in the folder; either command goes on where it was interrupted. Rows of the page stay that are of',
    'other models than those in the folder: the column `code` names the last commit to `packages/onnx/src` that a row was',
    `measured with: ${codes(rows)}.`,
    '',
    ...table(['', ...families(rows), 'all'], summary(rows)),
    '',
    '## Models',
    '',
    ...table(
      HEADER,
      rows
        .toSorted((a, b) => order(a).localeCompare(order(b), 'en'))
        .map(({ architecture, exporter, verdict, sizes, code, remarks }) => [
          architecture,
          exporter,
          verdict,
          ...sizes,
          code,
          remarks,
        ]),
    ),
    '',
  ].join('\n');
}

/** The rows that a page has. */
export function readRows(page: string): Row[] {
  const lines = page.split('\n').filter((line) => line.startsWith('| '));
  const cells = lines.map((line) => line.split(/(?<!\\)\|/).map((cell) => cell.trim()));
  const header = cells.findIndex((row) => row[1] === HEADER[0]);
  if (header < 0) throw new Error('the page has no table of models');
  return cells.slice(header + 2).map(([, architecture, exporter, verdict, ...rest]) => {
    if (!isVerdict(verdict)) throw new Error(`${architecture}: '${verdict}' is no verdict`);
    return { architecture, exporter, verdict, sizes: rest.slice(0, 5), code: rest[5], remarks: rest[6] };
  });
}

/** The rows of a page with those that have been measured anew, or for the first time. */
export function mergeRows(before: readonly Row[], measured: readonly Row[]): Row[] {
  return [...new Map([...before, ...measured].map((row) => [order(row), row])).values()];
}

function isVerdict(text: string): text is Verdict {
  return text in VERDICTS;
}

/** TorchScript comes first, which is the older exporter. */
function order({ architecture, exporter }: Row): string {
  return `${architecture} ${exporter === 'dynamo' ? 1 : 0}`;
}

/** How many rows were measured with which code. */
function codes(rows: readonly Row[]): string {
  const counts = new Map<string, number>();
  for (const { code } of rows) if (code !== '') counts.set(code, (counts.get(code) ?? 0) + 1);
  return [...counts].map(([code, count]) => `${count} with \`${code}\``).join(', ');
}

function families(rows: readonly Row[]): string[] {
  return [...new Set(rows.map(familyOf))].sort();
}

function familyOf({ architecture, exporter }: Row): string {
  return `${architecture.split('/')[0]}, ${exporter}`;
}

function summary(rows: readonly Row[]): string[][] {
  return (Object.keys(VERDICTS) as Verdict[]).map((verdict) => {
    const found = rows.filter((row) => row.verdict === verdict);
    const counts = families(rows).map((family) => found.filter((row) => familyOf(row) === family).length);
    return [VERDICTS[verdict], ...[...counts, found.length].map(String)];
  });
}

/** Undefined for an architecture that fails in PyTorch: there is nothing to export. */
export function rowOf(outcome: Outcome): Row | undefined {
  const { record, examined } = outcome;
  if ('failure' in record && record.atReference) return undefined;
  const { architecture, exporter } = record;
  const count = 'failure' in record ? '' : record.parameterCount.toLocaleString('en');
  const described = describe(outcome);
  return {
    architecture,
    exporter,
    verdict: verdictOf(outcome),
    code: examined?.code ?? '',
    sizes: [count, ...described.sizes, '', '', '', ''].slice(0, 5),
    remarks: described.remarks,
  };
}

function describe(outcome: Outcome): { readonly sizes: readonly string[]; readonly remarks: string } {
  const { record, examined } = outcome;
  const result = examined?.result;
  const explained = (message: string) => reasonFor(record, message) ?? brief(message);
  if ('failure' in record) return { sizes: [], remarks: explained(record.failure) };
  if (result === undefined || 'failure' in result) {
    return { sizes: [], remarks: brief(result?.failure ?? 'not examined') };
  }
  if ('invalid' in result) return { sizes: [], remarks: explained(result.invalid) };
  const { output, refused, gradient, loss, wrong, notSelected, selectedConstants } = result;
  const isExportedWrongly = verdictOf(outcome) === 'exported wrongly';
  const shown =
    isExportedWrongly && output !== undefined ? output : wrong.some(({ of }) => of === 'loss') ? loss : gradient;
  const sizes = [String(result.nodes), String(result.trainingNodes), digits(shown.error), digits(shown.bound)];
  if (isExportedWrongly) return { sizes, remarks: explained('the error is that of an output of the file') };
  const remarks = [
    ...(wrong.length > 0 ? [`**wrong**: ${listed(wrong.map(({ of }) => of))}`] : []),
    ...(notSelected.length > 0
      ? [`not selected: ${listed(notSelected.map(({ name, reason }) => `${name} (${reason})`))}`]
      : []),
    ...(selectedConstants.length > 0 ? [`selected, but not trained in PyTorch: ${listed(selectedConstants)}`] : []),
    ...(record.missing.length > 0 ? [`in the file in another form: ${listed(record.missing)}`] : []),
    ...(refused === undefined ? [] : [`stock ONNX Runtime refuses the file: ${brief(refused)}`]),
    ...(record.stopsGradients ? ['PyTorch stops gradients somewhere, which no file says'] : []),
    ...(record.freeBatch ? [] : ['batch fixed']),
    ...(record.fusedAttention ? [] : ['attention written out']),
  ];
  return { sizes, remarks: remarks.join('; ') };
}

function digits(value: number): string {
  return value.toExponential(0);
}

function listed(names: readonly string[]): string {
  const first = names.slice(0, 3).map((name) => `\`${name}\``);
  return [...first, ...(names.length > 3 ? [`${names.length - 3} more`] : [])].join(', ');
}

/** The cause that a message names, in one line, without what would end a cell or become formatting. */
function brief(message: string): string {
  // dynamo says first what to do next, and ends with tracebacks.
  const [cause] = message
    .split('## Exception summary')
    .slice(-1)[0]
    .split(/While executing|Original traceback/);
  const line = cause
    // Colours of a terminal.
    .replace(/\u001b\[[\d;]*m/g, '')
    .trim()
    .replace(/\s+/g, ' ');
  const short = line.length > LONGEST ? `${line.slice(0, LONGEST)}…` : line;
  return short.replace(/[|<>`*_]/g, (mark) => `\\${mark}`);
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(header), line(header.map(() => '---')), ...rows.map(line)];
}
