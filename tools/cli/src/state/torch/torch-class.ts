import { torchSlotName } from '@adakit/testing';
import type { optimizerNames } from '../../optimizers.js';

/** How an optimizer class of PyTorch corresponds to one of ours. */
export interface TorchClass {
  readonly name: string;
  readonly optimizer: (typeof optimizerNames)[number];
  /** Hyperparameters of ours that the class decides. */
  readonly decides: Readonly<Record<string, boolean>>;
  /** Hyperparameters that it keeps as attributes of the optimizer, not in its groups; PyTorch's names. */
  readonly attributes: readonly string[];
  /** Whether it counts the updates of each parameter. */
  readonly countsUpdates: boolean;
}

const plain = { decides: {}, attributes: [], countsUpdates: true } as const;
const flags = ['weight_decouple', 'fixed_decay', 'rectify', 'degenerated_to_sgd'];

/** PyTorch's own classes, and those of the authors of AdaBelief (adabelief-pytorch), AdaBound and AdaDiff. */
export const torchClasses: readonly TorchClass[] = [
  { ...plain, name: 'Adam', optimizer: 'adam', decides: { weightDecouple: false } },
  { ...plain, name: 'AdamW', optimizer: 'adam', decides: { weightDecouple: true } },
  { ...plain, name: 'SGD', optimizer: 'sgd', countsUpdates: false },
  { ...plain, name: 'AdaBelief', optimizer: 'adabelief', attributes: flags },
  { ...plain, name: 'AdaBound', optimizer: 'adabound', decides: { weightDecouple: false } },
  { ...plain, name: 'AdaBoundW', optimizer: 'adabound', decides: { weightDecouple: true } },
  { ...plain, name: 'AdaDiff', optimizer: 'adadiff' },
];

/** PyTorch's names of slots, by ours: `expAvgSq` is `exp_avg_sq`, and AdaDiff's previous gradient is `dp`. */
export const torchSlot = torchSlotName;

/** `weightDecay` is `weight_decay`. */
export function torchHyperparameter(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
