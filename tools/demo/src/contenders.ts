import { adabelief } from '@adakit/adabelief';
import { adabound } from '@adakit/adabound';
import { adadiff } from '@adakit/adadiff';
import { adam } from '@adakit/adam';
import type { Optimizer } from '@adakit/core';
import { sgd } from '@adakit/sgd';

/** An optimizer that the demo trains with. */
export interface Contender {
  /** As `--optimizer` takes it. */
  readonly name: string;
  /** For people. */
  readonly label: string;
  readonly create: () => Optimizer;
  /** In the plot: distinguishable with every kind of color vision (Okabe and Ito 2008). */
  readonly color: string;
}

/** Defaults but for the learning rate of SGD, which has none. */
export const contenders: readonly Contender[] = [
  { name: 'adadiff', label: 'AdaDiff', create: () => adadiff({ lr: 1e-3 }), color: '#d55e00' },
  { name: 'adabelief', label: 'AdaBelief', create: () => adabelief({ lr: 1e-3 }), color: '#0072b2' },
  { name: 'adabound', label: 'AdaBound', create: () => adabound({ lr: 1e-3 }), color: '#009e73' },
  { name: 'adam', label: 'Adam', create: () => adam({ lr: 1e-3 }), color: '#222222' },
  { name: 'sgd', label: 'SGD', create: () => sgd({ lr: 0.01, momentum: 0.9 }), color: '#cc79a7' },
];
