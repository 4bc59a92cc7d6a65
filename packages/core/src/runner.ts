// What a runner needs of core in the files that it fetches later and in those that these share with a page's start. They
// import it from here: a bundler that splits whole files would move all that index.ts names out of the page's own file.
// @tier device
export { AdakitError } from './errors.js';
export { concreteShape } from './expression/extents.js';
export { makePlan } from './plan/plan.js';
export { elementCount, sameShape } from './tensor/tensor-data.js';
