import { kinds, type OptionKind } from '@adakit/core/states';
import { requireList } from '../file/given.js';
import { AdakitError, elementCount, sameShape } from '@adakit/core';
import { rearrangements, type Conventions, type ImageChannels, type Rearrangement } from './layer-layouts.js';
import {
  conventionOf,
  describe,
  matrixAxes,
  parseName,
  statisticOf,
  type Convention,
  type ParameterDescription,
} from './parameter-description.js';
import { REARRANGEMENT, type ParameterMapping } from './parameter-mapping.js';
import { extractRecurrent, recurrentMappings } from './recurrent-layouts.js';

/** What shapes and names leave open about one parameter; anything left out is derived. */
export interface MappingHint extends Rearrangement {
  readonly from: string;
  readonly to?: string;
  /** Channels of the image that a dense layer's inputs were flattened from; 1 if they are no image. */
  readonly inputChannels?: number;
  /** Channels of the image that a dense layer's outputs are shaped into; 1 if they are none. For its bias, too. */
  readonly outputChannels?: number;
}

/** A {@link MappingHint}, as it may be. */
const HINT: Readonly<Record<keyof MappingHint, OptionKind>> = {
  ...REARRANGEMENT,
  from: kinds.text,
  to: kinds.text,
  inputChannels: kinds.count(1),
  outputChannels: kinds.count(1),
};

type Aligned = { readonly mappings: readonly ParameterMapping[] } | { readonly problems: readonly string[] };
type Pair = readonly [ParameterDescription, ParameterDescription];

/**
 * Derives how the parameters of one model correspond to those of the same model in another framework: dense,
 * convolution, depthwise, transposed-convolution, normalization, embedding, LSTM and GRU layers of TensorFlow.js and of
 * ONNX or PyTorch, either way. Parameters are paired by name, what is left by its order in both lists, or by shape where only one
 * pairing is possible. A dense layer whose inputs are a multiple of the channels of the convolution before it is taken to
 * follow a flattened image.
 *
 * @param from in the order of the layers, as models list them
 * @param hints decide what is ambiguous
 * @throws AdakitError `ambiguous-mapping` naming every parameter that is open and the hint that would settle it,
 * `state-mismatch` for recurrent layers that differ
 */
export function deriveMappings(
  from: readonly ParameterDescription[],
  to: readonly ParameterDescription[],
  hints: readonly MappingHint[] = [],
): ParameterMapping[] {
  for (const list of [from, to])
    requireList('ambiguous-mapping', 'descriptions of parameters', list, ['name', 'shape']);
  requireList('ambiguous-mapping', 'hints', hints, ['from'], HINT);
  requireNamed(from, to, hints);
  const [parametersFrom, parametersTo] = [from, to].map((list) => list.filter((each) => !statisticOf(each)));
  const [statisticsFrom, statisticsTo] = [from, to].map((list) => list.filter((each) => statisticOf(each)));
  const recurrentFrom = extractRecurrent(parametersFrom, extractRecurrent(parametersTo, false).layers.length > 0);
  const recurrentTo = extractRecurrent(parametersTo, recurrentFrom.layers.length > 0);
  const [layersFrom, layersTo] = [recurrentFrom.layers, recurrentTo.layers];
  if (layersFrom.length !== layersTo.length) {
    throw ambiguous([
      `there are ${layersFrom.length} recurrent layers (each direction counts) on one side and ${layersTo.length} on the other`,
    ]);
  }
  const recurrent = layersFrom.flatMap((layer, i) => recurrentMappings(layer, layersTo[i]));

  const results = possibleConventions(from, to).map((conventions) => {
    const context = new Alignment(conventions, conventions.from === 'channels-last' ? from : to, hints);
    const parameters = context.align(recurrentFrom.rest, recurrentTo.rest);
    return 'problems' in parameters
      ? parameters
      : context.alignStatistics(parameters.mappings, statisticsFrom, statisticsTo);
  });
  const derived = results.flatMap((result) => ('mappings' in result ? [result.mappings] : []));
  const distinct = new Set(derived.map((mappings) => JSON.stringify(mappings.map(movesOf))));
  if (distinct.size === 1) {
    const order = new Map(from.map(({ name }, i) => [name, i]));
    const position = (mapping: ParameterMapping): number => order.get(mapping.from) ?? 0;
    return [...recurrent, ...derived[0]].toSorted((a, b) => position(a) - position(b));
  }
  const [first] = results;
  if (distinct.size === 0 && 'problems' in first) throw ambiguous(first.problems);
  throw ambiguous(conventionProblems(derived));
}

