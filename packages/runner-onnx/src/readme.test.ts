import { runReadme } from '@adakit/testing';
import { it } from 'vitest';

it('the example of the README runs', () => runReadme(new URL('../README.md', import.meta.url)));
