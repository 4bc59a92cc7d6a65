/** What the work of a step is for, in the order to print. */
export const KINDS = [
  'convolution, forward',
  'convolution, backward',
  'matmul, forward',
  'matmul, backward',
  'recurrence',
  'normalization',
  'pooling',
  'softmax and loss',
  'elementwise',
  'copies',
  'optimizer',
] as const;

export type Kind = (typeof KINDS)[number];

/** Milliseconds by kind. */
export type ByKind = Readonly<Record<Kind, number>>;

/** Adds up times by kind. */
export function byKind(entries: Iterable<readonly [kind: Kind, milliseconds: number]>): ByKind {
  const sums = Object.fromEntries(KINDS.map((kind) => [kind, 0])) as Record<Kind, number>;
  for (const [kind, milliseconds] of entries) sums[kind] += milliseconds;
  return sums;
}

const COPIES =
  /^(Transpose|Reshape|Concat|Slice|Split|Gather|GatherND|Scatter\w*|Expand|Pad|Squeeze|Unsqueeze|Identity|Cast|Flatten|Shape|Constant\w*|Memcpy\w*)$/;

/** What an operator of the model is for, apart from direction. */
function family(op: string): 'convolution' | 'matmul' | Exclude<Kind, `${string},${string}`> {
  if (/^(Conv|ConvTranspose)$/.test(op)) return 'convolution';
  if (/^(MatMul|Gemm|FusedMatMul|Einsum)$/.test(op)) return 'matmul';
  if (/^(LSTM|GRU|RNN|Scan|Loop)$/.test(op)) return 'recurrence';
  if (/Normalization$/.test(op)) return 'normalization';
  if (/Pool$|^MaxUnpool$/.test(op)) return 'pooling';
  if (/Softmax|Loss$/.test(op)) return 'softmax and loss';
  return COPIES.test(op) ? 'copies' : 'elementwise';
}

/**
 * What a node of a training graph is for. Nodes are named after those of the model that they stand for, `NODE/…` in the forward
 * pass and `NODE_grad/…` in the backward pass; what is named after none belongs to the loss or is what its operator is.
 *
 * @param model operators of the model's nodes, by name
 */
export function kindOfNode(name: string, op: string, model: ReadonlyMap<string, string>): Kind {
  const isBackward = name.includes('_grad');
  let origin = name.replace(/_grad\b.*|_again\b.*/, '');
  while (origin !== '' && !model.has(origin)) origin = origin.slice(0, Math.max(0, origin.lastIndexOf('/')));
  const known = model.get(origin);
  const found = family(known ?? op);
  if (known === undefined && found === 'elementwise' && !isBackward) return 'softmax and loss';
  return found === 'convolution' || found === 'matmul' ? `${found}, ${isBackward ? 'backward' : 'forward'}` : found;
}

/** By names of PyTorch's operators; the first that fits. Its fused attention is mostly products. */
const TORCH: readonly (readonly [RegExp, Kind])[] = [
  [/conv\w*_backward|ConvolutionBackward/i, 'convolution, backward'],
  [/conv/i, 'convolution, forward'],
  [/lstm|gru|rnn/i, 'recurrence'],
  [/(Mm|Addmm|Bmm|MatMul|Linear|ScaledDotProduct\w*)Backward|attention\w*_backward/i, 'matmul, backward'],
  [/aten::(mm|addmm|bmm|baddbmm|matmul|linear|\w*attention\w*)$/, 'matmul, forward'],
  [/norm/i, 'normalization'],
  [/pool|aten::mean$/i, 'pooling'],
  [/softmax|nll_loss|cross_entropy/i, 'softmax and loss'],
  [
    /copy|aten::(to|_to_copy|clone|contiguous|cat|stack|transpose|permute|view|reshape|t|expand|slice|select|index\w*|embedding\w*|as_strided|unsqueeze|squeeze|detach|empty\w*|resize_|zeros?\w*|fill_|new_\w+|split|chunk|movedim|item|_local_scalar_dense|unbind|flatten|alias)$/i,
    'copies',
  ],
];

/** What an operator of PyTorch is for, by its name and by what has called it. */
export function kindOfTorch(name: string, phase: 'forward' | 'backward' | 'optimizer'): Kind {
  if (phase === 'optimizer') return 'optimizer';
  const found = TORCH.find(([pattern]) => pattern.test(name))?.[1] ?? 'elementwise';
  if (phase === 'forward') return found;
  if (found === 'matmul, forward') return 'matmul, backward';
  return found === 'convolution, forward' ? 'convolution, backward' : found;
}

/** Times of both beside each other, as text. */
export function sideBySide(ours: ByKind, theirs: ByKind): string {
  const sum = (times: ByKind) => KINDS.reduce((total, kind) => total + times[kind], 0);
  const line = (name: string, a: number, b: number) =>
    `${name.padEnd(24)}${a.toFixed(2).padStart(10)}${b.toFixed(2).padStart(10)}${(b > 0 ? (a / b).toFixed(2) : '–').padStart(8)}`;
  return [
    `${'kind'.padEnd(24)}${'adakit'.padStart(10)}${'torch'.padStart(10)}${'ratio'.padStart(8)}`,
    ...KINDS.filter((kind) => ours[kind] + theirs[kind] > 0).map((kind) => line(kind, ours[kind], theirs[kind])),
    line('all', sum(ours), sum(theirs)),
  ].join('\n');
}
