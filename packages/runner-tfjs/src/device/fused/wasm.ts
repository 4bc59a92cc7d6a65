// Updates as one loop over memory on the backend `wasm`: for its effect, like the import of a backend.
import { registerLoops } from '../loops.js';
import { heapLoops } from './heap-loops.js';
import { tried } from './trial.js';

registerLoops('wasm', tried(heapLoops));