/** A mapping without the axis of outputs, which follows from the rest of the names and not the other way round. */
function movesOf(mapping: ParameterMapping): ParameterMapping {
  return Object.fromEntries(Object.entries(mapping).filter(([key]) => key !== 'units')) as unknown as ParameterMapping;
}

/** Which mappings depend on what neither names nor shapes say: whose channels are last. */
function conventionProblems(derived: readonly (readonly ParameterMapping[])[]): string[] {
  return derived[0].flatMap(({ from }) => {
    const options = derived.flatMap((mappings) => mappings.filter((mapping) => mapping.from === from));
    const distinct = [...new Set(options.map((mapping) => JSON.stringify(movesOf(mapping))))];
    return distinct.length === 1
      ? []
      : `whose channels are last is not clear for "${from}": hint ${distinct.join(' or ')}`;
  });
}

/** All that the names allow; the first is the likeliest. */
function possibleConventions(
  from: readonly ParameterDescription[],
  to: readonly ParameterDescription[],
): readonly Conventions[] {
  const [a, b] = [conventionOf(from), conventionOf(to)];
  const fits = (wanted: Convention, known: Convention | undefined): boolean => known === undefined || known === wanted;
  const all: Conventions[] = [
    { from: 'channels-last', to: 'channels-first' },
    { from: 'channels-first', to: 'channels-last' },
    { from: 'channels-first', to: 'channels-first' },
    { from: 'channels-last', to: 'channels-last' },
  ];
  return all.filter((conventions) => fits(conventions.from, a) && fits(conventions.to, b));
}

/** What is in none of the pairs. */
function unpaired(
  pairs: readonly Pair[],
  from: readonly ParameterDescription[],
  to: readonly ParameterDescription[],
): readonly [ParameterDescription[], ParameterDescription[]] {
  return [
    from.filter((parameter) => !pairs.some(([a]) => a === parameter)),
    to.filter((parameter) => !pairs.some(([, b]) => b === parameter)),
  ];
}

/** Pairs two lists under given conventions. */
class Alignment {
  readonly #conventions: Conventions;
  readonly #hints: ReadonlyMap<string, MappingHint>;
  readonly #channels: ReadonlyMap<string, ImageChannels>;

  /** @param channelsLast the list, if any, whose dense layers see images with their channels last */
  constructor(conventions: Conventions, channelsLast: readonly ParameterDescription[], hints: readonly MappingHint[]) {
    this.#conventions = conventions;
    this.#hints = new Map(hints.map((hint) => [hint.from, hint]));
    this.#channels = conventions.from === conventions.to ? new Map() : imageChannels(channelsLast);
  }

  align(from: readonly ParameterDescription[], to: readonly ParameterDescription[]): Aligned {
    const fixed: Pair[] = [...this.#hints.values()].flatMap((hint) => {
      const pair = [from.find(({ name }) => name === hint.from), to.find(({ name }) => name === hint.to)] as const;
      return pair[0] && pair[1] ? [[pair[0], pair[1]]] : [];
    });
    const [freeFrom, freeTo] = unpaired(fixed, from, to);
    const named = this.#byName(freeFrom, freeTo);
    if (named !== undefined) return this.#rearrange([...fixed, ...named]);
    const known = [...fixed, ...this.#ofOneName(freeFrom, freeTo)];
    const [restFrom, restTo] = unpaired(known, from, to);
    const paired = this.#inOrder(restFrom, restTo) ?? this.#byShape(restFrom, restTo);
    if ('problems' in paired) return paired;
    return this.#rearrange([...known, ...paired]);
  }

