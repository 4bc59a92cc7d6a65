// @tier user
export { StateFileError, type StateFileErrorCode } from './file/error.js';
export {
  FORMAT_VERSION,
  type KeptRule,
  type ParameterEntry,
  type SlotEntry,
  type StateDocument,
} from './file/document.js';
export type { TensorInfo } from './file/header.js';
export { outlineOf } from './file/outline.js';
export { optimizerSchema } from './file/optimizer-schema.js';
export { loadTensor, storeTensor } from './file/stored-tensor.js';
export {
  decodeState,
  decodeTensors,
  encodeState,
  encodeTensors,
  type DecodeOptions,
  type EncodeOptions,
  type TensorFile,
} from './file/state-file.js';
export { mapState } from './layout/map-state.js';
export { mapTensor } from './layout/map-tensor.js';
export { inverseMappings, parseMappings, type ParameterMapping, type Part } from './layout/parameter-mapping.js';
export {
  describeParameters,
  statisticOf,
  type LayerKind,
  type MatrixAxes,
  type ParameterDescription,
} from './layout/parameter-description.js';
export { deriveMappings, type MappingHint } from './layout/derive-mappings.js';
export { adaptState, type AdaptedParameters, type AdaptedState, type AdaptOptions } from './adapt/adapt.js';
export { optimizerText } from './adapt/saved-pieces.js';
export {
  formatAdaptReport,
  type AdaptedParameter,
  type AdaptedSlot,
  type AdaptReport,
  type ChangedHyperparameter,
  type GroupConfigs,
} from './adapt/adapt-report.js';
