import type { AttributeProto, NodeProto } from 'onnx-buf';
import type { OnnxError } from '../error.js';
import { Attributes } from './attribute.js';
import type { Graph } from './graph.js';
import type { Value } from './value.js';

const NOTHING: readonly Value[] = [];

/** What is wrong with a node, or with the first one of those before it that make it so. */
export interface Obstacle {
  readonly error: OnnxError;
  /** Whether ONNX Runtime may be given the node as the file has it. */
  readonly runs: boolean;
}

/** One operator application. Optional inputs and outputs that are left out are undefined. */
export class Node {
  name: string;
  readonly op: string;
  /** '' is the default domain. */
  readonly domain: string;
  readonly inputs: (Value | undefined)[];
  readonly outputs: (Value | undefined)[];
  readonly attributes: Attributes;
  /** The subgraphs of If, Loop and Scan, by the names of their attributes. */
  readonly bodies: Map<string, Graph>;
  /**
   * Why nothing is known of what the node computes, beyond what the file says of its outputs. It stays as the file has it; no
   * gradient passes.
   */
  obstacle: Obstacle | undefined;
  /** The message it was read from, for its documentation and metadata. */
  readonly source: NodeProto | undefined;

  constructor(options: {
    name: string;
    op: string;
    domain?: string;
    inputs: readonly (Value | undefined)[];
    outputs: readonly (Value | undefined)[];
    attributes?: Iterable<AttributeProto>;
    bodies?: ReadonlyMap<string, Graph>;
    obstacle?: Obstacle | undefined;
    source?: NodeProto;
  }) {
    this.name = options.name;
    this.op = options.op;
    this.domain = options.domain ?? '';
    this.inputs = [...options.inputs];
    this.outputs = [...options.outputs];
    this.attributes = new Attributes(() => this.label, options.attributes);
    this.bodies = new Map(options.bodies);
    this.obstacle = options.obstacle;
    this.source = options.source;
    for (const output of this.outputs) if (output !== undefined) output.producer = this;
  }

  /** Values of the graph of this node, or of one around it, that its bodies use. */
  get captures(): readonly Value[] {
    if (this.bodies.size === 0) return NOTHING;
    const captures = new Set<Value>();
    for (const body of this.bodies.values()) {
      const use = (value: Value | undefined) => {
        if (value !== undefined && !body.owns(value)) captures.add(value);
      };
      body.outputs.forEach(use);
      for (const { inputs, captures: inner } of body.nodes) {
        inputs.forEach(use);
        inner.forEach(use);
      }
    }
    return [...captures];
  }

  /** What it needs before it runs: its inputs, then what its bodies use besides. */
  get reads(): readonly (Value | undefined)[] {
    return this.bodies.size === 0 ? this.inputs : [...this.inputs, ...this.captures];
  }

  /** The operator with its domain, the key of operator tables: `Conv`, `com.microsoft::FusedConv`. */
  get key(): string {
    return this.domain === '' ? this.op : `${this.domain}::${this.op}`;
  }

  /** How messages refer to it. */
  get label(): string {
    return `${this.key} node '${this.name}'`;
  }
}
