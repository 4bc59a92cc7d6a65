import { torchSlotName } from '@adakit/testing';
import type { optimizerNames } from '../../known-names.js';

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
  /** Its names for hyperparameters of ours, where they are others than {@link torchHyperparameter} says. */
  readonly names: Readonly<Record<string, string>>;
  /** Hyperparameters of ours that it has in lists, by its name for the list. */
  readonly lists: Readonly<Record<string, readonly string[]>>;
  /** The hyperparameter at whose value its slots start when it is made. Default: they are made at the first update. */
  readonly slotsStartAt?: string;
  /** The most axes of a parameter for which it computes what ours does. Default: any number. */
  readonly mostAxes?: number;
}

const plain = {
  decides: {},
  attributes: [],
  countsUpdates: true,
  names: {},
  lists: { betas: ['beta1', 'beta2'] },
} as const;
const flags = ['weight_decouple', 'fixed_decay', 'rectify', 'degenerated_to_sgd'];
const decoupling = { names: { weightDecouple: 'decoupled_weight_decay' } } as const;

/** PyTorch's own classes, and those of the authors of AdaBelief (adabelief-pytorch), AdaBound and AdaDiff. */
export const torchClasses: readonly TorchClass[] = [
  { ...plain, name: 'Adam', optimizer: 'adam', decides: { weightDecouple: false } },
  { ...plain, name: 'AdamW', optimizer: 'adam', decides: { weightDecouple: true } },
  { ...plain, name: 'SGD', optimizer: 'sgd', countsUpdates: false },
  { ...plain, name: 'RMSprop', optimizer: 'rmsprop' },
  {
    ...plain,
    name: 'Rprop',
    optimizer: 'rprop',
    lists: { etas: ['etaMinus', 'etaPlus'], step_sizes: ['minStep', 'maxStep'] },
  },
  { ...plain, name: 'Adagrad', optimizer: 'adagrad', slotsStartAt: 'initialAccumulatorValue' },
  { ...plain, name: 'Adadelta', optimizer: 'adadelta' },
  { ...plain, name: 'Adamax', optimizer: 'adamax' },
  { ...plain, name: 'NAdam', optimizer: 'nadam', ...decoupling },
  { ...plain, name: 'RAdam', optimizer: 'radam', ...decoupling },
  {
    ...plain,
    name: 'Adafactor',
    optimizer: 'adafactor',
    names: { clipping: 'd' },
    lists: { eps: ['eps1', 'eps2'] },
    mostAxes: 2,
  },
  { ...plain, name: 'AdaBelief', optimizer: 'adabelief', attributes: flags },
  { ...plain, name: 'AdaBound', optimizer: 'adabound', decides: { weightDecouple: false } },
  { ...plain, name: 'AdaBoundW', optimizer: 'adabound', decides: { weightDecouple: true } },
  { ...plain, name: 'AdaDiff', optimizer: 'adadiff' },
];

/** PyTorch's names of slots, by ours: `expAvgSq` is `exp_avg_sq`, and AdaDiff's previous gradient is `dp`. */
export const torchSlot = torchSlotName;

/** What a class calls a hyperparameter of ours: `weightDecay` is `weight_decay`, and `clipping` of Adafactor `d`. */
export function torchHyperparameter(name: string, { names }: Pick<TorchClass, 'names'>): string {
  return names[name] ?? name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
