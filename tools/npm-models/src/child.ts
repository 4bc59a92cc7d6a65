// Examines one model in a process of its own: what a model makes the runtime crash on ends this process alone.
//
//   node child.js '{"id", "path", "steps", "limit", "helpers"}'

import { catalogue } from './catalogue.js';
import { examine, type ExamineOptions } from './examine.js';

const { id, path, ...options } = JSON.parse(process.argv[2]) as ExamineOptions & { id: string; path: string };
const entry = catalogue.find((each) => each.id === id);
if (entry === undefined) throw new Error(`the catalogue has no ${id}`);
process.stdout.write(JSON.stringify(await examine(path, entry, options)));
