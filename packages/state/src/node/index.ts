// @tier user
export { writeFileAtomically } from './atomic-file.js';
export { writeWithData } from './attached-data.js';
export { Checkpoints, type Checkpoint, type CheckpointsOptions, type LoadedCheckpoint } from './checkpoints.js';
export { makeFolder } from './make-folder.js';
export { OpenTensors, openTensors } from './open-tensors.js';
export { OpenState, openState, readState, type ReadStateOptions, type TensorLocation } from './state-reader.js';
export {
  removeState,
  writeState,
  writeStateFile,
  writeTensors,
  type TensorSource,
  type WriteOptions,
  type WriteStateOptions,
} from './state-writer.js';
// @tier device: other file systems
export type { FileOptions, FileStatus, FileSystem, OpenFile } from './file-system.js';
export type { Processes, Writer } from './processes.js';
export type { InspectTensor } from './tensor-reader.js';
