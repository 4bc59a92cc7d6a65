import { create } from '@bufbuild/protobuf';
import { AttributeProto_AttributeType as Type, AttributeProtoSchema, type AttributeProto } from 'onnx-buf';
import { OnnxError } from '../error.js';
import { Tensor } from '../model/tensor.js';

/** Numbers meant as a FLOAT or FLOATS attribute; bare numbers are an INT or INTS. */
export interface FloatAttribute {
  readonly float: number | readonly number[];
}

/** What an attribute can be given as: INT, INTS, FLOAT, FLOATS, STRING, STRINGS, TENSOR, or a protobuf message passed on as it is. */
export type AttributeValue =
  number | readonly number[] | FloatAttribute | string | readonly string[] | Tensor | AttributeProto;

/** Marks a number as a FLOAT attribute, or several as FLOATS. */
export function float(value: number | readonly number[]): FloatAttribute {
  return { float: value };
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Builds the protobuf message of an attribute. */
export function attribute(name: string, value: AttributeValue): AttributeProto {
  if (typeof value === 'number') return create(AttributeProtoSchema, { name, type: Type.INT, i: BigInt(value) });
  if (typeof value === 'string') {
    return create(AttributeProtoSchema, { name, type: Type.STRING, s: encoder.encode(value) });
  }
  if (value instanceof Tensor) {
    return create(AttributeProtoSchema, { name, type: Type.TENSOR, t: value.toProto('') });
  }
  if (isStrings(value)) {
    return create(AttributeProtoSchema, {
      name,
      type: Type.STRINGS,
      strings: value.map((text) => encoder.encode(text)),
    });
  }
  if (isInts(value)) return create(AttributeProtoSchema, { name, type: Type.INTS, ints: value.map(BigInt) });
  if ('float' in value) {
    const { float: given } = value;
    return typeof given === 'number'
      ? create(AttributeProtoSchema, { name, type: Type.FLOAT, f: given })
      : create(AttributeProtoSchema, { name, type: Type.FLOATS, floats: [...given] });
  }
  return Object.assign(create(AttributeProtoSchema), value, { name });
}

function isInts(value: object): value is readonly number[] {
  return Array.isArray(value);
}

function isStrings(value: object): value is readonly string[] {
  return Array.isArray(value) && value.length > 0 && typeof value[0] === 'string';
}

/**
 * The attributes of a node, by name. Reading one of another type than stored is an error that names the node. INTs
 * come as numbers; the one value in use beyond 2^53, INT64_MAX for "to the end", loses nothing that matters.
 */
export class Attributes {
  readonly #byName = new Map<string, AttributeProto>();
  readonly #owner: () => string;

  constructor(owner: () => string, attributes: Iterable<AttributeProto> = []) {
    this.#owner = owner;
    for (const proto of attributes) this.#byName.set(proto.name, proto);
  }

  has(name: string): boolean {
    return this.#byName.has(name);
  }

  set(name: string, value: AttributeValue): void {
    this.#byName.set(name, attribute(name, value));
  }

  delete(name: string): void {
    this.#byName.delete(name);
  }

  names(): Iterable<string> {
    return this.#byName.keys();
  }

  protos(): AttributeProto[] {
    return [...this.#byName.values()];
  }

  int(name: string): number | undefined;
  int(name: string, fallback: number): number;
  int(name: string, fallback?: number): number | undefined {
    const proto = this.#get(name, Type.INT);
    return proto === undefined ? fallback : Number(proto.i);
  }

  ints(name: string): number[] | undefined;
  ints(name: string, fallback: readonly number[]): number[];
  ints(name: string, fallback?: readonly number[]): readonly number[] | undefined {
    const proto = this.#get(name, Type.INTS);
    return proto === undefined ? fallback : proto.ints.map(Number);
  }

  float(name: string): number | undefined;
  float(name: string, fallback: number): number;
  float(name: string, fallback?: number): number | undefined {
    const proto = this.#get(name, Type.FLOAT);
    return proto === undefined ? fallback : proto.f;
  }

  floats(name: string): number[] | undefined {
    return this.#get(name, Type.FLOATS)?.floats;
  }

  string(name: string): string | undefined;
  string(name: string, fallback: string): string;
  string(name: string, fallback?: string): string | undefined {
    const proto = this.#get(name, Type.STRING);
    return proto === undefined ? fallback : decoder.decode(proto.s);
  }

  strings(name: string): string[] | undefined {
    return this.#get(name, Type.STRINGS)?.strings.map((text) => decoder.decode(text));
  }

  tensor(name: string): Tensor | undefined {
    const proto = this.#get(name, Type.TENSOR)?.t;
    return proto === undefined ? undefined : Tensor.fromProto(proto);
  }

  #get(name: string, type: Type): AttributeProto | undefined {
    const proto = this.#byName.get(name);
    if (proto !== undefined && proto.type !== type) {
      throw new OnnxError(
        'invalid-node',
        `${this.#owner()}: attribute '${name}' is ${Type[proto.type]} where ${Type[type]} is expected`,
      );
    }
    return proto;
  }
}
