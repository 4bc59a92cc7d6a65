import { type AttributeRecord, type Emitter, float, inferNode, Node, operators, type Value } from '@adakit/onnx';
import { apply, type Case } from './case.js';

const wide = (x: number) => 3 * x;

/** Emits an operator of ONNX Runtime's own domain. */
const microsoft =
  (op: string, attributes: AttributeRecord = {}): Case['build'] =>
  (e: Emitter, ...inputs: Value[]) => {
    const output = e.graph.addValue(op);
    const node = new Node({ name: op, op, domain: 'com.microsoft', inputs, outputs: [output] });
    for (const [name, value] of Object.entries(attributes)) if (value !== undefined) node.attributes.set(name, value);
    e.graph.addNode(node);
    inferNode(e.graph, node, operators);
    return output;
  };

export const activationCases: readonly Case[] = [
  { name: 'PRelu', dims: [[2, 3, 4], [4]], build: apply('PRelu'), native: 18 },
  {
    name: 'PRelu with a slope for each channel',
    dims: [
      [2, 3, 4],
      [3, 1],
    ],
    build: apply('PRelu'),
    native: 18,
  },
  { name: 'Mish', dims: [[2, 3]], build: apply('Mish'), domain: wide, native: 18 },
  {
    name: 'Swish',
    dims: [[2, 3]],
    build: apply('Swish', { alpha: float(1.5) }),
    domain: wide,
    native: 24,
    single: true,
  },
  { name: 'Gelu', dims: [[2, 3]], build: apply('Gelu'), domain: wide, native: 20, single: true },
  {
    name: 'Gelu, tanh form',
    dims: [[2, 3]],
    build: apply('Gelu', { approximate: 'tanh' }),
    domain: wide,
    native: 20,
  },
  {
    name: "Gelu of ONNX Runtime's own",
    dims: [[2, 3]],
    build: microsoft('Gelu'),
    domain: wide,
    native: 18,
    single: true,
  },
  { name: 'BiasGelu', dims: [[2, 3], [3]], build: microsoft('BiasGelu'), native: 18, single: true },
  { name: 'FastGelu', dims: [[2, 3]], build: microsoft('FastGelu'), domain: wide, native: 18 },
  { name: 'FastGelu with a bias', dims: [[2, 3], [3]], build: microsoft('FastGelu'), native: 18 },
  { name: 'QuickGelu', dims: [[2, 3]], build: microsoft('QuickGelu'), domain: wide, native: 18, single: true },
];
