import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dataFile } from '@adakit/fixtures';

const help = `A narrow ResNet-18, of torchvision's form, learns digits; then its last stage and its head learn clothes, with all
before frozen.

usage: npm run demo:fine-tuning

There are no options. Models and checkpoints go to out/fine-tuning.
`;
const given = process.argv.slice(2);
if (given.length > 0) {
  console.log(help);
  process.exit(given[0] === '--help' ? 0 : 2);
}

const adakit = fileURLToPath(new URL('../../cli/bin/adakit.js', import.meta.url));
const out = join('out', 'fine-tuning');
const [digits, clothes] = [join(out, 'digits.onnx'), join(out, 'clothes.onnx')];

/** Options that both have: Adam with a cosine after a warm-up, gradients clipped, the best of a few epochs. */
const shared = [
  ...['--batch', '64', '--set', 'lr=0.003', '--schedule', 'cosine', '--warmup', '50', '--clip', '1'],
  ...['--metrics', 'accuracy', '--monitor', 'accuracy', '--early-stop', '2', '--take', '12800'],
];

const trainings: readonly (readonly string[])[] = [
  ['train', dataFile('exported/resnet18.onnx'), '--data', 'mnist', '--epochs', '2', '--out', digits, ...shared],
  [
    ...['train', digits, '--data', 'fashion-mnist', '--freeze-before', 'layer4', '--epochs', '6', '--out', clothes],
    ...['--checkpoint', join(out, 'checkpoints'), '--every', '100', '--resume', ...shared],
  ],
];

mkdirSync(out, { recursive: true });
for (const args of trainings) {
  process.stdout.write(`$ adakit ${args.join(' ')}\n`);
  const { status } = spawnSync(process.execPath, [adakit, ...args], { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
