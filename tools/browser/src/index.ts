// @tier internal
export { Browser } from './chromium.js';
export type { Measured } from './measure.js';
export type { Arrays, Kept, Trained, Training } from './page.js';
export { rules, type RuleName } from './rules.js';
