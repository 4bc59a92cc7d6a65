// @tier user
export { scheduleFreeAdamW, scheduleFreeSgd } from './schedule-free.js';
