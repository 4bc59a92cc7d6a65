import { create } from '@bufbuild/protobuf';
import {
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  type AttributeProto,
  type FunctionProto,
  type GraphProto,
  type ModelProto,
  type NodeProto,
} from 'onnx-buf';
import type { Budget } from '../budget.js';
import { OnnxError } from '../error.js';

/**
 * A model whose nodes call none of its own functions: their bodies stand where they were called, inner values being
 * named after the call. The model itself when it has no functions.
 *
 * @param budget functions that call functions can grow exponentially
 * @throws {OnnxError} `too-large`, and `invalid-model` for functions that call themselves, and for one of another opset than the model
 */
export function inlineFunctions(proto: ModelProto, source: string, budget: Budget): ModelProto {
  const { graph, functions } = proto;
  if (graph === undefined || functions.length === 0) return proto;
  const opsets = new Map(proto.opsetImport.map((entry) => [normalDomain(entry.domain), entry]));
  const byKey = new Map(functions.map((body) => [functionKey(body.domain, body.name, body.overload), body]));
  for (const { name, opsetImport } of functions) {
    for (const entry of opsetImport) {
      const domain = normalDomain(entry.domain);
      const known = opsets.get(domain);
      if (known === undefined) opsets.set(domain, entry);
      else if (known.version !== entry.version) {
        throw new OnnxError(
          'invalid-model',
          `${source}: the function '${name}' is written for opset ${entry.version} of '${domain || 'ai.onnx'}', the model ` +
            `for ${known.version}; export the model with one opset`,
        );
      }
    }
  }
  const inlined = new Inliner(byKey, graph, source, budget).expand(graph);
  return Object.assign(create(ModelProtoSchema), proto, { graph: inlined, opsetImport: [...opsets.values()] });
}

function normalDomain(domain: string): string {
  return domain === 'ai.onnx' ? '' : domain;
}

function functionKey(domain: string, name: string, overload: string): string {
  return JSON.stringify([normalDomain(domain), name, overload]);
}

/** What the names and attributes of a function's body stand for at one call. */
interface Call {
  readonly names: Map<string, string>;
  readonly prefix: string;
  readonly attributes: ReadonlyMap<string, AttributeProto>;
}

class Inliner {
  readonly #functions: ReadonlyMap<string, FunctionProto>;
  readonly #source: string;
  readonly #names = new Set<string>();
  readonly #budget: Budget;
  /** The number last put behind a name. */
  readonly #counts = new Map<string, number>();
  #calls = 0;

  constructor(functions: ReadonlyMap<string, FunctionProto>, graph: GraphProto, source: string, budget: Budget) {
    this.#functions = functions;
    this.#source = source;
    this.#budget = budget;
    for (const { name } of [...graph.input, ...graph.initializer]) this.#names.add(name);
    for (const { output } of graph.node) for (const name of output) this.#names.add(name);
  }

