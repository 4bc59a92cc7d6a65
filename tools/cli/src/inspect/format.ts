import type { HyperparameterValues, MatchData, OptimizerConfig, SchedulesData } from '@adakit/core';
import { optimizerText, type SlotEntry, type StateDocument } from '@adakit/state';
import { oneLine } from '../printable.js';
import { formatTable } from '../table.js';
import type { InspectedTensor, Inspection } from './inspect.js';

/** An inspection as text for people. */
export function formatInspection(inspection: Inspection): string {
  const { file, kind, violations, note, document, metadata, tensors } = inspection;
  const kinds = {
    state: 'a training state',
    safetensors: 'a safetensors file, but no training state of adakit',
    unreadable: 'no safetensors file that can be read',
  };
  const lines = [
    `${oneLine(file)}: ${kinds[kind]}`,
    ...(document ? documentLines(document) : []),
    ...(metadata ? metadataLines(metadata) : []),
    ...(tensors.length === 0 ? [] : ['', ...tensorTable(tensors)]),
    '',
    ...(violations.length === 0
      ? [note === undefined ? 'valid' : `valid (${oneLine(note)})`]
      : ['NOT VALID', ...violations.map(({ code, message }) => `  ${code}: ${escapeLines(message)}`)]),
  ];
  return `${lines.join('\n')}\n`;
}

function documentLines(document: StateDocument): string[] {
  const { formatVersion, optimizer, step, rules, parameters, globals = {}, origin } = document;
  const { collected, lossScale, plateaus = {}, skipped, random, data, metric } = document;
  const versions = Object.entries(origin.versions ?? {}).map(([software, version]) => `${software} ${version}`);
  const entries: [string, string][] = [
    ['format', `version ${formatVersion}`],
    ['optimizer', optimizerText(optimizer)],
    ...pieceEntries(optimizer, ''),
    ['step', String(step)],
    ...updateEntries(
      new Map([...parameters].flatMap(([name, entry]) => (entry.step === undefined ? [] : [[name, entry.step]]))),
    ),
    ...rules.flatMap(({ programHash, slots = {} }): [string, string][] => [
      ['rule', [programHash ?? 'of unknown origin', ...Object.entries(slots).map(slotText)].join('; ')],
    ]),
    ...Object.entries(globals).map(([name, value]): [string, string] => ['number', `${name} ${value}`]),
    ...(collected ? entry('collected', `${collected.batches} batches of ${collected.samples} samples`) : []),
    ...(lossScale ? entry('loss scale', `${lossScale.scale}, ${lossScale.good} steps since it changed`) : []),
    ...Object.entries(plateaus).map(([key, { best, bad, factor }]): [string, string] => [
      'plateau',
      `${key}: factor ${factor}, best ${best ?? 'none'}, ${bad} reports since`,
    ]),
    ...(skipped === undefined ? [] : entry('skipped', `${skipped} steps`)),
    ['origin', [origin.backend, ...versions].join(', ')],
    ...(random === undefined ? [] : entry('random', JSON.stringify(random))),
    ...(data === undefined ? [] : entry('data', JSON.stringify(data))),
    ...(metric === undefined ? [] : entry('metric', String(metric))),
  ];
  return aligned(entries.map(([key, value]) => [key, shortened(value)]));
}

function entry(key: string, value: string): [string, string][] {
  return [[key, value]];
}

/** The tree, a piece a line, what is inside another indented. */
function pieceEntries(config: OptimizerConfig, indent: string): [string, string][] {
  if (config.kind === 'groups') {
    const inGroups = config.groups.flatMap(
      ({ name, match, optimizer, hyperparameters, schedules }): [string, string][] => [
        [`${indent}group ${name}`, [matchText(match), ...own(hyperparameters), ...scheduled(schedules)].join(', ')],
        ...(optimizer ? pieceEntries(optimizer, `${indent}  `) : []),
      ],
    );
    return [...inGroups, ...pieceEntries(config.rest, indent)];
  }
  const { name, hyperparameters, initial, schedules, inner } = config;
  const changed = Object.entries(initial).filter(([key, value]) => hyperparameters[key] !== value);
  return [
    [`${indent}${name}`, valuesText(Object.entries(hyperparameters))],
    ...(changed.length === 0 ? [] : entry(`${indent}  at construction`, valuesText(changed))),
    ...Object.entries(schedules).map(([key, schedule]): [string, string] => [
      `${indent}  schedule`,
      `${key}: ${JSON.stringify(schedule)}`,
    ]),
    ...(inner ? pieceEntries(inner, `${indent}  `) : []),
  ];
}

function own(hyperparameters: HyperparameterValues): string[] {
  return Object.keys(hyperparameters).length === 0 ? [] : [valuesText(Object.entries(hyperparameters))];
}

function scheduled(schedules: SchedulesData): string[] {
  return Object.entries(schedules).map(([key, schedule]) => `${key}: ${JSON.stringify(schedule)}`);
}

function matchText(match: MatchData): string {
  if (typeof match === 'string') return JSON.stringify(match);
  if ('pattern' in match) return `/${match.pattern}/${match.flags}`;
  if ('names' in match) return someNames(match.names);
  return JSON.stringify(match.conditions);
}

function slotText([name, { of, decay, axes }]: readonly [string, SlotEntry]): string {
  const details = [...(of === undefined ? [] : [of]), ...(decay === undefined ? [] : [`decay ${decay}`])];
  return `${name} ${[...details, ...(axes === undefined ? [] : [`along [${axes.join(', ')}]`])].join(', ')}`;
}

/** Parameters that have had another number of updates than the run has steps; those with the same number together. */
function updateEntries(parameterSteps: ReadonlyMap<string, number>): [string, string][] {
  const names = new Map<number, string[]>();
  for (const [name, count] of parameterSteps) names.set(count, [...(names.get(count) ?? []), name]);
  return [...names].map(([count, group]) => ['updates', `${count} of ${someNames(group)}`]);
}

/** The first few of many names. */
function someNames(names: readonly string[]): string {
  const more = names.length > 4 ? ` and ${names.length - 4} more` : '';
  return `${names
    .slice(0, 4)
    .map((name) => JSON.stringify(name))
    .join(', ')}${more}`;
}

function metadataLines(metadata: Readonly<Record<string, string>>): string[] {
  const entries = Object.entries(metadata);
  return entries.length === 0 ? ['  no metadata'] : aligned(entries.map(([key, value]) => [key, shortened(value)]));
}

function tensorTable(tensors: readonly InspectedTensor[]): string[] {
  const rows = tensors.map(({ name, dtype, shape, statistics }) => [
    shortened(name),
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

function valuesText(values: readonly (readonly [string, HyperparameterValues[string]])[]): string {
  return values.map(([name, value]) => `${name} ${value}`).join(', ');
}

function aligned(entries: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...entries.map(([key]) => key.length));
  return entries.map(([key, value]) => `  ${oneLine(key).padEnd(width)}  ${value}`.trimEnd());
}

/** Text from a file on one line, and not longer than a few. */
function shortened(text: string): string {
  const escaped = oneLine(text);
  return escaped.length <= MAX_LENGTH ? escaped : `${escaped.slice(0, MAX_LENGTH)}… (${text.length} characters)`;
}

const MAX_LENGTH = 400;

/** Messages may have several lines, of their own. */
function escapeLines(message: string): string {
  return message.split('\n').map(oneLine).join('\n');
}
