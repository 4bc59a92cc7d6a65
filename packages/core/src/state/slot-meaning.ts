/** What a slot holds, as far as a change of optimizer has to know. */
export interface SlotMeaning {
  /**
   * The hyperparameter β by which it forgets: at update t its weights add up to 1 − βᵗ, and the rule divides by that
   * (Kingma & Ba 2015, §3, "bias correction").
   */
  readonly decay?: string;
  /** Whether it can start at its initial value in the middle of a run. If not, updates are counted anew with it. */
  readonly joinsLate: boolean;
}

/**
 * Names of slots mean the same in every optimizer, so that one optimizer's slots can go on in another. What differs has
 * another name: AdaBelief's average of (g − m)² is `expAvgVar`, not `expAvgSq`.
 */
const meanings: Readonly<Record<string, SlotMeaning>> = {
  /** Moving average of the gradient. */
  expAvg: { decay: 'beta1', joinsLate: false },
  /** Moving average of the squared gradient; AdaDiff's includes the squared difference to the gradient before. */
  expAvgSq: { decay: 'beta2', joinsLate: false },
  /** Moving average of the squared deviation from `expAvg`. */
  expAvgVar: { decay: 'beta2', joinsLate: false },
  /** The largest that an average has been (AMSGrad). Starting at zero, it is the next average. */
  maxExpAvgSq: { decay: 'beta2', joinsLate: true },
  maxExpAvgVar: { decay: 'beta2', joinsLate: true },
  /** The gradient before. Starting at zero adds the next gradient to one difference, as at the start of any run. */
  prevGrad: { joinsLate: true },
  /** Sum of gradients, without bias correction. Update 1 sets it, so it starts with the count. */
  momentumBuffer: { joinsLate: false },
};

/** Of a slot with a name unknown here nothing is assumed: what its rule does may depend on how old it is. */
export function slotMeaning(name: string): SlotMeaning {
  return Object.hasOwn(meanings, name) ? meanings[name] : { joinsLate: false };
}
