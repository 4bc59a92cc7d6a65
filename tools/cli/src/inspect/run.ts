import { print } from '../printable.js';
import { withProgress } from '../progress.js';
import { requireOneStandardInput, withSource } from '../standard-streams.js';
import type { InspectOptions } from './command.js';
import { formatInspection } from './format.js';
import { inspectFile, type Inspection } from './inspect.js';

/** Runs `adakit inspect`. */
export async function inspect(files: readonly string[], { plugin, json }: InspectOptions): Promise<void> {
  requireOneStandardInput(files);
  const inspections: Inspection[] = [];
  await withProgress(async (say) => {
    for (const file of files) {
      const onPart = (tensor: string): void => {
        say(`${file}: reading ${tensor}`);
      };
      inspections.push(await withSource(file, (path) => inspectFile(path, plugin, onPart)));
    }
  });
  print(json ? inspectionsJson(inspections) : inspections.map(formatInspection).join('\n'));
  if (inspections.some(({ valid }) => !valid)) process.exitCode = 1;
}

/** Inspections as JSON text. */
function inspectionsJson(inspections: readonly Inspection[]): string {
  const plain = (_: string, value: unknown): unknown => {
    if (value instanceof Map) return Object.fromEntries(value as Map<string, unknown>);
    // As in the file: JSON has no word for what is not finite.
    return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
  };
  return `${JSON.stringify(inspections, plain, 2)}\n`;
}
