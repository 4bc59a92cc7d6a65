// Updates as one draw for each variable on the backend `webgl`: for its effect, like the import of a backend.
import { registerLoops } from '../loops.js';
import { textureLoops } from './texture-loops.js';
import { tried } from './trial.js';

registerLoops('webgl', tried(textureLoops));
