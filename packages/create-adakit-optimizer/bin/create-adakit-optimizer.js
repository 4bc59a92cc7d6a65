#!/usr/bin/env node
import { create } from '../dist/index.js';

try {
  process.stdout.write(await create(process.argv.slice(2)));
} catch (error) {
  process.stderr.write(`create-adakit-optimizer: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 2;
}