  /** What is called the same on both sides, as all but a tied parameter is between PyTorch and its exporter. */
  #ofOneName(from: readonly ParameterDescription[], to: readonly ParameterDescription[]): Pair[] {
    const targets = new Map(to.map((parameter) => [parameter.name, parameter]));
    return from.flatMap((parameter): Pair[] => {
      const target = targets.get(parameter.name);
      return target && this.#fits([parameter, target]) ? [[parameter, target]] : [];
    });
  }

  /**
   * Pairs means with means and variances with variances. Where one side has none of a kind, as a model that was exported
   * without them or a framework that does not count batches, the other side's stay as they are.
   *
   * @param parameters the mappings of the parameters beside which they are
   */
  alignStatistics(
    parameters: readonly ParameterMapping[],
    from: readonly ParameterDescription[],
    to: readonly ParameterDescription[],
  ): Aligned {
    const mappings = [...parameters];
    const problems: string[] = [];
    const layers = new Map(parameters.map((mapping) => [layerOf(mapping.from), layerOf(mapping.to)]));
    for (const kind of ['mean', 'variance', 'other'] as const) {
      const ofKind = (list: readonly ParameterDescription[]): ParameterDescription[] =>
        list.filter((each) => statisticOf(each) === kind);
      const [left, right] = [ofKind(from), ofKind(to)];
      if (left.length === 0 || right.length === 0) continue;
      const beside = left.flatMap((a): Pair[] => {
        const b = right.find(({ name }) => layerOf(name) !== '' && layerOf(name) === layers.get(layerOf(a.name)));
        return b && this.#fits([a, b]) ? [[a, b]] : [];
      });
      const aligned =
        beside.length === left.length && beside.length === right.length
          ? this.#rearrange(beside)
          : this.align(left, right);
      // Counts and the like say too little of themselves to be asked about.
      if ('problems' in aligned) problems.push(...(kind === 'other' ? [] : aligned.problems));
      else mappings.push(...aligned.mappings);
    }
    return problems.length > 0 ? { problems } : { mappings };
  }

  #fits([a, b]: Pair): boolean {
    return this.#options(a, b).length > 0;
  }

  /** `conv1/kernel` and `conv1.weight`: the same prefixes and roles all through. */
  #byName(from: readonly ParameterDescription[], to: readonly ParameterDescription[]): Pair[] | undefined {
    const key = ({ name }: ParameterDescription): string | undefined => {
      const { prefix, known } = parseName(name);
      return prefix === '' || known === undefined
        ? undefined
        : `${prefix.replaceAll('/', '.')} ${known.role === 'scale' ? 'weight' : known.role}`;
    };
    const targets = new Map(to.map((parameter) => [key(parameter), parameter]));
    const pairs = from.flatMap((parameter): Pair[] => {
      const name = key(parameter);
      const target = name === undefined ? undefined : targets.get(name);
      return target ? [[parameter, target]] : [];
    });
    const complete = pairs.length === from.length && targets.size === to.length && from.length === to.length;
    return complete && pairs.every((pair) => this.#fits(pair)) ? pairs : undefined;
  }

  #inOrder(from: readonly ParameterDescription[], to: readonly ParameterDescription[]): Pair[] | undefined {
    if (from.length !== to.length) return undefined;
    const pairs = from.map((parameter, i): Pair => [parameter, to[i]]);
    return pairs.every((pair) => this.#fits(pair)) ? pairs : undefined;
  }

  /** Pairs what can be paired in one way only, again and again. */
  #byShape(
    from: readonly ParameterDescription[],
    to: readonly ParameterDescription[],
  ): Pair[] | { readonly problems: readonly string[] } {
    const pairs: Pair[] = [];
    const [freeFrom, freeTo] = [new Set(from), new Set(to)];
    const partners = (a: ParameterDescription): ParameterDescription[] => [...freeTo].filter((b) => this.#fits([a, b]));
    const suitors = (b: ParameterDescription): ParameterDescription[] =>
      [...freeFrom].filter((a) => this.#fits([a, b]));
    const onlyPartner = (): Pair[] =>
      [...freeFrom].flatMap((a): Pair[] => (partners(a).length === 1 ? [[a, partners(a)[0]]] : []));
    const onlySuitor = (): Pair[] =>
      [...freeTo].flatMap((b): Pair[] => (suitors(b).length === 1 ? [[suitors(b)[0], b]] : []));
    for (let next = onlyPartner().concat(onlySuitor()); next.length > 0; next = onlyPartner().concat(onlySuitor())) {
      const [[a, b]] = next;
      pairs.push([a, b]);
      freeFrom.delete(a);
      freeTo.delete(b);
    }
    const problems = [
      ...[...freeFrom].map((a) => openProblem(a, partners(a))),
      ...[...freeTo].filter((b) => suitors(b).length === 0).map((b) => `nothing becomes ${describe(b)}`),
    ];
    return problems.length > 0 ? { problems } : pairs;
  }

  #rearrange(pairs: readonly Pair[]): Aligned {
    const mappings: ParameterMapping[] = [];
    const problems: string[] = [];
    for (const [a, b] of pairs) {
      const options = this.#options(a, b);
      if (options.length === 1) mappings.push({ from: a.name, to: b.name, ...options[0], ...this.#units(a, b) });
      else problems.push(layoutProblem(a, b, options));
      const open = this.#openImage(a, b);
      if (open !== undefined) problems.push(open);
    }
    return problems.length > 0 ? { problems } : { mappings };
  }

  #options(a: ParameterDescription, b: ParameterDescription): Rearrangement[] {
    const hint = this.#hints.get(a.name);
    if (hint?.to !== undefined && hint.to !== b.name) return [];
    const given = hint && givenRearrangement(hint);
    if (given) return leadsTo(given, a.shape, b.shape) ? [given] : [];
    const channels = this.#channels.get(this.#conventions.from === 'channels-last' ? a.name : b.name);
    return rearrangements(a, b, this.#conventions, {
      inputs: hint?.inputChannels ?? channels?.inputs,
      outputs: hint?.outputChannels,
    });
  }

  /** The axis of outputs, where it is known and changes: as the other side says, or by its convention. */
  #units({ units: from }: ParameterDescription, b: ParameterDescription): Pick<ParameterMapping, 'units'> {
    if (from === undefined) return {};
    const { from: own, to: other } = this.#conventions;
    const units = b.units ?? (own === other ? from : other === 'channels-last' ? 'last' : 'first');
    return units === from ? {} : { units };
  }

  /** The question whether outputs of a dense layer are shaped into an image, unless a hint answers it. */
  #openImage(a: ParameterDescription, b: ParameterDescription): string | undefined {
    const hint = this.#hints.get(a.name);
    if (hint?.outputChannels !== undefined || hint?.permute !== undefined || hint?.view !== undefined) return undefined;
    const last = this.#conventions.from === 'channels-last' ? a : b;
    const outputs = this.#channels.get(last.name)?.outputs;
    if (outputs === undefined) return undefined;
    const answer = (value: number): string => JSON.stringify({ from: a.name, outputChannels: value });
    return (
      `the outputs of ${describe(last)} may be shaped into an image of ${outputs} channels for the convolution that follows: ` +
      `hint ${answer(outputs)} if they are, ${answer(1)} if not`
    );
  }
}

