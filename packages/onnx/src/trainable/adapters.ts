/**
 * Selects the adapters that `addAdapters` has added: `train: adapters`, or with a new head `train: [adapters, 'fc.weight']`.
 */
export const adapters = /\.lora_[AB]$/;
