import { suggestion } from '@adakit/core';
import { inItsOwnProcess, type Launch } from '../own-process.js';
import { print } from '../printable.js';
import { withProgress } from '../progress.js';
import { UsageError } from '../usage-error.js';
import type { DoctorOptions } from './command.js';
import { examine, type Check, type Examination } from './examine.js';

/** Runs `adakit doctor`. @param launch how a look at one thing is run, by `--probe` */
export async function doctor(
  { need, probe: what, json }: DoctorOptions,
  launch: Launch = inItsOwnProcess,
): Promise<void> {
  if (what !== undefined) return answer(what);
  const found = await withProgress((say) =>
    examine(launch, (next) => {
      say(`looking at ${next}`);
    }),
  );
  const missing = lacking(need, found);
  print(json === true ? `${JSON.stringify({ ...found, missing }, null, 2)}\n` : text(found, missing));
  if (missing.length > 0) process.exitCode = 1;
}

/** What one process has found, for the one that started it. */
async function answer(what: string): Promise<void> {
  const { probe } = await import('./probe.js');
  try {
    print(`${JSON.stringify({ found: await probe(what) })}\n`);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const lines = (error instanceof Error ? error.message : String(error)).trim().split('\n');
    // A list of what was tried ends with the one provider there was.
    const reason = (lines[0].endsWith('Tried:') ? lines[lines.length - 1] : lines[0]).trim();
    print(`${JSON.stringify({ reason })}\n`);
  }
}

/** What is needed and does not work. @throws UsageError for a name that nothing here has */
function lacking(need: readonly string[], { providers, backends }: Examination): string[] {
  const working = new Map<string, boolean>([['cpu', false]]);
  for (const { provider, works } of providers) working.set(provider, works || working.get(provider) === true);
  for (const { backend, works } of backends) {
    // The provider and the backend of this name are different things; the provider is meant.
    if (backend !== 'cpu') working.set(backend, works);
  }
  return need.filter((name) => {
    const works = working.get(name);
    if (works !== undefined) return !works;
    const names = [...working.keys()];
    throw new UsageError(`--need: there is no '${name}' here${suggestion(name, names)} (known: ${names.join(', ')})`);
  });
}

function text(found: Examination, missing: readonly string[]): string {
  const { machine, runtimes, providers, backends, cuda } = found;
  const lines = [
    `Node ${machine.node}, ${machine.system}, ${machine.processor}, ${machine.cores} cores`,
    ...section('Runtimes', runtimes),
    ...section('Execution providers of ONNX Runtime', providers),
    ...section('TensorFlow.js', backends),
    ...(cuda === undefined ? [] : section('CUDA', cudaChecks(cuda))),
    '',
    missing.length === 0 ? 'What is needed works.' : `Does not work: ${missing.join(', ')}.`,
  ];
  return `${lines.join('\n')}\n`;
}

/** Parts and GPUs alike. */
function cudaChecks(cuda: NonNullable<Examination['cuda']>): Check[] {
  if ('reason' in cuda) return [{ name: 'what is installed', works: false, detail: cuda.reason }];
  const { parts, devices } = cuda;
  const gpus = devices.map(({ id, name, memory }) => ({
    name: `GPU ${id}`,
    works: true,
    detail: `${name}, ${(memory / 2 ** 30).toFixed(1)} GiB`,
  }));
  const none: Check = {
    name: 'GPU',
    works: false,
    detail: 'none is visible to this process',
    advice: 'nvidia-smi lists those that are there; CUDA_VISIBLE_DEVICES may hide them',
  };
  // Without a driver nobody knows, and it has been said what to install.
  const unknown = parts.some(({ found }) => !found);
  return [
    ...parts.map(({ found: works, ...part }) => ({ works, ...part })),
    ...(gpus.length === 0 && !unknown ? [none] : gpus),
  ];
}

function section(title: string, checks: readonly Check[]): string[] {
  const width = Math.max(0, ...checks.map(({ name }) => name.length));
  return [
    '',
    title,
    ...checks.flatMap(({ name, works, detail, advice }) => [
      `  ${works ? 'ok' : '--'}  ${name.padEnd(width)}  ${detail}`,
      ...(advice === undefined ? [] : [`      ${''.padEnd(width)}  → ${advice}`]),
    ]),
  ];
}
