import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { concreteShape, makePlan, needsOf, type Program, type Shape } from '@adakit/core';
import { pluginIn } from '@adakit/plugins';
import { format, resolveConfig } from 'prettier';
import { expect, it } from 'vitest';
import { optimizerNames } from './known-names.js';
import { optimizerByName } from './optimizer-by-name.js';
import { packageOf } from './testing/package-of.js';

// docs/optimizers.md says what every rule is and costs. To write it again: npx vitest run tools/cli/src/optimizers-page -u

const root = new URL('../../../', import.meta.url);
const path = fileURLToPath(new URL('docs/optimizers.md', root));

/** A layer that is large enough for a row or a column of it to be little. */
const shape = [1024, 1024];
const extents = { rows: 1024, cols: 1024 };
const elements = 1024 * 1024;

/**
 * What a step does to the layer: values of its size that are read and written, operations on each, products of matrices, and
 * products and factors that are due now and then.
 */
interface Cost {
  readonly moved: number;
  readonly operations: number;
  readonly products: number;
  readonly rare: number;
}

const dims = (of: Shape): readonly number[] => concreteShape(of, shape, extents);

/** Of a full-size value, how much a value of a shape is. */
const share = (of: Shape): number => dims(of).reduce((a, b) => a * b, 1) / elements;

function costOfProgram(program: Program): Cost {
  const { instructions, outputs } = program;
  const needs = needsOf(program);
  const device = instructions.filter(({ type }) => type.place === 'device');
  const sizes = (list: typeof device): number => list.reduce((sum, { type }) => sum + share(type.shape), 0);
  const products = instructions.map((each) => {
    if (each.form !== 'matMul' && each.form !== 'factor') return 0;
    const [rows, inner] = dims(instructions[each.args[0]].type.shape);
    const [, cols] = dims(each.type.shape);
    const work = (rows * inner * cols) / 1024 ** 3;
    // Outer products cost no more than an elementwise operation.
    return work > 1 / 1024 ? work : 0;
  });
  const work = (isRare: boolean): number =>
    products.reduce((sum, each, index) => sum + ((needs[index] !== undefined) === isRare ? each : 0), 0);
  return {
    moved:
      sizes(device.filter(({ form }) => form === 'input')) + sizes(Object.values(outputs).map((i) => instructions[i])),
    operations: sizes(device.filter(({ form }) => form === 'elementwise')),
    products: work(false),
    rare: work(true),
  };
}

function costOf(name: string): Cost & { readonly state: number } {
  const plan = makePlan(optimizerByName(name, { lr: 0.1 }), [{ name: 'weight', shape }]);
  const programs = plan.stages.flatMap((stage) =>
    stage.kind === 'parameters' ? stage.calls.map((call) => costOfProgram(call.program)) : [],
  );
  const total = (key: keyof Cost): number => programs.reduce((sum, cost) => sum + cost[key], 0);
  const state = plan.parameters[0].slots.reduce((sum, slot) => sum + 4 * share(slot.shape), 0);
  return {
    moved: total('moved'),
    operations: total('operations'),
    products: total('products'),
    rare: total('rare'),
    state,
  };
}

const rounded = (x: number): string => String(Number(x.toPrecision(2)));
const counted = (x: number): string => (x < 10 ? rounded(x) : String(Math.round(x)));

function entry(name: string): { readonly row: string; readonly section: string } {
  const folder = packageOf(name);
  const { optimizers } = pluginIn(fileURLToPath(new URL(`packages/${folder}`, root)));
  const readme = readFileSync(new URL(`packages/${folder}/README.md`, root), 'utf8');
  const { paper, settings = {} } = optimizers[name];
  const [cost, adam] = [costOf(name), costOf('adam')];
  const title = (/^# .*\n\n([^]*?)[.:]?\n\n/.exec(readme)?.[1] ?? '').replaceAll('\n', ' ');
  const times = `${rounded(cost.moved / adam.moved)} ×`;
  const operations = `${rounded(cost.operations / adam.operations)} ×${cost.products > 0 ? `, ${counted(cost.products)} products` : ''}${cost.rare > 0 ? `, ${counted(cost.rare)} now and then` : ''}`;
  const formula = /```text\n([^]*?)```/.exec(readme)?.[1] ?? '';
  const lines = Object.entries(settings).map(
    ([task, values]) =>
      `- ${task}: ${Object.entries(values)
        .map(([key, value]) => `\`${key}\` ${value}`)
        .join(', ')}`,
  );
  return {
    row: `| [\`${name}\`](#${name.toLowerCase()}) | [\`@adakit/${folder}\`](../packages/${folder}) | ${rounded(cost.state)} | ${times} | ${operations} |`,
    section: [
      `## ${name}`,
      `${title}.${paper === undefined ? '' : ` [Source](${paper})`}`,
      `![The ways of ${name} and of Adam over three test functions](optimizers/${name}.svg)`,
      ...(formula === '' ? [] : [`\`\`\`text\n${formula}\`\`\``]),
      ...(lines.length === 0 ? [] : [lines.join('\n')]),
    ].join('\n\n'),
  };
}

it.each(optimizerNames)('%s names its source and settings that its authors recommend', (name) => {
  const { paper, settings = {} } = pluginIn(fileURLToPath(new URL(`packages/${packageOf(name)}`, root))).optimizers[
    name
  ];
  expect(paper).toMatch(/^https:/);
  expect(Object.keys(settings)).not.toEqual([]);
});

it('docs/optimizers.md is what packages and programs say', async () => {
  const entries = optimizerNames.map(entry);
  const page = `# Optimizers

What every rule is, what it keeps and what it costs. Made from the packages and from the programs that their rules are
traced to, with default options, for a layer of 1024 × 1024 weights; a vector may be kept otherwise.

- **State** is in bytes a parameter, beside the parameter and its gradient.
- **Moved** are the bytes that a step reads and writes, against Adam's. Large layers take about that long: an update is as
  fast as memory.
- **Operations** are elementwise ones a parameter, against Adam's; products are those of 1024 × 1024 matrices, narrower ones
  counting for less, which count most where there are any; what is due every so many steps alone counts apart.

Each picture shows the rule on three functions of two numbers, in 300 steps with the first settings below and the learning rate
that gets lowest, without weight decay; \`adakit landscape\` draws others. What rules do to networks is another matter.

Settings are those of the papers or their authors' code, by task, as \`adakit optimizers NAME\` shows them. Others are
packages \`adakit-optimizer-NAME\`; [to write one](../packages/create-adakit-optimizer) takes ten minutes.

| rule | package | state | moved | operations |
| --- | --- | --- | --- | --- |
${entries.map(({ row }) => row).join('\n')}

${entries.map(({ section }) => section).join('\n\n')}
`;
  await expect(await format(page, { ...(await resolveConfig(path)), filepath: path })).toMatchFileSnapshot(path);
});
