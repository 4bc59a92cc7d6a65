import type { AttributeProto, NodeProto } from 'onnx-buf';
import { Attributes } from './attribute.js';
import type { Value } from './value.js';

/** One operator application. Optional inputs and outputs that are left out are undefined. */
export class Node {
  name: string;
  readonly op: string;
  /** '' is the default domain. */
  readonly domain: string;
  readonly inputs: (Value | undefined)[];
  readonly outputs: (Value | undefined)[];
  readonly attributes: Attributes;
  /** Values of this graph that subgraphs in the attributes (bodies of If, Loop, Scan) use by name. */
  readonly captures: readonly Value[];
  /** The message it was read from, for its documentation and metadata. */
  readonly source: NodeProto | undefined;

  constructor(options: {
    name: string;
    op: string;
    domain?: string;
    inputs: readonly (Value | undefined)[];
    outputs: readonly (Value | undefined)[];
    attributes?: Iterable<AttributeProto>;
    captures?: readonly Value[];
    source?: NodeProto;
  }) {
    this.name = options.name;
    this.op = options.op;
    this.domain = options.domain ?? '';
    this.inputs = [...options.inputs];
    this.outputs = [...options.outputs];
    this.attributes = new Attributes(() => this.label, options.attributes);
    this.captures = options.captures ?? [];
    this.source = options.source;
    for (const output of this.outputs) if (output !== undefined) output.producer = this;
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