/** The layer in a name. */
function layerOf(name: string): string {
  return parseName(name).prefix;
}

function givenRearrangement({ view, permute, shape }: MappingHint): Rearrangement | undefined {
  if (!view && !permute && !shape) return undefined;
  return { ...(view && { view }), ...(permute && { permute }), ...(shape && { shape }) };
}

/** Whether a rearrangement that somebody gave leads from one shape to another. */
function leadsTo({ view, permute, shape }: Rearrangement, from: readonly number[], to: readonly number[]): boolean {
  const sizes = view ?? from;
  const permuted = permute?.map((axis) => sizes[axis]) ?? sizes;
  return (
    elementCount(sizes) === elementCount(from) &&
    elementCount(permuted) === elementCount(from) &&
    sameShape(shape ?? permuted, to)
  );
}

/**
 * The images that dense layers are taken to see: the channels of the last convolution before, where they divide the
 * inputs, and those that the next convolution wants, where they divide the outputs.
 */
function imageChannels(parameters: readonly ParameterDescription[]): ReadonlyMap<string, ImageChannels> {
  const channels = new Map<string, ImageChannels>();
  let before: number | undefined;
  /** The dense kernel and vectors since the last convolution whose outputs may become an image. */
  let features: { readonly names: readonly string[]; readonly size: number } | undefined;
  for (const parameter of parameters) {
    const { name, shape, layer } = parameter;
    if (isConvolution(parameter)) {
      const isTransposed = layer?.endsWith('Transpose') ?? /transpose/i.test(name);
      const isDepthwise = layer === 'depthwiseConv2d' || /depthwise_kernel(_\d+)?$/.test(name);
      const [wanted, made] = isTransposed ? shape.slice(-2).toReversed() : shape.slice(-2);
      if (features && wanted > 1 && features.size > wanted && features.size % wanted === 0) {
        for (const feature of features.names) channels.set(feature, { ...channels.get(feature), outputs: wanted });
      }
      before = isDepthwise ? wanted * made : made;
      features = undefined;
    } else if (isDense(parameter)) {
      const [inputs, outputs] = shape;
      const isImage = before !== undefined && before > 1 && inputs > before && inputs % before === 0;
      if (isImage) channels.set(name, { inputs: before });
      before = undefined;
      features = { names: [name], size: outputs };
    } else if (features && elementCount(shape) === features.size) {
      features = { ...features, names: [...features.names, name] };
    }
  }
  return channels;
}

