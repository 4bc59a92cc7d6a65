// How times are measured, for the measurements of this repository as well; no public API.
export {
  compare,
  differenceOf,
  median,
  ratioOf,
  timed,
  timesOf,
  type Contender,
  type Times,
  type Turns,
} from './compare.js';
export { machine, type Machine } from '../machine.js';
export { bytesMoved, precisely, triad, update } from './update.js';
