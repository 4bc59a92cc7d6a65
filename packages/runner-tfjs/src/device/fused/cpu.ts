// Updates as one loop over memory on the backend `cpu`: for its effect, like the import of a backend.
import { registerLoops } from '../loops.js';
import { hostLoops } from './host-loops.js';
import { tried } from './trial.js';

registerLoops('cpu', tried(hostLoops));
