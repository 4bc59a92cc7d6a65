import { dataFile } from '@adakit/fixtures';
import { expect, test } from 'vitest';
import { runCommand } from '../testing/run-command.js';
import { addGradcheckCommand } from './command.js';

test('confirms the gradients of a model, for people and as JSON', { timeout: 60_000 }, async () => {
  const model = dataFile('mlp.onnx');
  const text = await runCommand(addGradcheckCommand, 'gradcheck', model, '--directions', '1');
  expect(text.exitCode).toBe(0);
  expect(text.output).toContain('the gradients agree with differences');
  const json = await runCommand(addGradcheckCommand, 'gradcheck', model, '--directions', '1', '--json');
  expect(JSON.parse(json.output)).toMatchObject({ ok: true });
});
