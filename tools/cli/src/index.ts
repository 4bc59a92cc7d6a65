// @tier user
export { optimizerByName } from './optimizer-by-name.js';
export { replayFiles, type FileReport } from './replay/run.js';
export { inspectFile, type Inspection, type InspectedTensor, type Violation } from './inspect/inspect.js';
export type { TensorStatistics } from './inspect/statistics.js';
export { convertFile, type ConvertOptions, type ConvertReport } from './state/convert.js';
export type { Say } from './progress.js';
export { diffFiles, type FileDifference, type TensorDifference } from './state/diff.js';
export { fromTorch, type TorchReport } from './state/torch/from-torch.js';
export { toTorch } from './state/torch/to-torch.js';
export { lossPlot, type LossCurve, type PlotText } from './plot/loss-plot.js';
export { loadBuiltin, requireInstalled, type LoadedData } from './train/builtin-data.js';
export { builtins } from './train/known-data.js';
export { UsageError } from './usage-error.js';
