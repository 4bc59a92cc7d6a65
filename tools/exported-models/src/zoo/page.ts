import type { Result } from './examine.js';
import type { ZooRecord } from './record.js';

/** A record and, where there is a model, what became of it. */
export interface Outcome {
  readonly record: ZooRecord;
  readonly result?: Result;
}

type Verdict = 'trains' | 'not selected' | 'wrong' | 'refused' | 'exported wrongly' | 'not exported';

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

export function verdictOf({ record, result }: Outcome): Verdict {
  if ('failure' in record || result === undefined) return 'not exported';
  if ('failure' in result) return 'refused';
  if ('invalid' in result) return 'exported wrongly';
  if (result.wrong.length > 0) return result.output.error <= result.output.bound ? 'wrong' : 'exported wrongly';
  return result.notSelected.length > 0 ? 'not selected' : 'trains';
}

/** docs/zoo.md. */
export function formatPage(outcomes: readonly Outcome[]): string {
  const exportable = outcomes.filter(({ record }) => !('atReference' in record && record.atReference));
  const architectures = new Set(exportable.map(({ record }) => record.architecture)).size;
  const { versions } = outcomes[0].record;
  const libraries = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [
    '# A zoo of published architectures',
    '',
    `${architectures} architectures of ${libraries.join(', ')}, with random weights, small images and short texts, narrow and shallow`,
    'where their constructors allow it. `tools/fixtures/python/zoo.py` exports each with both exporters, TorchScript (opset 17)',
    'and dynamo, in evaluation mode and with a free batch where the exporter agrees. Where the exporter’s optimization would',
    'leave parameters that are no longer in the file (merged batch normalizations, tied weights), it is off.',
    '',
    'One gradient of every model is taken through ONNX Runtime, batch normalizations in training form, and compared with',
    'PyTorch’s in float64: every element of the gradient of every parameter, relative to the largest of the parameter. The bound',
    'is that of [exported networks](exported-models.md): 1e-5, or four times what rounding does to PyTorch’s own gradient where',
    'that is more. The table shows the error that is furthest from its bound. The loss is a sum of mean squared errors. A file',
    'whose own outputs, as stock ONNX Runtime computes them, are beyond the same bound of PyTorch’s was exported wrongly.',
    '',
    'What a file does not say cannot be told from it: where PyTorch code stops gradients (the reference lets them pass, and says',
    'so), which parameters and buffers of several numbers it keeps as they are, and which single numbers, or angles of a sine,',
    'it trains: these last have to be named (`train: { also: … }`).',
    '',
    '    /path/to/python tools/fixtures/python/zoo.py --out .cache/zoo',
    '    npm run zoo -- .cache/zoo --page docs/zoo.md',
    '',
    'What is made is kept in the folder; either command goes on where it was interrupted.',
    '',
    ...table(['', ...families(exportable), 'all'], summary(exportable)),
    '',
    '## Models',
    '',
    ...table(
      ['architecture', 'exporter', 'parameters', 'nodes', 'training nodes', 'error', 'bound', 'remarks'],
      exportable.map(rowOf),
    ),
    '',
  ].join('\n');
}

function families(outcomes: readonly Outcome[]): string[] {
  const keys = outcomes.map(({ record }) => familyOf(record));
  return [...new Set(keys)];
}

function familyOf({ architecture, exporter }: ZooRecord): string {
  return `${architecture.split('/')[0]}, ${exporter}`;
}

function summary(outcomes: readonly Outcome[]): string[][] {
  return (Object.keys(VERDICTS) as Verdict[]).map((verdict) => {
    const found = outcomes.filter((outcome) => verdictOf(outcome) === verdict);
    const counts = families(outcomes).map((family) => found.filter(({ record }) => familyOf(record) === family).length);
    return [VERDICTS[verdict], ...[...counts, found.length].map(String)];
  });
}

function rowOf(outcome: Outcome): string[] {
  const { record, result } = outcome;
  const named = [record.architecture, record.exporter];
  if ('failure' in record) return [...named, '', '', '', '', '', `not exported: ${brief(record.failure)}`];
  const count = record.parameterCount.toLocaleString('en');
  if (result === undefined || 'failure' in result) {
    return [...named, count, '', '', '', '', `**not trained**: ${brief(result?.failure ?? 'not examined')}`];
  }
  if ('invalid' in result) {
    return [...named, count, '', '', '', '', `exported wrongly: ${brief(result.invalid)}`];
  }
  const { output, gradient, loss, wrong, notSelected, selectedConstants } = result;
  if (verdictOf(outcome) === 'exported wrongly') {
    const sizes = [result.nodes, result.trainingNodes].map(String);
    const { error, bound } = output;
    return [
      ...named,
      count,
      ...sizes,
      digits(error),
      digits(bound),
      'exported wrongly: the error is that of an output of the file',
    ];
  }
  const shown = wrong.some(({ of }) => of === 'loss') ? loss : gradient;
  const remarks = [
    ...(wrong.length > 0 ? [`**wrong**: ${listed(wrong.map(({ of }) => of))}`] : []),
    ...(notSelected.length > 0
      ? [`not selected: ${listed(notSelected.map(({ name, reason }) => `${name} (${reason})`))}`]
      : []),
    ...(selectedConstants.length > 0 ? [`selected, but not trained in PyTorch: ${listed(selectedConstants)}`] : []),
    ...(record.missing.length > 0 ? [`in the file in another form: ${listed(record.missing)}`] : []),
    ...(record.stopsGradients ? ['PyTorch stops gradients somewhere, which no file says'] : []),
    ...(record.freeBatch ? [] : ['batch fixed']),
    ...(record.fusedAttention ? [] : ['attention written out']),
  ];
  return [
    ...named,
    count,
    String(result.nodes),
    String(result.trainingNodes),
    digits(shown.error),
    digits(shown.bound),
    remarks.join('; '),
  ];
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
