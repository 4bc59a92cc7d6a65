// Updates in place, as one dispatch for each variable, on the backend `webgpu`: for its effect, like the import of a backend.
import { registerLoops } from '../loops.js';
import { bufferLoops } from './buffer-loops.js';
import { triedLater } from './trial.js';

registerLoops('webgpu', triedLater(bufferLoops));
