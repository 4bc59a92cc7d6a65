import { main } from '../command-line.js';
import { help, parseOptions } from './options.js';
import { profile } from './profile.js';
import { json, text } from './report.js';

await main({
  name: 'profile',
  help,
  async run(args) {
    const options = parseOptions(args);
    const profiles = await profile(options);
    console.log(options.json ? json(options, profiles) : text(options.model, profiles));
  },
});