function isConvolution({ name, shape }: ParameterDescription): boolean {
  return shape.length >= 3 && isWeight(name);
}

function isDense(parameter: ParameterDescription): boolean {
  return parameter.shape.length === 2 && isWeight(parameter.name) && matrixAxes(parameter) !== 'vd';
}

function isWeight(name: string): boolean {
  const role = parseName(name).known?.role;
  return role === undefined || role === 'weight';
}

function openProblem(a: ParameterDescription, partners: readonly ParameterDescription[]): string {
  if (partners.length === 0) return `nothing fits ${describe(a)}; leave it out of the list if it is not there`;
  return (
    `${describe(a)} fits ${partners.map(describe).join(', ')}, and the lists do not have the same order: pair them with a hint ` +
    JSON.stringify({ from: a.name, to: partners[0].name })
  );
}

function layoutProblem(a: ParameterDescription, b: ParameterDescription, options: readonly Rearrangement[]): string {
  if (options.length === 0) return `${describe(a)} cannot become ${describe(b)}`;
  const hints = options.map((option) =>
    JSON.stringify({
      from: a.name,
      to: b.name,
      ...(Object.keys(option).length > 0 ? option : { permute: a.shape.map((_, i) => i) }),
    }),
  );
  return `${describe(a)} can become ${describe(b)} in ${options.length} ways: hint ${hints.join(' or ')}`;
}

function requireNamed(
  from: readonly ParameterDescription[],
  to: readonly ParameterDescription[],
  hints: readonly MappingHint[],
): void {
  const unknown = hints.flatMap((hint) => [
    ...(from.some(({ name }) => name === hint.from) ? [] : [hint.from]),
    ...(hint.to === undefined || to.some(({ name }) => name === hint.to) ? [] : [hint.to]),
  ]);
  const twice = [from, to].flatMap((list) =>
    list.map(({ name }) => name).filter((name, i, names) => names.indexOf(name) !== i),
  );
  const quoted = (names: readonly string[]): string => names.map((name) => `"${name}"`).join(', ');
  if (unknown.length > 0) throw ambiguous([`hints name ${quoted(unknown)}, which the lists do not have`]);
  if (twice.length > 0) throw ambiguous([`the lists have ${quoted(twice)} more than once`]);
}

function ambiguous(problems: readonly string[]): AdakitError {
  return new AdakitError(
    'ambiguous-mapping',
    `the parameters cannot be mapped without help:\n  ${problems.join('\n  ')}`,
  );
}
