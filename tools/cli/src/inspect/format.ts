import type { StateDocument } from '@adakit/core';
import { formatTable } from '../table.js';
import type { InspectedTensor, Inspection } from './inspect.js';

/** An inspection as text for people. */
export function formatInspection(inspection: Inspection): string {
  const { file, kind, violations, document, metadata, tensors } = inspection;
  const kinds = {
    state: 'a training state',
    safetensors: 'a safetensors file, but no training state of adakit',
    unreadable: 'no safetensors file that can be read',
  };
  const lines = [
    `${file}: ${kinds[kind]}`,
    ...(document ? documentLines(document) : []),
    ...(metadata ? metadataLines(metadata) : []),
    ...(tensors.length === 0 ? [] : ['', ...tensorTable(tensors)]),
    '',
    ...(violations.length === 0
      ? ['valid']
      : ['NOT VALID', ...violations.map(({ code, message }) => `  ${code}: ${message}`)]),
  ];
  return `${lines.join('\n')}\n`;
}

function documentLines({
  formatVersion,
  optimizer,
  step,
  parameterSteps,
  origin,
  random,
  metric,
}: StateDocument): string[] {
  const { name, hyperparameters, initial, groups, schedules, programHash } = optimizer;
  const changed = Object.entries(initial).filter(([key, value]) => hyperparameters[key] !== value);
  const versions = Object.entries(origin.versions ?? {}).map(([software, version]) => `${software} ${version}`);
  const entries: [string, string][] = [
    ['format', `version ${formatVersion}`],
    ['optimizer', `${name}, rule ${programHash}`],
    ['hyperparameters', valuesText(Object.entries(hyperparameters))],
    ...(changed.length === 0 ? [] : [['at construction', valuesText(changed)] as [string, string]]),
    ...groups.map(({ match, hyperparameters: values }): [string, string] => [
      'group',
      `${typeof match === 'string' ? JSON.stringify(match) : `/${match.pattern}/${match.flags}`}: ${valuesText(Object.entries(values))}`,
    ]),
    ...Object.entries(schedules).map(([key, schedule]): [string, string] => [
      'schedule',
      `${key}: ${JSON.stringify(schedule)}`,
    ]),
    ['step', String(step)],
    ...updateEntries(parameterSteps),
    ['origin', [origin.backend, ...versions].join(', ')],
    ...(random === undefined ? [] : [['random', JSON.stringify(random)] as [string, string]]),
    ...(metric === undefined ? [] : [['metric', String(metric)] as [string, string]]),
  ];
  return aligned(entries);
}

/** Parameters that have had another number of updates than the run has steps; those with the same number together. */
function updateEntries(parameterSteps: ReadonlyMap<string, number>): [string, string][] {
  const names = new Map<number, string[]>();
  for (const [name, count] of parameterSteps) names.set(count, [...(names.get(count) ?? []), JSON.stringify(name)]);
  return [...names].map(([count, group]) => {
    const more = group.length > 4 ? ` and ${group.length - 4} more` : '';
    return ['updates', `${count} of ${group.slice(0, 4).join(', ')}${more}`];
  });
}

function metadataLines(metadata: Readonly<Record<string, string>>): string[] {
  const entries = Object.entries(metadata);
  return entries.length === 0 ? ['  no metadata'] : aligned(entries.map(([key, value]) => [key, oneLine(value)]));
}

function tensorTable(tensors: readonly InspectedTensor[]): string[] {
  const rows = tensors.map(({ name, dtype, shape, statistics }) => [
    oneLine(name),
    dtype,
    `[${shape.join(', ')}]`,
    ...(statistics
      ? [
          short(statistics.norm),
          short(statistics.min),
          short(statistics.max),
          statistics.nonFinite === 0 ? '-' : String(statistics.nonFinite),
        ]
      : ['?', '?', '?', '?']),
  ]);
  const elements = tensors.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0);
  const table = formatTable(['tensor', 'dtype', 'shape', 'norm', 'min', 'max', 'non-finite'], rows, 3);
  return [...table, `${tensors.length} tensors, ${elements.toLocaleString('en')} elements`];
}

function short(x: number | null): string {
  return x === null ? '-' : Number.isInteger(x) && Math.abs(x) < 1e6 ? String(x) : x.toPrecision(4);
}

function valuesText(values: readonly (readonly [string, number | boolean])[]): string {
  return values.map(([name, value]) => `${name} ${value}`).join(', ');
}

function aligned(entries: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...entries.map(([key]) => key.length));
  return entries.map(([key, value]) => `  ${key.padEnd(width)}  ${value}`);
}

/** Text from a file on one line, and not longer than one. */
function oneLine(text: string): string {
  const escaped = JSON.stringify(text)
    .slice(1, -1)
    .replaceAll('\\"', '"')
    .replaceAll(/[\u007f-\u009f]/g, (control) => `\\u00${control.charCodeAt(0).toString(16)}`);
  return escaped.length <= 160 ? escaped : `${escaped.slice(0, 160)}… (${text.length} characters)`;
}