  expand(graph: GraphProto): GraphProto {
    return Object.assign(create(GraphProtoSchema), graph, { node: this.#expandNodes(graph.node, undefined, []) });
  }

  #expandNodes(nodes: readonly NodeProto[], call: Call | undefined, stack: readonly FunctionProto[]): NodeProto[] {
    return nodes.flatMap((original) => {
      const node = call === undefined ? original : this.#instantiate(original, call);
      const body = this.#functions.get(functionKey(node.domain, node.opType, node.overload));
      // Calls count, too: a body may be empty.
      this.#budget.addNode(node.name, () => `${this.#source}: ${node.opType} node '${node.name}'`);
      if (body !== undefined) return this.#inline(node, body, stack);
      return this.#withBodies(node, (graph) =>
        Object.assign(create(GraphProtoSchema), graph, { node: this.#expandNodes(graph.node, undefined, stack) }),
      );
    });
  }

  #inline(node: NodeProto, body: FunctionProto, stack: readonly FunctionProto[]): NodeProto[] {
    const fail = (what: string) =>
      new OnnxError('invalid-model', `${this.#source}: ${node.opType} node '${node.name}' ${what}`);
    if (stack.includes(body)) throw fail('calls a function that calls itself');
    this.#budget.requireDepth(stack.length + 1, () => `${this.#source}: ${node.opType} node '${node.name}'`);
    if (node.input.length > body.input.length || node.output.length > body.output.length) {
      throw fail(`has more inputs or outputs than the function '${body.name}' it calls`);
    }
    const prefix = `${node.name === '' ? `${node.opType}_${this.#calls}` : node.name}/`;
    this.#calls++;
    const names = new Map([['', '']]);
    body.input.forEach((name, i) => names.set(name, node.input[i] ?? ''));
    body.output.forEach((name, i) => {
      const given = node.output[i] ?? '';
      // An input that is passed on as an output keeps its own name.
      if (given !== '' && !body.input.includes(name)) names.set(name, given);
    });
    const attributes = new Map(
      [...body.attributeProto, ...node.attribute].map((attribute) => [attribute.name, attribute]),
    );
    const nodes = this.#expandNodes(body.node, { names, prefix, attributes }, [...stack, body]);
    const passed = body.output.flatMap((name, i) => {
      const given = node.output[i] ?? '';
      if (given === '' || !body.input.includes(name)) return [];
      const input = [names.get(name) ?? ''];
      return create(NodeProtoSchema, { name: `${prefix}${given}`, opType: 'Identity', input, output: [given] });
    });
    return [...nodes, ...passed];
  }

  /** A node of a function's body as it is at one call. */
  #instantiate(node: NodeProto, call: Call): NodeProto {
    const rename = (name: string) => this.#rename(name, call);
    const attribute = node.attribute.flatMap((each) => {
      if (each.refAttrName === '') return each;
      const given = call.attributes.get(each.refAttrName);
      return given === undefined
        ? []
        : Object.assign(create(AttributeProtoSchema), given, { name: each.name, refAttrName: '' });
    });
    const renamed = Object.assign(create(NodeProtoSchema), node, {
      name: node.name === '' ? '' : `${call.prefix}${node.name}`,
      input: node.input.map(rename),
      output: node.output.map(rename),
      attribute,
    });
    return this.#withBodies(renamed, (graph) => this.#instantiateGraph(graph, call));
  }

  #instantiateGraph(graph: GraphProto, call: Call): GraphProto {
    const renamed = <T extends { name: string }>(things: readonly T[]): T[] =>
      things.map((thing) => {
        const copy = Object.create(Object.getPrototypeOf(thing) as object) as T;
        return Object.assign(copy, thing, { name: this.#rename(thing.name, call) });
      });
    return Object.assign(create(GraphProtoSchema), graph, {
      input: renamed(graph.input),
      output: renamed(graph.output),
      initializer: renamed(graph.initializer),
      valueInfo: renamed(graph.valueInfo),
      node: graph.node.map((node) => this.#instantiate(node, call)),
    });
  }

  #rename(name: string, { names, prefix }: Call): string {
    let given = names.get(name);
    if (given === undefined) {
      const wanted = `${prefix}${name}`;
      this.#budget.addName(wanted, () => `${this.#source}: '${wanted}'`);
      given = wanted;
      while (this.#names.has(given)) {
        const count = (this.#counts.get(wanted) ?? 0) + 1;
        this.#counts.set(wanted, count);
        given = `${wanted}_${count}`;
      }
      this.#names.add(given);
      names.set(name, given);
    }
    return given;
  }

  /** A node with its subgraphs mapped; the node itself when it has none. */
  #withBodies(node: NodeProto, map: (graph: GraphProto) => GraphProto): NodeProto {
    if (!node.attribute.some(({ g, graphs }) => g !== undefined || graphs.length > 0)) return node;
    const attribute = node.attribute.map((each) =>
      Object.assign(create(AttributeProtoSchema), each, {
        ...(each.g === undefined ? {} : { g: map(each.g) }),
        graphs: each.graphs.map(map),
      }),
    );
    return Object.assign(create(NodeProtoSchema), node, { attribute });
  }
}
