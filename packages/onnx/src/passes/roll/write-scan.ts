import type { OperatorTable } from '../../entry/operator.js';
import { addBodyOutput, scan, type Direction } from '../../entry/body.js';
import { stack } from '../../entry/stack.js';
import type { Emitter } from '../../graph/emitter.js';
import type { Graph } from '../../graph/graph.js';
import { Node } from '../../graph/node.js';
import type { Value } from '../../graph/value.js';
import { emitterOf } from '../../inference/emitter-of.js';
import { resultsOf, type Results } from './results.js';
import type { Recurrence, Row, Source } from './recurrence.js';

/** An input of the body, and what the Scan node gets for it. */
interface Input extends Direction {
  readonly inner: Value;
  readonly outer: Value;
}

interface State extends Pick<Input, 'inner' | 'outer'> {
  readonly row: Row<Node>;
  readonly output: number;
}

/** Puts a Scan in the place of the copies of a recurrence. */
export function writeScan(graph: Graph, recurrence: Recurrence, operators: OperatorTable): void {
  const e = emitterOf(graph, operators);
  const { rows } = recurrence;
  e.named(rows[0][0].name, () => {
    const body = bodyOf(e, recurrence);
    const { inner, states, scanned, valueOf } = body;
    const results = rows.flatMap((row) =>
      row[0].outputs.flatMap((value, output) =>
        value === undefined ? [] : [resultsOf(graph, recurrence, row, output)],
      ),
    );
    for (const { row, output } of states) addBodyOutput(inner.graph, valueOf(row, output));
    const stacks: (Direction & { use: (stacked: Value) => void })[] = [];
    const finals: ((states: readonly Value[]) => void)[] = [];
    for (const result of results) {
      const value = valueOf(result.row, result.output);
      for (const { axis, turned, hasAxis, join } of result.joined) {
        addBodyOutput(inner.graph, hasAxis ? inner.squeeze(value, [axis]) : value);
        stacks.push({ axis, turned, use: join });
      }
      const last = states.findIndex(({ row, output }) => row === result.row && output === result.output);
      if (result.used.length === 0) continue;
      if (last >= 0 && result.used.every((t) => t === recurrence.count - 1)) {
        finals.push((values) => {
          replace(graph, result.values[recurrence.count - 1], values[last]);
        });
        continue;
      }
      addBodyOutput(inner.graph, value);
      stacks.push({
        axis: 0,
        turned: false,
        use: (stacked) => {
          for (const [t, slice] of slicesAt(e, stacked, result)) replace(graph, result.values[t], slice);
        },
      });
    }
    const first = states.map(({ outer }) => outer);
    const outputs = scan(e, inner.graph, first, scanned, stacks);
    for (const use of finals) use(outputs);
    stacks.forEach(({ use }, k) => {
      use(outputs[states.length + k]);
    });
  });
  graph.removeDead(graph.initializers);
  graph.sort();
}

/** The first copy as a body, with inputs for what differs between copies. */
function bodyOf(e: Emitter, recurrence: Recurrence) {
  const inner = e.inside('step');
  const { graph } = inner;
  const [states, scanned, computed] = [
    new Map<string, State>(),
    new Map<string, Input & { value: Value }>(),
    new Map<Value, Value>(),
  ];
  const serials = new Map<unknown, number>();
  const serialOf = (each: unknown) => {
    if (!serials.has(each)) serials.set(each, serials.size);
    return serials.get(each);
  };
  const once = <T>(known: Map<string, T>, key: readonly unknown[], make: () => T): T => {
    const text = key.map(serialOf).join();
    let made = known.get(text);
    if (made === undefined) known.set(text, (made = make()));
    return made;
  };
  const input = (like: Pick<Value, 'name' | 'dtype' | 'shape'>) =>
    graph.addInput(graph.uniqueName(`${graph.name}/${like.name}`), { dtype: like.dtype, shape: like.shape });
  const valueOf = (row: Row<Node>, output: number): Value => {
    const value = row[0].outputs[output];
    const copy = value && computed.get(value);
    if (copy === undefined) throw new Error(`${row[0].label} has no output ${output} in the body`);
    return copy;
  };
  const read = (source: Source): Value => {
    switch (source.kind) {
      case 'same':
        return source.value;
      case 'body':
        return valueOf(source.row, source.output);
      case 'state': {
        const { row, output, start } = source;
        return once(states, [row[0], output, start], () => ({ inner: input(start), outer: start, row, output })).inner;
      }
      case 'slices': {
        const { whole, axis, start, turned, keepsAxis } = source.slices;
        return once(scanned, [whole, axis, start, turned, keepsAxis], () => {
          const { dtype, shape } = whole;
          const slice = input({ name: whole.name, dtype, shape: shape?.toSpliced(axis, 1) });
          const isWhole = shape?.[axis] === recurrence.count;
          const ends = [start + recurrence.count];
          const outer = isWhole ? whole : e.slice(whole, { starts: [start], ends, axes: [axis] });
          return { inner: slice, outer, axis, turned, value: keepsAxis ? inner.unsqueeze(slice, [axis]) : slice };
        }).value;
      }
      case 'apart': {
        const { values } = source;
        return once(scanned, values, () => {
          const inside = input(values[0]);
          return { inner: inside, outer: stack(e, values, 0), axis: 0, turned: false, value: inside };
        }).value;
      }
    }
  };
  for (const row of recurrence.rows) {
    const [{ name, op, domain, outputs, attributes }] = row;
    const inputs = recurrence
      .inputsOf(row)
      .map((values) => (values === undefined ? undefined : read(recurrence.sourceOf(values))));
    const copies = outputs.map((output) => {
      if (output === undefined) return undefined;
      const { dtype, shape } = output;
      const copy = graph.addValue(graph.uniqueName(`${graph.name}/${output.name}`), { dtype, shape });
      computed.set(output, copy);
      return copy;
    });
    graph.addNode(
      new Node({ name: `${graph.name}/${name}`, op, domain, inputs, outputs: copies, attributes: attributes.protos() }),
    );
  }
  const inputs: Input[] = [...scanned.values()];
  if (inputs.length === 0) {
    // What is scanned says how many steps there are.
    const steps = e.int64(Array.from({ length: recurrence.count }, (_, t) => t));
    inputs.push({ inner: input({ name: 'step', dtype: 'int64', shape: [] }), outer: steps, axis: 0, turned: false });
  }
  const all = [...states.values(), ...inputs].map((each) => each.inner);
  graph.inputs.splice(0, graph.inputs.length, ...all);
  return { inner, states: [...states.values()], scanned: inputs, valueOf };
}

/** The values of the copies that something else needs. */
function slicesAt(e: Emitter, stacked: Value, { used }: Results): readonly (readonly [copy: number, value: Value])[] {
  if (used.length === 1) return [[used[0], e.gather(stacked, e.scalar(used[0], 'int64'))]];
  const length = Number(stacked.shape?.[0]);
  const parts = e.nodes('Split', [stacked], { axis: 0, num_outputs: length }, length);
  return used.map((t) => [t, e.squeeze(parts[t], [0])]);
}

/** Uses a value in the place of another one, which keeps its name where it is an output of the graph. */
function replace(graph: Graph, old: Value, value: Value): void {
  const isOutput = graph.outputs.includes(old);
  if (isOutput) {
    const { producer } = old;
    if (producer !== undefined) producer.outputs[producer.outputs.indexOf(old)] = undefined;
    graph.addNode(new Node({ name: `${old.name}/output`, op: 'Identity', inputs: [value], outputs: [old] }));
  } else graph.replaceUses(old, value);
}
